//! Machines that cannot be reached: what is said, and which exit code tells that nothing was changed.

use std::io::Write as _;
use std::net::TcpListener;

use crate::support::{Ran, Workspace};

const HOST: &str = "[host]\nname = \"a\"\nrelease = \"trixie\"\n[deploy]\ntags = [\"web\"]\n";

fn workspace() -> Workspace {
    let workspace = Workspace::with_host("a", HOST);
    workspace.write("hosts/b.toml", &HOST.replace("\"a\"", "\"b\""));
    workspace
}

/// Runs the program as somebody with an empty home and no agent.
fn run(workspace: &Workspace, words: &[&str]) -> Ran {
    let mut command = workspace.command(words);
    command.env("HOME", workspace.path()).env_remove("SSH_AUTH_SOCK");
    Ran::of(command)
}

#[test]
fn wrong_words_are_refused_before_anything_is_built() {
    let workspace = workspace();
    let check = |words: &[&str], expected: &str| {
        run(&workspace, &[&["deploy"], words].concat()).expect(2).says(expected);
    };
    check(&[], "required");
    check(&["a", "b", "--ssh", "root@192.0.2.1"], "--ssh names one machine, but 2 hosts");
    check(&["a", "--canary", "b"], "the canary b is not among the hosts");
    check(&["a", "--batch", "0"], "is not a number of hosts");
    check(&["--on", "mail"], "no host has the tag `mail`");
    check(&["a", "--ssh=-oProxyCommand=x"], "is not an address for SSH");
    check(&["a", "--boot", "--reboot"], "cannot be used with");
    check(&["a", "--window", "4"], "4 is not in 5..=3600");
}

#[test]
fn an_address_in_a_host_file_is_checked() {
    let text = format!("{HOST}ssh = [\"root@-x\"]\n");
    let workspace = Workspace::with_host("a", &text);
    run(&workspace, &["check", "a"]).expect(1).says("is not an address for SSH").says("a.toml:6:8");
}

#[test]
fn nobody_there_is_said_for_every_host() {
    let workspace = workspace();
    let status = run(&workspace, &["status", "--ssh", "root@127.0.0.1:1", "--json"]).expect(4);
    let hosts = status.json();
    assert_eq!(hosts["hosts"][0]["reached"], false, "{hosts:#}");
    assert_eq!(hosts["hosts"][1]["error"][0], "cannot connect to [127.0.0.1]:1");
    let name = run(&workspace, &["status", "a", "--ssh", "nobody.invalid"]).expect(4);
    name.says("cannot find the address of nobody.invalid");
}

#[test]
fn what_does_not_talk_ssh_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("root@{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _gone = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let ran = run(&workspace(), &["status", "a", "--ssh", &address]).expect(4);
    ran.says("does not talk SSH with us");
}

#[test]
fn a_configuration_that_needs_the_ssh_program_says_so_when_there_is_none() {
    let workspace = workspace();
    workspace.write(".ssh/config", "Host a\n  ProxyJump other\n");
    let mut command = workspace.command(&["status", "a"]);
    command.env("HOME", workspace.path()).env("PATH", "/nonexistent");
    Ran::of(command).expect(4).says("`proxyjump` in").says("needs the program `ssh`");
}
