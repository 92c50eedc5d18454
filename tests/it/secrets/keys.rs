//! Who can decrypt: hosts, people, SSH keys; and keys that were generated, judged by real programs.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nexus_host::sops::{Identities, SecretBytes};

use super::{HOST, Keeper, PASSWORD};
use crate::support::{Ran, plain_command};

#[test]
fn a_host_decrypts_its_own_file_and_no_other() {
    let keeper = Keeper::filled();
    keeper.workspace.write("hosts/db.toml", &HOST.replace("\"web\"", "\"db\""));
    keeper.run(&["add-host", "db"]).expect(0);
    keeper.run(&["generate", "db"]).expect(0);
    let identity = |host: &str| {
        let path =
            keeper.workspace.path().join(format!("home/data/nexus-host/identities/{host}.txt"));
        path.to_str().unwrap().to_owned()
    };
    let get = |host: &str, who: &str| keeper.run(&["get", host, "app/token", "--identity", who]);
    get("web", &identity("web")).expect(0);
    get("db", &identity("db")).expect(0);
    get("web", &identity("db")).expect(1).says("opens the data key");
    get("db", &identity("web")).expect(1).says("opens the data key");
    let mode = std::fs::metadata(identity("web")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    keeper.run(&["add-host", "web"]).expect(1).says("has an identity already");
}

#[test]
fn people_come_and_go() {
    let keeper = Keeper::filled();
    let other = keeper.new_identity("other.txt");
    let rules = std::fs::read_to_string(keeper.workspace.path().join(".sops.yaml")).unwrap();
    let with_other = rules.replacen("- age1", &format!("- {other}\n          - age1"), 1);
    keeper.workspace.write(".sops.yaml", &with_other);
    let check = keeper.run(&["check"]).expect(0);
    assert!(
        check.stdout.contains(&format!("{other} shall be able to decrypt")),
        "{}",
        check.stdout
    );
    let get = || keeper.run(&["get", "web", "app/password", "--identity", "other.txt"]);
    get().expect(1);
    let before = keeper.file();
    let added = keeper.run(&["rekey"]).expect(0);
    assert_eq!(added.stdout, format!("web + {other}\n"));
    assert_eq!(get().expect(0).stdout, PASSWORD);
    let value = |text: &str| text.lines().find(|line| line.contains("disk:")).unwrap().to_owned();
    assert_eq!(
        value(&keeper.file()),
        value(&before),
        "a new reader is no reason for new ciphertext"
    );
    let with_other_file = keeper.file();
    keeper.workspace.write(".sops.yaml", &rules);
    let check = keeper.run(&["check"]).expect(6);
    assert!(check.stdout.contains(&format!("{other} can decrypt")), "{}", check.stdout);
    let removed = keeper.run(&["rekey"]).expect(0).says("secrets rotate web");
    assert_eq!(removed.stdout, format!("web - {other}\n"));
    get().expect(1).says("opens the data key");
    assert_ne!(value(&keeper.file()), value(&with_other_file), "the data key stayed");
    keeper.run(&["rekey"]).expect(0).says("for exactly these already");
    keeper.run(&["check"]).expect(0);
}

/// Runs `ssh-keygen`, which every machine that builds has with its SSH client.
fn ssh_keygen(words: &[&str], folder: &Path) -> Ran {
    let mut command = plain_command("ssh-keygen");
    command.args(words).current_dir(folder);
    Ran::of(command)
}

#[test]
fn ssh_keys_of_openssh_are_identities() {
    let keeper = Keeper::filled();
    let folder = keeper.workspace.path();
    ssh_keygen(&["-q", "-t", "ed25519", "-N", "", "-f", "ssh_key"], folder).expect(0);
    ssh_keygen(&["-q", "-t", "rsa", "-N", "", "-f", "rsa_key"], folder).expect(0);
    let public = std::fs::read_to_string(folder.join("ssh_key.pub")).unwrap();
    keeper.workspace.write("hosts/db.toml", &HOST.replace("\"web\"", "\"db\""));
    keeper.run(&["add-host", "db", "--recipient", public.trim()]).expect(0);
    keeper.run(&["generate", "db"]).expect(0);
    let get = |who: &str| keeper.run(&["get", "db", "app/token", "--identity", who]);
    assert_eq!(get("ssh_key").expect(0).stdout.len(), 64);
    get("rsa_key").expect(1).says("RUSTSEC-2023-0071");
    let rsa = std::fs::read_to_string(folder.join("rsa_key.pub")).unwrap();
    keeper.workspace.write("hosts/old.toml", &HOST.replace("\"web\"", "\"old\""));
    keeper
        .run(&["add-host", "old", "--recipient", rsa.trim()])
        .expect(1)
        .says("use ssh-ed25519 or age");
    assert!(!folder.join("secrets.sops/old.pub").exists());
}

#[test]
fn a_passphrase_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    ssh_keygen(&["-q", "-t", "ed25519", "-N", PASSWORD, "-f", "key"], folder.path()).expect(0);
    let text = SecretBytes::new(std::fs::read(folder.path().join("key")).unwrap());
    let read = |answer: Option<&str>| {
        let mut identities = Identities::default();
        let asked = std::cell::Cell::new(false);
        let ask = |prompt: &str| {
            assert_eq!(prompt, "Passphrase for key: ");
            asked.set(true);
            answer.map(SecretBytes::from)
        };
        let read = identities.read(&text, "key", &ask).map(|()| identities.len());
        assert!(asked.get());
        read
    };
    assert_eq!(read(Some(PASSWORD)), Ok(1));
    assert_eq!(read(Some("wrong")).unwrap_err().to_string(), "key: the passphrase is wrong");
    assert!(read(None).unwrap_err().to_string().contains("no terminal"));
}

