//! Logins there and back, and the words that the program is given.

use super::*;

fn login(text: &str) -> Result<(Option<String>, String, Option<u16>), LoginError> {
    text.parse::<Login>().map(|login| (login.user, login.host, login.port))
}

#[test]
fn a_login_has_user_address_and_port() {
    let check = |text: &str, user: Option<&str>, host: &str, port: Option<u16>| {
        assert_eq!(login(text), Ok((user.map(str::to_owned), host.to_owned(), port)));
    };
    check("root@192.0.2.1", Some("root"), "192.0.2.1", None);
    check("root@192.0.2.1:2222", Some("root"), "192.0.2.1", Some(2222));
    check("vps", None, "vps", None);
    check("a@2001:db8::1", Some("a"), "2001:db8::1", None);
    check("a@[2001:db8::1]:22", Some("a"), "2001:db8::1", Some(22));
    check("[fe80::1%eth0]", None, "fe80::1%eth0", None);
}

#[test]
fn what_would_be_an_option_is_refused() {
    for text in [
        "",
        "@",
        "root@",
        "-oProxyCommand=x",
        "a@-x",
        "-l@x",
        "a b@c",
        "a@b:x",
        "[a",
        "[a]b",
        "a@b;c",
    ] {
        assert!(login(text).is_err(), "{text}");
    }
}

#[test]
fn a_command_is_roots_and_one_word() {
    let ways = SshProgram {
        old: "root@192.0.2.1:7".parse().unwrap(),
        new: "x".parse().unwrap(),
        variables: Vec::new(),
        directory: PathBuf::new(),
    };
    let shell = SshShell { ways: &ways, login: ways.old.clone(), options: vec!["A=b".into()] };
    let words = shell.arguments("echo 'a' && b");
    let as_root = words.last().unwrap();
    assert!(as_root.ends_with(r"exec sudo -n sh -c 'echo '\''a'\'' && b'"), "{as_root}");
    assert_eq!(words[words.len() - 3..words.len() - 1], ["--", "192.0.2.1"]);
    assert!(words.windows(2).any(|two| two == ["-o", "A=b"]));
    assert!(words.windows(2).any(|two| two == ["-p", "7"]));
    assert!(words.windows(2).any(|two| two == ["-o", "ControlPath=none"]));
}
