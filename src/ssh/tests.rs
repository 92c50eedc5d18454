//! What is known about machines, and what the user's configuration says.

use std::path::Path;

use super::config;
use super::known_hosts::{HostKey, KnownHosts, Verdict, matches_pattern};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP8BAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

#[track_caller]
fn check_known(lines: &str, host: &str, port: u16, expected: Verdict) {
    let mut known = KnownHosts::default();
    known.read(lines, "known_hosts");
    let key = HostKey::from_text(KEY).unwrap();
    assert_eq!(known.judge(host, port, &key), expected, "{lines}");
}

#[test]
fn keys_are_known_by_name_port_pattern_and_hash() {
    use Verdict::{Known, Other, Unknown};
    let other = |line: u32| Other(format!("known_hosts, line {line}"));
    check_known(&format!("example.org {KEY}"), "example.org", 22, Known);
    check_known(&format!("example.org {KEY} comment\n"), "EXAMPLE.org", 22, Known);
    check_known(&format!("example.org {KEY}"), "example.org", 2222, Unknown);
    check_known(&format!("[example.org]:2222 {KEY}"), "example.org", 2222, Known);
    check_known(&format!("# x\n\na,192.0.2.1 {KEY}"), "192.0.2.1", 22, Known);
    check_known(&format!("*.example.org,!b.example.org {KEY}"), "a.example.org", 22, Known);
    check_known(&format!("*.example.org,!b.example.org {KEY}"), "b.example.org", 22, Unknown);
    check_known(&format!("example.org {OTHER}"), "example.org", 22, other(1));
    check_known(&format!("example.org {OTHER}\nexample.org {KEY}"), "example.org", 22, Known);
    let revoked = format!("@revoked * {KEY}\nexample.org {KEY}");
    let verdict = Other("revoked in known_hosts, line 1".into());
    check_known(&revoked, "example.org", 22, verdict);
    check_known(&format!("@cert-authority * {KEY}"), "example.org", 22, Unknown);
    check_known("example.org ssh-ed25519 !!!\nbroken\n@\n@revoked\n", "example.org", 22, Unknown);
    // Made by `ssh-keygen -H` from `example.org KEY`.
    let salt = "|1|AAECAwQFBgcICQoLDA0ODxAREhM=|";
    for (name, expected) in [("example.org", Known), ("example.com", Unknown)] {
        let hash = hashed(salt, "example.org");
        check_known(&format!("{salt}{hash} {KEY}"), name, 22, expected);
    }
    check_known(&format!("|1|x|y {KEY}\n|1| {KEY}\n|1|| {KEY}"), "example.org", 22, Unknown);
}

/// HMAC-SHA1 of a name with a salt, as sshd(8) tells; computed here by its definition (RFC 2104).
fn hashed(salt: &str, name: &str) -> String {
    use base64::Engine as _;
    use sha1::{Digest as _, Sha1};
    let base64 = base64::engine::general_purpose::STANDARD;
    let key = base64.decode(salt.split('|').nth(2).unwrap()).unwrap();
    let pad = |with: u8| -> Vec<u8> {
        (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect()
    };
    let inner = Sha1::digest([pad(0x36), name.as_bytes().to_vec()].concat());
    base64.encode(Sha1::digest([pad(0x5c), inner.to_vec()].concat()))
}

#[test]
fn keys_are_shown_as_ssh_keygen_does() {
    let key = HostKey::from_text(KEY).unwrap();
    assert_eq!((key.kind(), key.to_string().as_str()), ("ssh-ed25519", KEY));
    assert!(key.fingerprint().starts_with("SHA256:") && key.fingerprint().len() == 7 + 43);
    assert_eq!(HostKey::from_blob(&[0, 0, 0, 200, 1]).kind(), "?");
    assert_eq!(HostKey::from_blob(&[]).kind(), "?");
    assert_eq!(HostKey::from_text("ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA"), None);
}

#[test]
fn patterns_match_without_growing_slow() {
    assert!(
        matches_pattern("*", "") && matches_pattern("a?c*", "abcd") && !matches_pattern("", "a")
    );
    assert!(
        !matches_pattern("a?", "a")
            && matches_pattern("**b", "aab")
            && !matches_pattern("*b", "ba")
    );
    let stars = "*a".repeat(200);
    assert!(!matches_pattern(&stars, &"a".repeat(199)));
}

const CONFIG: &str = "
# the user's
Host web1 web2
    HostName %h.example.org
    User = admin
    Port 2222
    IdentityFile ~/.ssh/web key
    IdentityFile \"~/.ssh/web key\"
    IdentitiesOnly yes
Host jump
    ProxyJump other
Host * !web2
    User nobody
    ServerAliveInterval 5
    UserKnownHostsFile ~/.ssh/a /etc/b
";

#[test]
fn the_users_configuration_is_followed() {
    let home = Path::new("/home/me");
    let web1 = config::read(CONFIG, "web1", home);
    assert_eq!(web1.host_name.as_deref(), Some("web1.example.org"));
    assert_eq!((web1.user.as_deref(), web1.port), (Some("admin"), Some(2222)));
    let keys: Vec<&str> = web1.identity_files.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(keys, ["/home/me/.ssh/web", "/home/me/.ssh/web key"]);
    assert_eq!(web1.known_hosts.len(), 2);
    assert!(web1.identities_only && web1.beyond.is_none());
    assert!(config::read(CONFIG, "web2", home).known_hosts.is_empty());
    assert_eq!(config::read(CONFIG, "x", home).user.as_deref(), Some("nobody"));
}

#[test]
fn what_is_beyond_the_builtin_client_is_named() {
    let home = Path::new("/home/me");
    let beyond = |text: &str, alias: &str| config::read(text, alias, home).beyond;
    assert_eq!(beyond(CONFIG, "jump").as_deref(), Some("proxyjump"));
    assert_eq!(beyond(CONFIG, "web1"), None);
    assert_eq!(beyond("Match exec true\nUser x", "a").as_deref(), Some("match"));
    assert_eq!(beyond("Include other", "a").as_deref(), Some("include"));
    assert_eq!(
        beyond("KexAlgorithms sntrup761x25519-sha512", "a").as_deref(),
        Some("kexalgorithms")
    );
    assert_eq!(beyond("IdentityFile ~/%r", "a").as_deref(), Some("identityfile"));
    assert_eq!(beyond("Port x", "a").as_deref(), Some("port"));
    assert_eq!(beyond("PubkeyAuthentication no", "a").as_deref(), Some("pubkeyauthentication"));
}
