//! The command line as users and programs rely on it: words, exit codes, JSON.

use crate::support::{Ran, Workspace, plain_command, program};

const GOOD: &str = "[host]\nname = \"web\"\nrelease = \"trixie\"\n";

#[test]
fn help_teaches_every_verb() {
    let workspace = Workspace::with_host("web", GOOD);
    let help = workspace.run(&["--help"]).expect(0).stdout;
    let verbs = [
        "init",
        "check",
        "lock",
        "build",
        "test",
        "deploy",
        "status",
        "rollback",
        "generations",
        "why",
        "store",
        "completions",
        "man",
    ];
    for verb in verbs {
        assert!(help.contains(&format!("  {verb} ")), "no {verb} in:\n{help}");
        let own = workspace.run(&[verb, "--help"]).expect(0).stdout;
        assert!(own.contains("Usage:"), "{own}");
    }
    assert!(help.contains("Exit codes"), "{help}");
}

#[test]
fn a_wrong_command_line_is_exit_2() {
    let workspace = Workspace::with_host("web", GOOD);
    workspace.run(&["biuld", "web"]).expect(2).says("build");
    workspace.run(&["build"]).expect(2).says("<HOSTS>");
    workspace.run(&["build", "web", "--image", "iso9"]).expect(2).says("raw");
}

#[test]
fn a_good_host_is_good() {
    let workspace = Workspace::with_host("web", GOOD);
    workspace.run(&["check"]).expect(0);
    workspace.run(&["check", "web"]).expect(0);
}

#[test]
fn the_folder_of_this_project_is_a_workspace() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut command = plain_command(program());
    command.args(["-C", root, "check"]);
    Ran::of(command).expect(0);
}

#[test]
fn all_problems_come_at_once_with_their_lines() {
    let workspace = Workspace::with_host(
        "web",
        "[host]\nname = \"Web_1\"\nrelease = \"trixi\"\nkernle = \"cloud\"\n[firewall]\ntcp = [70000]\n",
    );
    let ran = workspace.run(&["check", "web"]).expect(1);
    for place in
        ["hosts/web.toml:2:8", "hosts/web.toml:3:", "hosts/web.toml:4:1", "hosts/web.toml:6:8"]
    {
        assert!(ran.stderr.contains(place), "no {place} in:\n{}", ran.stderr);
    }
    for help in ["trixie", "kernel", "65535"] {
        assert!(ran.stderr.contains(help), "no {help} in:\n{}", ran.stderr);
    }
    let json = workspace.run(&["check", "web", "--json"]).expect(1).json();
    assert!(json["problems"].as_array().unwrap().len() >= 4, "{json}");
}

#[test]
fn a_missing_host_is_named_with_the_nearest() {
    let workspace = Workspace::with_host("web", GOOD);
    workspace.run(&["build", "wep"]).expect(1).says("no host `wep`").says("did you mean `web`");
    workspace.run(&["build", "../web"]).expect(1).says("no host");
}

#[test]
fn outside_a_workspace_the_way_in_is_shown() {
    let empty = tempfile::tempdir().unwrap();
    let mut command = plain_command(program());
    command.args(["-C", empty.path().to_str().unwrap(), "check"]);
    Ran::of(command).expect(1).says("hosts").says("nexus-host init");
}

#[test]
fn a_workspace_is_found_from_below() {
    let workspace = Workspace::with_host("web", GOOD);
    let below = workspace.path().join("hosts");
    let mut command = plain_command(program());
    command.args(["-C", below.to_str().unwrap(), "check"]);
    Ran::of(command).expect(0);
}

#[test]
fn init_writes_a_host_that_checks_and_never_overwrites() {
    let empty = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let mut command = plain_command(program());
        command.args(["-C", empty.path().to_str().unwrap()]).args(words);
        Ran::of(command)
    };
    run(&["init", "web"]).expect(0);
    run(&["check", "web"]).expect(0);
    run(&["init", "web"]).expect(1).says("web.toml");
    run(&["init", "Web 1"]).expect(1).says("host name");
}

#[test]
fn completions_and_manual_are_written() {
    let workspace = Workspace::with_host("web", GOOD);
    for shell in ["bash", "zsh", "fish"] {
        let script = workspace.run(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("nexus-host") && script.contains("junit"), "{shell}");
    }
    let page = workspace.run(&["man"]).expect(0).stdout;
    assert!(page.contains(".TH nexus-host") && page.contains("BUILD"), "{page}");
}
