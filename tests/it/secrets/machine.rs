//! Secrets on a running host: the identity comes with its image, a change touches exactly its users, what
//! cannot be decrypted is refused, and no value is anywhere but where it belongs.

#![expect(clippy::print_stdout, reason = "what was looked through is worth reading")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use nexus_host::vm::qemu::Firmware;
use serde_json::{Value, json};

use super::leaks::{files_that_hold, held, plain_values};
use crate::bench::{BYSTANDERS, Bench, Host, LONG};
use crate::support::{Ran, shared_directory};

/// What is added to vps1: a secret for each way of use, and for each a unit that uses it alone.
const SECRETS: &str = r#"
[secrets.values."app/token"]
generate = "hex:64"
[secrets.values."app/password"]
[secrets.values."app/reloaded"]
generate = "alnum:40"
units = ["caddy.service"]
reload = true
[secrets.values."app/login"]
generate = "bcrypt:app/token"
password_of = "admin"
[secrets.templates."app/url"]
text = "postgres://app:{secret:app/password|url}@localhost\n"
units = ["uses-template.service"]
[units.uses-token]
exec = ["/bin/sleep", "infinity"]
credentials = { token = { secret = "app/token" } }
[units.uses-template]
exec = ["/bin/sleep", "infinity"]
"#;
/// Units that use secrets, or do not.
const USERS: [&str; 3] = ["uses-token.service", "uses-template.service", "hello.service"];
const OLD_PASSWORD: &str = "the old password of the application";
const NEW_PASSWORD: &str = "the new password of the application";
/// The encrypted file lies beside `nexus-secrets` in the store, so a sender that does not ask sends both.
const IMPORT_BYTES_MAX: usize = 4 << 20;
/// Where the machine has the list of what must not be found.
const PATTERNS: &str = "/run/patterns";

/// Who keeps the secrets of the bench's host; all that his commands say is kept.
struct Keeper<'b> {
    bench: &'b Bench,
    said: RefCell<String>,
}

impl<'b> Keeper<'b> {
    /// With an identity of his own, one for the host, and all secrets set.
    fn new(bench: &'b Bench) -> Self {
        let keeper = Self { bench, said: RefCell::default() };
        keeper.new_identity("person.txt");
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts/vps1.toml");
        let text = std::fs::read_to_string(file).unwrap() + SECRETS;
        bench.workspace.write("hosts/vps1.toml", &text);
        keeper.secrets(&["add-host", "vps1", "--out", "host.txt"], "");
        keeper.secrets(&["set", "vps1", "app/password"], OLD_PASSWORD);
        keeper.secrets(&["generate", "vps1"], "");
        keeper
    }

    fn new_identity(&self, name: &str) -> String {
        let (identity, recipient) = nexus_host::sops::generate_identity();
        self.bench.workspace.write(name, identity.text().unwrap());
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path(name), mode).unwrap();
        recipient.as_str().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.bench.workspace.path().join(name)
    }

    #[track_caller]
    fn secrets(&self, words: &[&str], input: &str) -> Ran {
        self.run(&[&["secrets"], words, &["--identity", "person.txt"]].concat(), input).expect(0)
    }

    fn run(&self, words: &[&str], input: &str) -> Ran {
        let mut command = self.bench.workspace.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that wants nothing does not read.
        let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ran = Ran {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        self.hear(&ran.stdout);
        self.hear(&ran.stderr);
        ran
    }

    fn hear(&self, text: &str) {
        self.said.borrow_mut().push_str(text);
    }

    /// The system with the secrets as they are now.
    fn build(&self) -> String {
        let built = self.run(&["build", "vps1", "--json"], "").expect(0).json();
        built["hosts"][0]["system"].as_str().unwrap().to_owned()
    }

    /// The image with the host's identity.
    fn private_image(&self) -> PathBuf {
        let build = ["build", "vps1", "--image", "raw", "--out", "private.raw", "--json"];
        for (identity, code, says) in [
            ("--identity=person.txt", 1, "is not the identity of vps1"),
            ("--identity=none.txt", 1, "secrets add-host vps1"),
        ] {
            let refused = self.run(&[&build[..], &[identity]].concat(), "");
            refused.expect(code).says(says);
            assert!(!self.path("private.raw").exists());
        }
        let ran = self.run(&[&build[..], &["--identity=host.txt"]].concat(), "").expect(0);
        let image = PathBuf::from(ran.json()["hosts"][0]["image"].as_str().unwrap());
        assert_eq!(image, self.path("private.raw"));
        let mode = std::fs::metadata(&image).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "others can read the image");
        image
    }

    fn values(&self) -> Vec<(String, Vec<u8>)> {
        let file = self.path("secrets.sops/vps1.yaml");
        let mut values = plain_values(&file, &self.path("person.txt"));
        let host = std::fs::read(self.path("host.txt")).unwrap();
        let host = String::from_utf8(host).unwrap();
        let key = host.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
        values.push(("the identity of the host".to_owned(), key.into()));
        values
    }

    /// The host gets another identity, which the machine does not have.
    fn encrypt_for_another_machine(&self) {
        let stranger = self.new_identity("stranger.txt");
        let public = std::fs::read_to_string(self.path("secrets.sops/vps1.pub")).unwrap();
        let own = public.lines().find(|line| line.starts_with("age1")).unwrap();
        for file in [".sops.yaml", "secrets.sops/vps1.pub"] {
            let text = std::fs::read_to_string(self.path(file)).unwrap();
            assert!(text.contains(own), "{text}");
            self.bench.workspace.write(file, &text.replace(own, &stranger));
        }
        self.secrets(&["rekey", "vps1"], "");
    }
}

