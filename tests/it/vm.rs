//! Every host example, built, booted on both firmwares in the pinned QEMU, and checked.

use crate::secrets::leaks::{files_that_hold, held, plain_values};
use crate::support::Workspace;

#[test]
fn vps1_does_what_its_file_says() {
    check("vps1");
}

/// Locks, builds and tests the host `hosts/NAME.toml` of this repository with one command.
#[track_caller]
fn check(name: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("hosts/{name}.toml"));
    let workspace = Workspace::with_host(name, &std::fs::read_to_string(file).unwrap());
    let junit = workspace.path().join("junit.xml");
    let report = workspace
        .run(&["test", name, "--json", "--again", "--junit", junit.to_str().unwrap()])
        .expect(0)
        .json();
    let host = &report["hosts"][0];
    assert_eq!(host["passed"], true, "{report:#}");
    let firmwares: Vec<&str> = host["machines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["firmware"].as_str().unwrap())
        .collect();
    assert_eq!(firmwares, ["bios", "uefi"]);
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains("<testsuite") && junit.contains("failures=\"0\""), "{junit}");
    let lock = workspace.path().join(format!("hosts/{name}.lock"));
    assert!(lock.exists(), "the host was locked");
}

/// What is added to vps1: secrets of every kind of use.
const SECRETS: &str = r#"
[secrets.values."app/token"]
generate = "hex:64"
owner = "www-data"
group = "www-data"
mode = "0440"
[secrets.values."app/password"]
[secrets.values.login]
generate = "bcrypt:app/password"
password_of = "admin"
[secrets.templates."app/url"]
text = "postgres://app:{secret:app/password|url}@localhost\n"
[units.uses-secrets]
exec = ["/bin/sh", "-c", "test -n \"$TOKEN\" && test \"$(cat \"$CREDENTIALS_DIRECTORY/token\")\" = \"$TOKEN\" && exec sleep infinity"]
credentials = { token = { secret = "app/token" } }
secret_environment = { TOKEN = { secret = "app/token" } }
[[checks]]
name = "password-hash"
kind = "command"
exec = ["/bin/sh", "-c", "grep -q '^admin:\\$2b\\$12\\$' /etc/shadow && grep -q ^root: /etc/shadow"]
[[checks]]
name = "template"
kind = "command"
exec = ["/bin/sh", "-c", "test \"$(cat /run/secrets/templates/app/url)\" = \"postgres://app:$(cat /run/secrets/app/password)@localhost\""]
[[checks]]
name = "nowhere-else"
kind = "command"
exec = ["/bin/sh", "-c", "journalctl -b --no-pager > /run/journal; ! grep -qaF -f /run/secrets/app/password /run/journal /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null && ! grep -rqaF -f /run/secrets/app/password /etc /var/log /var/lib"]
[[checks]]
name = "no-cycle"
kind = "command"
exec = ["/bin/sh", "-c", "! journalctl -b --no-pager | grep -i 'ordering cycle'"]
[[checks]]
name = "nobody-else-reads"
kind = "command"
exec = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/bin/sh", "-c", "! cat /run/secrets/app/password && ! ls /run/secrets/"]
"#;

#[test]
fn a_machine_has_its_secrets_in_memory() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts/vps1.toml");
    let text = std::fs::read_to_string(file).unwrap() + SECRETS;
    let workspace = Workspace::with_host("vps1", &text);
    let ran = workspace.run(&["test", "vps1", "--json", "--again", "--firmware", "bios"]);
    let ran = ran.expect(0);
    let values = fresh_values();
    assert!(values.len() >= 3, "no secrets were made");
    for text in [&ran.stdout, &ran.stderr] {
        assert_eq!(held(text.as_bytes(), &values), None, "what the test said holds a secret");
    }
    let data = crate::support::shared_directory().join("data/nexus-host");
    let folders = ["nix", "images", "logs"].map(|name| data.join(name));
    let (found, looked_at) = files_that_hold(&folders, &values);
    assert_eq!(found, [], "files hold secrets");
    assert!(looked_at > 1_000, "only {looked_at} files were looked at");
    let report = ran.json();
    let checks = report["hosts"][0]["machines"][0]["checks"].to_string();
    for secret in ["app/token", "app/password", "login"] {
        assert!(
            checks.contains(&format!("secret {secret}")),
            "{secret} was not looked at: {checks}"
        );
    }
}

/// Plain values of all secrets that were made for test machines.
fn fresh_values() -> Vec<(String, Vec<u8>)> {
    let folder = crate::support::shared_directory().join("data/nexus-host/test-secrets");
    let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    folders
        .flat_map(|folder| plain_values(&folder.join("secrets.yaml"), &folder.join("identity.txt")))
        .collect()
}
