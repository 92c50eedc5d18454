//! `secrets edit`: in memory only, nothing lost, nothing left.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use super::{Keeper, PASSWORD};
use crate::support::Ran;

/// An editor: a shell script that is given the file.
fn editor(keeper: &Keeper, script: &str) -> PathBuf {
    keeper.workspace.write("editor.sh", &format!("#!/bin/sh\nset -e\n{script}\n"));
    let path = keeper.workspace.path().join("editor.sh");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn edit(keeper: &Keeper, script: &str) -> Ran {
    let mut command = keeper.command(&["edit", "web"]);
    command.env("EDITOR", editor(keeper, script));
    Ran::of(command)
}

#[test]
fn what_is_edited_is_encrypted_again_and_the_rest_stays() {
    let keeper = Keeper::filled();
    let before = keeper.file();
    let ran = edit(&keeper, &format!("sed -i 's/{PASSWORD}/a quite different one/' \"$1\""));
    ran.expect(0).says("app/hash is made from app/password");
    assert_eq!(keeper.get("app/password"), "a quite different one");
    let line =
        |text: &str, key: &str| text.lines().find(|line| line.contains(key)).unwrap().to_owned();
    let after = keeper.file();
    assert_eq!(line(&after, "token:"), line(&before, "token:"));
    assert_ne!(line(&after, "password:"), line(&before, "password:"));
    edit(&keeper, "true").expect(0).says("nothing was changed");
    assert_eq!(keeper.file(), after);
}

#[test]
fn comments_written_in_the_editor_are_kept_and_encrypted() {
    let keeper = Keeper::filled();
    edit(&keeper, "sed -i '1i # the spare key is under the mat' \"$1\"").expect(0);
    assert!(!keeper.file().contains("under the mat"));
    edit(&keeper, "grep -q '^# the spare key is under the mat$' \"$1\"").expect(0);
}

#[test]
fn the_plain_text_is_in_memory_and_gone_afterwards() {
    let keeper = Keeper::filled();
    let script =
        "stat -f -c %T \"$1\" > \"$OUT\"; stat -c %a \"$1\" >> \"$OUT\"; echo \"$1\" >> \"$OUT\"";
    let out = keeper.workspace.path().join("out");
    let mut command = keeper.command(&["edit", "web"]);
    command.env("EDITOR", editor(&keeper, script)).env("OUT", &out);
    command.env("SOPS_AGE_KEY", "");
    Ran::of(command).expect(0);
    let said = std::fs::read_to_string(out).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(["ramfs", "tmpfs"].contains(&lines[0]), "{said}");
    assert_eq!(lines[1], "600");
    assert!(!PathBuf::from(lines[2]).exists(), "the plain text is still there");
    assert!(lines[2].ends_with("/web.yaml"), "the editor needs the name's end for its colours");
}

#[test]
fn a_killed_program_leaves_no_plain_text() {
    let keeper = Keeper::filled();
    let out = keeper.workspace.path().join("out");
    let script = "stat -f -c %T \"$1\" > \"$OUT.part\"; echo \"$1\" >> \"$OUT.part\"; mv \"$OUT.part\" \"$OUT\"; sleep 5";
    let mut command = keeper.command(&["edit", "web"]);
    command.env("EDITOR", editor(&keeper, script)).env("OUT", &out);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..200 {
        if out.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let said = std::fs::read_to_string(&out).expect("the editor did not start");
    let (kind, path) = said.trim().split_once('\n').unwrap();
    // A ramfs of the process alone cannot even be seen from here; a tmpfs is the fallback where the
    // kernel lets nobody mount, and outlives a kill.
    if kind == "ramfs" {
        assert!(!PathBuf::from(path).exists(), "others can see the plain text");
    }
    let before = keeper.file();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(kind != "ramfs" || !PathBuf::from(path).exists());
    assert_eq!(keeper.file(), before);
}

#[test]
fn a_text_that_is_no_document_is_not_written() {
    let keeper = Keeper::filled();
    let before = keeper.file();
    for (script, reason) in [
        ("echo 'a: [' > \"$1\"", "is not YAML"),
        ("printf 'a: 1\\na: 2\\n' > \"$1\"", "`a` is there twice"),
        ("echo 'sops: 1' > \"$1\"", "reserved key"),
        ("rm \"$1\"", "cannot open"),
        ("exit 3", "ended with exit code 3"),
    ] {
        edit(&keeper, script).expect(1).says(reason);
        assert_eq!(keeper.file(), before, "{script}");
    }
    let mut command = keeper.command(&["edit", "web"]);
    command.env_remove("EDITOR");
    Ran::of(command).expect(1).says("neither VISUAL nor EDITOR is set");
}

#[test]
fn a_change_made_meanwhile_is_not_overwritten() {
    let keeper = Keeper::filled();
    let file = keeper.workspace.path().join("secrets.sops/web.yaml");
    let script =
        format!("sed -i 's/{PASSWORD}/mine/' \"$1\"; echo '# theirs' >> {}", file.display());
    edit(&keeper, &script).expect(1).says("was changed by something else meanwhile");
    assert!(keeper.file().ends_with("# theirs\n"));
}
