//! Secrets on a running host: the identity comes with its image, real programs use them, a change touches exactly
//! its users, what cannot be decrypted is refused, and no value is anywhere but where it belongs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use nexus_host::vm::qemu::Firmware;
use serde_json::{Value, json};

use super::leaks::{Values, expect_nowhere, plain_values};
use super::programs::{self, PACKAGES, PROGRAMS, RENEWED, RESTARTED, UNTOUCHED};
use super::tailnet::{self, TAILNET};
use super::traefik::{self, TRAEFIK};
use crate::bench::{BYSTANDERS, Bench, Host, LONG};
use crate::support::{Ran, given_program};
use crate::vendor::Vendor;

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
/// Files of the machine that hold a value because they must, and its name.
const OWN: [(&str, &str); 2] = [
    ("/var/lib/nexus-host/identity.txt", "the identity of the host"),
    ("/etc/shadow", "app/login"),
];

/// Who keeps the secrets of the bench's host; all that his commands say is kept.
struct Keeper<'b> {
    bench: &'b Bench,
    /// Serves while the host is built.
    vendor: Vendor,
    has_traefik: bool,
    said: RefCell<String>,
}

impl<'b> Keeper<'b> {
    /// With an identity of his own, one for the host, and all secrets set.
    fn new(bench: &'b Bench) -> Self {
        let traefik = given_program("traefik");
        let others = traefik.as_ref().map(|file| ("usr/bin/traefik", &**file));
        let vendor = tailnet::vendor(others.as_slice());
        let has_traefik = traefik.is_some();
        let keeper = Self { bench, vendor, has_traefik, said: RefCell::default() };
        keeper.new_identity("person.txt");
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts/vps1.toml");
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains(PACKAGES.0), "vps1 is another host now");
        let text = text.replacen(PACKAGES.0, PACKAGES.1, 1) + SECRETS + PROGRAMS + TAILNET;
        let text = text + if has_traefik { TRAEFIK } else { "" };
        let text = text + &keeper.vendor.source(&bench.workspace);
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

    fn values(&self) -> Values {
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
    let renewed = [&["rotate", "vps1", "app/reloaded"], &RENEWED[..]].concat();
    keeper.secrets(&renewed, "");
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
    programs::expect_in_use(&mut host, None);
    if keeper.has_traefik {
        traefik::expect_login(&mut host);
    }
    let old = host.run("readlink /run/secrets");
    host.import_up_to(&bench, &first, &second, IMPORT_BYTES_MAX);
    let before = invocations(&mut host);
    let plan = host.json(&format!("plan {second} --json"));
    expect_only_users(&plan);
    let nonce = "1".repeat(32);
    let words = format!("activate {second} --trial --window 300 --nonce {nonce}");
    keeper.hear(&host.agent(&words, 0));
    let after = invocations(&mut host);
    for (unit, invocation) in &before {
        let restarts = unit == "uses-template.service" || RESTARTED.contains(&unit.as_str());
        assert_eq!(after[unit] != *invocation, restarts, "{unit}");
    }
    let caddy = "journalctl -b -u caddy.service -o cat --no-pager | grep -c Reloaded";
    assert_eq!(host.run(caddy), "1", "caddy was reloaded");
    assert!(host.run(&format!("cat {url}")).contains("the%20new%20password"));
    assert_ne!(host.run(&format!("cat {file}")), reloaded);
    programs::expect_in_use(&mut host, Some(&old));
    programs::expect_backup(&mut host);
    keeper.hear(&host.agent(&format!("confirm {nonce}"), 0));

    expect_refusal(&keeper, &mut host, (&second, &third));
    keeper.hear(&plan.to_string());
    keeper.hear(&host.agent("status --json", 0));
    keeper.hear(&crash(&mut host));
    let said = keeper.said.borrow();
    expect_nowhere((&bench.workspace, &said), &mut host, &values, &OWN);
}

/// By unit, an id that is another one after each start.
fn invocations(host: &mut Host) -> BTreeMap<String, String> {
    let users = USERS.iter().chain(&RESTARTED).chain(&UNTOUCHED);
    let units: Vec<&str> = BYSTANDERS.iter().chain(users).copied().collect();
    let show = format!("systemctl show -p InvocationID --value {} | grep .", units.join(" "));
    let ids = host.run(&show);
    let ids: Vec<&str> = ids.lines().collect();
    assert_eq!(ids.len(), units.len(), "{ids:?}");
    units.into_iter().zip(ids).map(|(unit, id)| (unit.to_owned(), id.to_owned())).collect()
}

#[track_caller]
fn expect_only_users(plan: &Value) {
    assert_eq!(plan["level"], "live", "{plan:#}");
    let secrets = [&["app/password", "app/reloaded"], &RENEWED[..]].concat();
    assert_eq!(plan["secrets"], json!(secrets), "{plan:#}");
    let restart = [&RESTARTED[..], &["uses-template.service"]].concat();
    assert_eq!(plan["restart"], json!(restart), "{plan:#}");
    assert_eq!(plan["reload"], json!(["caddy.service"]), "{plan:#}");
    assert_eq!((&plan["stop"], &plan["start"]), (&json!([]), &json!([])), "{plan:#}");
}

/// What only another machine can decrypt is refused, whatever is tried, and nothing is another one then.
fn expect_refusal(keeper: &Keeper<'_>, host: &mut Host, (second, third): (&str, &str)) {
    host.import_up_to(keeper.bench, second, third, IMPORT_BYTES_MAX);
    let before = (invocations(host), host.json("status --json"), host.run("readlink /run/secrets"));
    for words in [
        format!("plan {third} --json"),
        format!("activate {third} --trial --nonce {}", "2".repeat(32)),
        format!("activate {third} --level boot --nonce {}", "3".repeat(32)),
    ] {
        host.fails(&words, "this host cannot have the secrets of");
        host.fails(&words, "identities opens the data key");
    }
    let after = (invocations(host), host.json("status --json"), host.run("readlink /run/secrets"));
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
    let held = "own=usr/lib/nexus-host; mkdir -p /run/held/etc /run/held/$own
        cp /$own/secrets.* /run/held/$own/; mkfifo /run/held/etc/passwd
        /$own/nexus-secrets check /run/held & sleep 2; kill -ABRT $!
        code=0; wait $! || code=$?; test $code = 134; rm -r /run/held";
    let mut said = crashed(host, held);
    assert_eq!(host.run("ls /var/tmp | grep -c core.nexus || true"), "0", "a dump was written");
    // At any moment: before it has anything, there may be a dump, which is searched like all files.
    let any = "for wait in 00 01 02 03 05 08 13 21; do
            /usr/lib/nexus-host/nexus-secrets check / & sleep 0.$wait
            kill -ABRT $! || true; wait $! || true
        done";
    said.push_str(&crashed(host, any));
    said
}

/// What crashes say, once the dump of something harmless shows that dumps that there are have been written.
fn crashed(host: &mut Host, crashes: &str) -> String {
    let harmless = "sleep 600 & sleep 0.5; kill -ABRT $!; wait $! || true";
    let old = "rm -f /var/tmp/core.sleep.*";
    let all = format!("{old}; exec 2>&1; ulimit -c unlimited; {crashes}; {harmless}");
    let said = host.machine.shell().run(&all, LONG).unwrap();
    assert_eq!(said.status, 0, "{}", said.text());
    let wait = "test -n \"$(find /var/tmp -name 'core.sleep.*' -size +4k)\"";
    host.machine.shell().wait_until_succeeds(wait, LONG).unwrap();
    said.text()
}