#[test]
fn vm_a_changed_secret_touches_its_users_and_no_value_is_anywhere_else() {
    let bench = Bench::new();
    let keeper = Keeper::new(&bench);
    let mut values = keeper.values();
    let image = keeper.private_image();
    let first = keeper.build();
    keeper.secrets(&["set", "vps1", "app/password"], NEW_PASSWORD);
    // All ciphertext is another one with it, so that only values can tell what changed.
    keeper.secrets(&["rotate", "vps1", "app/reloaded"], "");
    values.extend(keeper.values());
    let second = keeper.build();
    keeper.encrypt_for_another_machine();
    let third = keeper.build();
    values.sort();
    values.dedup();
    let mut host = bench.start_named("secrets", &image, Firmware::SeaBios);

    let (url, file) = ("/run/secrets/templates/app/url", "/run/secrets/app/reloaded");
    assert!(host.run(&format!("cat {url}")).contains("the%20old%20password"));
    let reloaded = host.run(&format!("cat {file}"));
    host.import_up_to(&bench, &first, &second, IMPORT_BYTES_MAX);
    let before = pids(&mut host);
    let plan = host.json(&format!("plan {second} --json"));
    expect_only_users(&plan);
    let nonce = "1".repeat(32);
    let words = format!("activate {second} --trial --window 300 --nonce {nonce}");
    keeper.hear(&host.agent(&words, 0));
    let after = pids(&mut host);
    for (unit, pid) in &before {
        assert_eq!(after[unit] == *pid, unit != "uses-template.service", "{unit}");
    }
    let caddy = "journalctl -b -u caddy.service -o cat --no-pager | grep -c Reloaded";
    assert_eq!(host.run(caddy), "1", "caddy was reloaded");
    assert!(host.run(&format!("cat {url}")).contains("the%20new%20password"));
    assert_ne!(host.run(&format!("cat {file}")), reloaded);
    keeper.hear(&host.agent(&format!("confirm {nonce}"), 0));

    expect_refusal(&keeper, &mut host, (&second, &third));
    keeper.hear(&plan.to_string());
    keeper.hear(&host.agent("status --json", 0));
    keeper.hear(&crash(&mut host));
    expect_nowhere(&keeper, &mut host, &values);
}

fn pids(host: &mut Host) -> BTreeMap<String, String> {
    let units: Vec<&str> = BYSTANDERS.into_iter().chain(USERS).collect();
    let pids = host.run(&format!("systemctl show -p MainPID --value {} | grep .", units.join(" ")));
    let pids: Vec<&str> = pids.lines().collect();
    assert_eq!(pids.len(), units.len(), "{pids:?}");
    units.into_iter().zip(pids).map(|(unit, pid)| (unit.to_owned(), pid.to_owned())).collect()
}

#[track_caller]
fn expect_only_users(plan: &Value) {
    assert_eq!(plan["level"], "live", "{plan:#}");
    assert_eq!(plan["secrets"], json!(["app/password", "app/reloaded"]), "{plan:#}");
    assert_eq!(plan["restart"], json!(["uses-template.service"]), "{plan:#}");
    assert_eq!(plan["reload"], json!(["caddy.service"]), "{plan:#}");
    assert_eq!((&plan["stop"], &plan["start"]), (&json!([]), &json!([])), "{plan:#}");
}

/// What only another machine can decrypt is refused, whatever is tried, and nothing is another one then.
fn expect_refusal(keeper: &Keeper<'_>, host: &mut Host, (second, third): (&str, &str)) {
    host.import_up_to(keeper.bench, second, third, IMPORT_BYTES_MAX);
    let before = (pids(host), host.json("status --json"), host.run("readlink /run/secrets"));
    for words in [
        format!("plan {third} --json"),
        format!("activate {third} --trial --nonce {}", "2".repeat(32)),
        format!("activate {third} --level boot --nonce {}", "3".repeat(32)),
    ] {
        host.fails(&words, "this host cannot have the secrets of");
        host.fails(&words, "identities opens the data key");
    }
    let after = (pids(host), host.json("status --json"), host.run("readlink /run/secrets"));
    assert_eq!(before.0, after.0);
    assert_eq!(before.1["generations"], after.1["generations"]);
    assert_eq!((&before.1["default"], before.2), (&after.1["default"], after.2));
}