/// Runs the program on a terminal of its own, where `typed` is the answer to its question; all that the
/// terminal showed, and the exit code.
fn on_a_terminal(keeper: &Keeper, words: &[&str], typed: &str) -> (String, Option<i32>) {
    let command = keeper.command(words);
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
    let mut script = plain_command("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"keys.age: ") {
        let mut byte = [0];
        output.read_exact(&mut byte).expect("it ended without a question");
        said.extend(byte);
    }
    // The question comes a moment before the terminal stops to show what is typed.
    std::thread::sleep(Duration::from_millis(500));
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{typed}\n").as_bytes()).unwrap();
    output.read_to_end(&mut said).unwrap();
    (String::from_utf8(said).unwrap(), child.wait().unwrap().code())
}

#[test]
fn a_protected_identity_asks_on_the_terminal_and_shows_nothing() {
    let keeper = Keeper::filled();
    let token = keeper.get("app/token");
    let plain = std::fs::read(keeper.workspace.path().join("keys.txt")).unwrap();
    let mut recipient = age::scrypt::Recipient::new(PASSWORD.to_owned().into());
    recipient.set_work_factor(4);
    let protected = age::encrypt(&recipient, &plain).unwrap();
    let path = keeper.workspace.path().join("keys.age");
    nexus_host::exec::files::write_scratch(&path, &protected).unwrap();
    let words = ["get", "web", "app/token", "--identity", "keys.age"];
    let (said, code) = on_a_terminal(&keeper, &words, PASSWORD);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Passphrase for ") && said.trim_end().ends_with(&token), "{said}");
    assert!(!said.contains(PASSWORD), "the passphrase was shown");
    let (said, code) = on_a_terminal(&keeper, &words, "another");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the passphrase is wrong") && !said.contains(&token), "{said}");
    // Without a terminal nobody can be asked.
    let command = keeper.command(&words);
    let mut setsid = plain_command("setsid");
    setsid.arg("--wait").arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    Ran::of(setsid).expect(1).says("there is no terminal to ask for it on");
}

#[test]
fn generated_ssh_keys_are_taken_by_openssh() {
    let keeper = Keeper::filled();
    let host = format!("{HOST}[secrets.values.key]\ngenerate = \"ssh-ed25519\"\n");
    keeper.workspace.write("hosts/web.toml", &host);
    keeper.run(&["generate", "web"]).expect(0);
    keeper.workspace.write("made", &keeper.get("key"));
    let path = keeper.workspace.path().join("made");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).unwrap();
    let public = ssh_keygen(&["-y", "-P", "", "-f", "made"], keeper.workspace.path()).expect(0);
    assert!(public.stdout.starts_with("ssh-ed25519 AAAA"), "{}", public.stdout);
    let signed = keeper.workspace.path().join("text");
    keeper.workspace.write("text", "signed\n");
    let sign = ["-Y", "sign", "-f", "made", "-n", "test", signed.to_str().unwrap()];
    ssh_keygen(&sign, keeper.workspace.path()).expect(0);
    let mut verify = plain_command("ssh-keygen");
    verify.args(["-Y", "check-novalidate", "-n", "test", "-s", "text.sig"]);
    verify.current_dir(keeper.workspace.path());
    verify.stdin(std::fs::File::open(signed).unwrap());
    Ran::of(verify).expect(0);
}
