//! `nexus-host secrets` as a person uses it, beside the real `sops` and `ssh-keygen`.

mod crashing;
mod editing;
mod keys;
pub(crate) mod leaks;
mod machine;
mod programs;
mod tailnet;
mod traefik;

use std::io::Write as _;
use std::process::Stdio;

use nexus_host::sops::generate_identity;

use crate::sops::program::Sops;
use crate::support::{Ran, Workspace};

const HOST: &str = r#"
[host]
name = "web"
release = "trixie"
kernel = "cloud"
[users.admin]
ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f k"]
[secrets.values."app/token"]
generate = "hex:64"
units = ["app.service"]
[secrets.values."app/password"]
[secrets.values."app/hash"]
generate = "bcrypt:app/password"
units = ["web.service"]
reload = true
[secrets.values.disk]
generate = "b64:32"
never_rotate = true
"#;
const PASSWORD: &str = "correct horse battery staple";

/// A workspace with the host `web`, and a person with an identity.
struct Keeper {
    workspace: Workspace,
}

impl Keeper {
    fn new() -> Self {
        let workspace = Workspace::with_host("web", HOST);
        let keeper = Self { workspace };
        keeper.new_identity("keys.txt");
        keeper
    }

    /// Writes an identity file; its recipient.
    fn new_identity(&self, name: &str) -> String {
        let (identity, recipient) = generate_identity();
        self.workspace.write(name, &format!("# me\n{}\n", identity.text().unwrap()));
        let path = self.workspace.path().join(name);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path, mode).unwrap();
        recipient.as_str().to_owned()
    }

    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = self.workspace.command(&[&["secrets"], words].concat());
        for variable in ["SOPS_AGE_KEY", "SOPS_AGE_SSH_PRIVATE_KEY_FILE", "VISUAL", "SOPS_EDITOR"] {
            command.env_remove(variable);
        }
        command.env("HOME", self.workspace.path().join("home"));
        command.env("XDG_CONFIG_HOME", self.workspace.path().join("home/.config"));
        command.env("XDG_DATA_HOME", self.workspace.path().join("home/data"));
        command.env("SOPS_AGE_KEY_FILE", self.workspace.path().join("keys.txt"));
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.command(words))
    }

    fn with_input(&self, words: &[&str], input: &str) -> Ran {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that refuses at once does not read.
        let _gone = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A file with everything in it.
    fn filled() -> Self {
        let keeper = Self::new();
        keeper.run(&["add-host", "web"]).expect(0);
        keeper.with_input(&["set", "web", "app/password"], &format!("{PASSWORD}\n")).expect(0);
        keeper.run(&["generate", "web"]).expect(0);
        keeper
    }

    fn file(&self) -> String {
        std::fs::read_to_string(self.workspace.path().join("secrets.sops/web.yaml")).unwrap()
    }

    fn get(&self, name: &str) -> String {
        self.run(&["get", "web", name]).expect(0).stdout
    }
}

#[test]
fn from_nothing_to_all_good() {
    let keeper = Keeper::new();
    let check = keeper.run(&["check", "web"]).expect(6);
    assert!(check.stdout.contains("secrets.sops/web.yaml does not exist"), "{}", check.stdout);
    keeper.run(&["generate", "web"]).expect(1).says("nobody is named who can decrypt");
    let added = keeper.run(&["add-host", "web"]).expect(0);
    assert!(added.stdout.starts_with("age1"), "{}", added.stdout);
    let generated = keeper.run(&["generate", "web"]).expect(0);
    assert_eq!(generated.stdout, "app/token\ndisk\n");
    let generated = generated.says("set it yourself: nexus-host secrets set web app/password");
    generated.says("app/hash is made when app/password is set");
    let set = keeper.with_input(&["set", "web", "app/password"], &format!("{PASSWORD}\n"));
    set.expect(0)
        .says("app/hash is made from app/password: nexus-host secrets rotate web app/hash");
    assert_eq!(keeper.get("app/password"), PASSWORD);
    assert_eq!(keeper.run(&["generate", "web"]).expect(0).stdout, "app/hash\n");
    let token = keeper.get("app/token");
    assert_eq!(token.len(), 64);
    assert_eq!(keeper.run(&["generate", "web"]).expect(0).stdout, "");
    assert_eq!(keeper.get("app/token"), token, "an existing value was made anew");
    let check = keeper.run(&["check"]).expect(0);
    assert_eq!(check.stdout, "web: 4 secrets, all good\n");
}

#[test]
fn the_real_sops_reads_and_changes_the_same_file() {
    let keeper = Keeper::filled();
    let sops = Sops::new(keeper.workspace.path());
    let plain = sops.run(&["decrypt", "secrets.sops/web.yaml"]);
    assert!(String::from_utf8(plain).unwrap().contains(PASSWORD));
    sops.run(&[
        "set",
        "secrets.sops/web.yaml",
        "[\"app\"][\"password\"]",
        "\"another long one 1\"",
    ]);
    assert_eq!(keeper.get("app/password"), "another long one 1");
    // What our rule says, theirs says too: nothing is left to do for `updatekeys`.
    let said = sops.run(&["updatekeys", "--yes", "secrets.sops/web.yaml"]);
    let text = keeper.file();
    assert!(text.contains("recipient"), "{}", String::from_utf8_lossy(&said));
    keeper.run(&["check"]).expect(0);
}