/// Ends programs as `abort` does while they have secrets; what they and the system said of it.
///
/// The kernel hands dumps to a program, as with systemd-coredump, for which a limit alone counts nothing.
fn crash(host: &mut Host) -> String {
    host.run("echo '|/usr/bin/dd of=/var/tmp/core.%e.%p' > /proc/sys/kernel/core_pattern");
    // Held up where it has the identity and waits for the accounts.
    let crashes =
        "ulimit -c unlimited; own=usr/lib/nexus-host; mkdir -p /run/held/etc /run/held/$own
        cp /$own/secrets.* /run/held/$own/; mkfifo /run/held/etc/passwd
        exec 2>&1; /$own/nexus-secrets check /run/held & sleep 2; kill -ABRT $!
        code=0; wait $! || code=$?; test $code = 134; rm -r /run/held
        for wait in 00 01 02 03 05 08 13 21; do
            /$own/nexus-secrets check / & sleep 0.$wait; kill -ABRT $! || true; wait $! || true
        done
        sleep 600 & sleep 0.5; kill -ABRT $!; wait $! || true";
    let said = host.machine.shell().run(crashes, LONG).unwrap();
    assert_eq!(said.status, 0, "{}", said.text());
    let said = said.text();
    // The dump of something harmless shows that there are dumps at all.
    let wait = "test -n \"$(find /var/tmp -name 'core.sleep.*' -size +4k)\"";
    host.machine.shell().wait_until_succeeds(wait, LONG).unwrap();
    assert_eq!(host.run("ls /var/tmp | grep -c core.nexus || true"), "0", "a dump was written");
    said
}

/// Looks for every value in everything that there is, on both machines.
fn expect_nowhere(keeper: &Keeper<'_>, host: &mut Host, values: &[(String, Vec<u8>)]) {
    let said = keeper.said.borrow();
    assert_eq!(held(said.as_bytes(), values), None, "something that was said holds a secret");
    let planted = ("planted".to_owned(), b"planted-to-be-found-by-the-search".to_vec());
    let all: Vec<(String, Vec<u8>)> = values.iter().chain([&planted]).cloned().collect();

    keeper.bench.workspace.write("planted", "planted-to-be-found-by-the-search");
    let data = shared_directory().join("data/nexus-host");
    let folders = ["nix", "images", "logs"].map(|name| data.join(name));
    let folders = [&folders[..], &[shared_directory().join("logs"), keeper.path("planted")]];
    let (found, count) = files_that_hold(&folders.concat(), &all);
    assert_eq!(found, [(keeper.path("planted"), "planted".to_owned())]);
    assert!(count > 1_000, "only {count} files were looked at");

    let lines = all.iter().map(|(_, value)| [value, &b"\n"[..]].concat());
    host.machine.shell().write_file(PATTERNS, &lines.collect::<Vec<_>>().concat()).unwrap();
    let found = search(host);
    let name_of = |text: &str| all.iter().find(|(_, value)| value == text.as_bytes());
    for (path, text) in &found {
        let name = name_of(text).map_or("?", |(name, _)| name);
        let is_own = match path.as_str() {
            "/var/lib/nexus-host/identity.txt" => name == "the identity of the host",
            "/etc/shadow" => name == "app/login",
            _ => false,
        };
        assert!(name == "planted" || is_own, "{path} holds {name}");
    }
    // Each place was looked through: what was planted there was found, and the identity in its own.
    for place in
        ["/var/log/", "/nix/", "/run/journal", "/proc/environ", "/proc/cmdline", "/var/lib/"]
    {
        let has = found.iter().any(|(path, _)| without_number(path).starts_with(place));
        assert!(has, "nothing was found below {place}: {found:?}");
    }
    println!("looked through {count} files here; on the host: {}", host.run("cat /run/count"));
}

/// Every place on the machine, and the text, that one of the patterns is found.
fn search(host: &mut Host) -> Vec<(String, String)> {
    let plant = format!(
        "planted=$(tail -n 1 {PATTERNS}); for file in /var/log/planted /nix/planted; do
            echo \"$planted\" > $file; done
        logger \"$planted\"; (PLANTED=$planted exec sh -c 'sleep 900; :' \"$planted\") & sleep 1
        journalctl --sync; journalctl --no-pager -o export > /run/journal; dmesg >> /run/journal"
    );
    host.run(&plant);
    // Not in the places where secrets belong.
    let search = format!(
        "export LC_ALL=C
        grep -raoHFZ -D skip --exclude-dir=secrets.d --exclude-dir=credentials \
            --exclude-dir=nexus-test --exclude=patterns -f {PATTERNS} \
            /nix /var /home /root /srv /run /etc | tr '\\0' '\\t' || true
        grep -aoHFZ -f {PATTERNS} /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null \
            | tr '\\0' '\\t' || true
        find /nix /var /run /etc -xdev -type f | wc -l > /run/count"
    );
    let found = host.machine.shell().run(&search, LONG).unwrap();
    assert_eq!(found.status, 0, "{}", found.stderr);
    let text = found.text();
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    lines.map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

/// `/proc/12/environ` as `/proc/environ`.
fn without_number(path: &str) -> String {
    path.split('/').filter(|part| part.parse::<u32>().is_err()).collect::<Vec<_>>().join("/")
}