#[test]
fn lists_need_no_identity() {
    let keeper = Keeper::filled();
    let mut command = keeper.command(&["list", "web", "--json"]);
    command.env_remove("SOPS_AGE_KEY_FILE");
    let list = Ran::of(command).expect(0).json();
    let names: Vec<&str> = list["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["app/hash", "app/password", "app/token", "disk"]);
    assert!(list["secrets"].as_array().unwrap().iter().all(|row| row["set"] == true));
    let hash = &list["secrets"][0];
    assert_eq!(hash["reloads"], serde_json::json!(["web.service"]));
    assert_eq!(hash["mode"], "0400");
    let mut get = keeper.command(&["get", "web", "app/token"]);
    get.env_remove("SOPS_AGE_KEY_FILE");
    Ran::of(get).expect(1).says("no identity was found to decrypt with").says("--identity FILE");
}

#[test]
fn rotation_renews_what_may_be_renewed_and_says_who_restarts() {
    let keeper = Keeper::filled();
    let (token, disk, hash) = (keeper.get("app/token"), keeper.get("disk"), keeper.get("app/hash"));
    let dry = keeper.run(&["rotate", "web", "--dry-run", "--json"]).expect(0).json();
    assert_eq!(dry["renewed"], serde_json::json!(["app/hash", "app/token"]));
    assert_eq!(dry["restarts"], serde_json::json!(["app.service"]));
    assert_eq!(dry["reloads"], serde_json::json!(["web.service"]));
    assert_eq!(keeper.get("app/token"), token, "a dry run changed something");
    let before = keeper.file();
    keeper.run(&["rotate", "web"]).expect(0).says("the next deploy restarts app.service");
    assert_ne!(keeper.get("app/token"), token);
    assert_ne!(keeper.get("app/hash"), hash);
    assert_eq!(keeper.get("disk"), disk);
    let line = |text: &str| text.lines().find(|line| line.contains("disk:")).unwrap().to_owned();
    assert_ne!(line(&keeper.file()), line(&before), "the data key stayed");
    keeper.run(&["rotate", "web", "disk"]).expect(0);
    assert_ne!(keeper.get("disk"), disk, "what is named is renewed");
    keeper.run(&["rotate", "web", "app/password"]).expect(1).says("has no `generate`");
}

#[test]
fn values_are_nowhere_but_where_they_were_asked_for() {
    let keeper = Keeper::filled();
    let mut said = String::new();
    let token = keeper.get("app/token");
    for words in [
        &["list", "web"][..],
        &["list", "web", "--json"],
        &["check", "--json"],
        &["rotate", "web", "--dry-run"],
        &["rekey"],
        &["set", "web", "app/nothing"],
        &["get", "web", "nothing"],
    ] {
        let ran = keeper.with_input(words, PASSWORD);
        said += &ran.stdout;
        said += &ran.stderr;
    }
    let mut waiting = vec![keeper.workspace.path().to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                said += &String::from_utf8_lossy(&std::fs::read(&path).unwrap());
            }
        }
    }
    for secret in [PASSWORD, &token] {
        assert!(!said.contains(secret), "a secret was written down");
    }
}

#[test]
fn nothing_is_lost_when_something_fails() {
    let keeper = Keeper::filled();
    let before = keeper.file();
    keeper.with_input(&["set", "web", "app"], "x").expect(1).says("`app` is not a secret");
    keeper.with_input(&["set", "web", "app", "--undeclared"], "\u{1}").expect(0);
    let keeper = Keeper::filled();
    let before_second = keeper.file();
    let deep = keeper.with_input(&["set", "web", "app/token/x", "--undeclared"], "y");
    deep.expect(1).says("`app/token` is not a map");
    assert_eq!(keeper.file(), before_second);
    assert_ne!(before, before_second);
    let tampered = before_second.replacen("data:", "data:AAAA", 1);
    keeper.workspace.write("secrets.sops/web.yaml", &tampered);
    for words in [&["generate", "web"][..], &["rotate", "web"], &["rekey", "web"]] {
        keeper.run(words).expect(1).says("the value of `app/password`");
        assert_eq!(keeper.file(), tampered, "{words:?} wrote over a damaged file");
    }
    keeper.workspace.write("secrets.sops/web.yaml", "app:\n    password: in clear\n");
    keeper.run(&["generate", "web"]).expect(1).says("the document is not encrypted");
}

#[test]
fn a_weak_missing_unused_or_open_secret_is_found() {
    let keeper = Keeper::filled();
    keeper.with_input(&["set", "web", "app/password"], "Password1").expect(0);
    keeper.with_input(&["set", "web", "left/over", "--undeclared"], "x").expect(0);
    let more = "[secrets.values.late]\nmode = \"0444\"\n";
    keeper.workspace.write("hosts/web.toml", &format!("{HOST}{more}"));
    let ran = keeper.run(&["check", "--json"]).expect(6);
    assert!(!ran.stdout.contains("Password1"), "the check shows a value");
    let json = ran.json();
    let findings = json[0]["findings"].as_array().unwrap();
    let found: Vec<(&str, &str)> = findings
        .iter()
        .map(|found| (found["kind"].as_str().unwrap(), found["secret"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(
        found,
        [
            ("readable", "late"),
            ("missing", "late"),
            ("unused", "left/over"),
            ("weak", "app/password")
        ]
    );
    for finding in findings {
        assert!(!finding["help"].as_str().unwrap().is_empty(), "{finding}");
    }
}
