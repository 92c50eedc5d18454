//! The sandbox, with the machine's own `/usr` as its tools.

mod ending;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use nexus_host::exec::sandbox::{
    self, Command, Input, Limits, OWNER_ATTRIBUTE, Ran, Sandbox, SandboxError, Streams, Upper,
};

use crate::identity::{as_each_user, environment};
use crate::namespaces::has_no_namespaces;

fn plain() -> Sandbox {
    Sandbox::for_tool(Vec::new()).with_bind(PathBuf::from("/usr"), "/usr", false)
}

fn recording(scratch: &Path) -> Sandbox {
    let upper = Upper::Directory(scratch.to_owned());
    Sandbox { upper, record_owners: true, ..plain() }
}

fn shell(script: &str) -> Command {
    Command::new(["sh", "-c", script])
}

fn run(sandbox: &Sandbox, script: &str) -> Result<Ran, SandboxError> {
    sandbox::run(&environment(), sandbox, &[shell(script)], Streams::default(), &Limits::default())
}

/// Runs `script` and compares what it wrote.
#[track_caller]
fn check(sandbox: &Sandbox, script: &str, expected: &Expect) {
    let ran = run(sandbox, script).unwrap_or_else(|error| panic!("{error:?}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    expected.assert_eq(&(text(&ran.output) + &text(&ran.errors)));
}

#[test]
fn surroundings_are_the_same_for_everyone() {
    as_each_user("sandbox::surroundings_are_the_same_for_everyone", || {
        let script = "id -u; id -G; umask; hostname; env | sort; ls -l /proc/self/fd | wc -l
            ls /; cat /proc/net/dev | wc -l; cat /proc/self/uid_map | wc -l; echo $$";
        check(
            &plain(),
            script,
            &expect![[r"
                0
                0
                0022
                nexus-host
                HOME=/root
                LC_ALL=C.UTF-8
                PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
                PWD=/
                TERM=dumb
                TZ=UTC
                5
                bin
                dev
                etc
                lib
                lib64
                proc
                root
                run
                sbin
                sys
                tmp
                usr
                3
                1
                2
            "]],
        );
    });
}

#[test]
fn devices_are_few_and_work() {
    let script = "cd /dev; stat -c '%A %N' *; head -c 3 /dev/zero | od -An -c; echo x > /dev/null
        stat -c '%a %n' /dev /dev/shm /tmp /run; script -qc 'test -t 0 && echo terminal' /dev/null | tr -d '\\r'";
    check(
        &plain(),
        script,
        &expect![[r"
        lrwxrwxrwx 'fd' -> '/proc/self/fd'
        crw-rw-rw- 'full'
        crw-rw-rw- 'null'
        lrwxrwxrwx 'ptmx' -> 'pts/ptmx'
        drwxr-xr-x 'pts'
        crw-rw-rw- 'random'
        drwxrwxrwt 'shm'
        lrwxrwxrwx 'stderr' -> '/proc/self/fd/2'
        lrwxrwxrwx 'stdin' -> '/proc/self/fd/0'
        lrwxrwxrwx 'stdout' -> '/proc/self/fd/1'
        crw-rw-rw- 'tty'
        crw-rw-rw- 'urandom'
        crw-rw-rw- 'zero'
          \0  \0  \0
        755 /dev
        1777 /dev/shm
        1777 /tmp
        755 /run
        terminal
    "]],
    );
}

#[test]
fn what_is_below_cannot_be_changed() {
    let script =
        "touch /x; rm /usr/bin/sh; echo 1 > /proc/sys/kernel/panic; mount -o remount,rw /usr
        mknod /tmp/disk b 8 0; echo done";
    check(
        &plain(),
        script,
        &expect![[r"
        done
        touch: cannot touch '/x': Read-only file system
        rm: cannot remove '/usr/bin/sh': Read-only file system
        sh: 1: cannot create /proc/sys/kernel/panic: Read-only file system
        mount: /usr: mount point not mounted or bad option.
               dmesg(1) may have more information after failed mount system call.
        mknod: /tmp/disk: Operation not permitted
    "]],
    );
}

/// Owners as they stand at files below `upper`, and links as the report has them.
fn owners(scratch: &Path, ran: &Ran) -> String {
    let mut lines = Vec::new();
    for entry in fs::read_dir(scratch.join("upper/d")).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let mut value = [0; 32];
        let length = rustix::fs::lgetxattr(&path, OWNER_ATTRIBUTE, &mut value[..]).unwrap_or(0);
        let mut owner = String::from_utf8_lossy(&value[..length]).into_owned();
        if let Some(noted) = ran.owners.by_inode.get(&meta.ino()) {
            owner = format!("{noted} by inode");
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        lines.push(format!("{name} {:o} {owner}\n", meta.permissions().mode()));
    }
    lines.sort();
    let paths = ran.owners.by_path.iter();
    lines.extend(paths.map(|(path, owner)| format!("{} {owner}\n", path.display())));
    lines.concat()
}

#[track_caller]
fn check_owners(script: &str, expected: &Expect) {
    let scratch = tempfile::tempdir().unwrap();
    let script = format!("mkdir /d; cd /d; set -e; {script}");
    let ran = run(&recording(scratch.path()), &script).unwrap();
    let errors = String::from_utf8_lossy(&ran.errors);
    assert!(ran.status.success(), "{errors}");
    expected.assert_eq(&owners(scratch.path(), &ran));
}

#[test]
fn owners_are_noted_and_follow_the_file() {
    as_each_user("sandbox::owners_are_noted_and_follow_the_file", || {
        check_owners(
            "touch a; chown 998:997 a; mv a b; ln -s b link; chown -h 5:6 link; mkfifo p; chown 7 p
             mkdir s; chmod 2775 s; chgrp 50 s; touch c; chown 1:2 c; chown 3 c; touch r; chown 0:0 r",
            &expect![[r"
                b 100644 998:997
                c 100644 3:2
                link 120777 5:6 by inode
                p 10644 7:0 by inode
                r 100644 0:0
                s 42775 0:50
                /d/a 998:997
                /d/c 3:2
                /d/link 5:6
                /d/p 7:0
                /d/s 0:50
            "]],
        );
    });
}

#[test]
fn setuid_is_cleared_as_the_kernel_does() {
    check_owners(
        "touch a b; chmod 4755 a b; chown 998 a; chown 998 b; chmod 4755 b",
        &expect![[r"
            a 100755 998:0
            b 104755 998:0
            /d/a 998:0
            /d/b 998:0
        "]],
    );
}

#[test]
fn a_rewritten_file_is_known_by_its_path() {
    check_owners(
        "echo x > conf; chown 0:42 conf; sed -i s/x/y/ conf; touch other; chown 9 other; chown 0 other",
        &expect![[r"
            conf 100644 0:0
            other 100644 0:0
            /d/conf 0:42
        "]],
    );
}

#[test]
fn a_chown_that_cannot_be_is_refused_as_by_the_kernel() {
    let scratch = tempfile::tempdir().unwrap();
    let sandbox = recording(scratch.path());
    let script = "chown 1 /missing; chown 1 /etc/; chown 1 /usr/bin/sh; cd /proc/self/fd && chown -h 3 /dev/fd
        ln -s x loop; perl -e 'chown 1, 1, \"a\" x 5000 or print \"$!\\n\"'";
    check(
        &sandbox,
        script,
        &expect![[r"
        File name too long
        chown: cannot access '/missing': No such file or directory
        chown: changing ownership of '/usr/bin/sh': Read-only file system
        ln: failed to create symbolic link 'loop': No such file or directory
    "]],
    );
}

#[test]
fn ids_cannot_be_changed_but_nobody_notices() {
    let scratch = tempfile::tempdir().unwrap();
    let script =
        "setpriv --reuid=5 --regid=6 --clear-groups id -u; uname -srvm; sync && echo synced";
    check(
        &recording(scratch.path()),
        script,
        &expect![[r"
        0
        Linux 6.12.0 #1 SMP x86_64
        synced
    "]],
    );
}

#[test]
fn commands_stop_at_the_first_failure() {
    let commands = [
        shell("echo one; sleep 1000 &"),
        shell("echo two; cat /proc/[0-9]*/comm; exit 3"),
        shell("echo three"),
    ];
    let streams = Streams::default();
    let ran =
        sandbox::run(&environment(), &plain(), &commands, streams, &Limits::default()).unwrap();
    assert_eq!((ran.last, ran.status.code()), (1, Some(3)));
    // What the first one left running does not meet the second.
    expect![[r#"
        one
        two
        nexus-host
        sh
    "#]]
    .assert_eq(&String::from_utf8_lossy(&ran.output));
    let error = ran.checked(&commands).unwrap_err();
    let text = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    expect![[r#"
        a program in the sandbox failed: `sh -c "echo two; cat /proc/[0-9]*/comm; exit 3"` ended with exit code 3:
        one
        two
        nexus-host
        sh"#]]
    .assert_eq(&text);
}

#[test]
fn a_command_that_is_not_there_is_named() {
    let commands = [Command::new(["no-such-program", "a b"])];
    let streams = Streams::default();
    let error = sandbox::run(&environment(), &plain(), &commands, streams, &Limits::default());
    expect![[r#"cannot start `no-such-program "a b"` in the sandbox"#]]
        .assert_eq(&error.unwrap_err().to_string());
}

#[test]
fn input_reaches_the_command() {
    let streams = Streams { input: Input::Bytes(b"hello".to_vec()), ..Streams::default() };
    let command = [Command::new(["cat"])];
    let ran =
        sandbox::run(&environment(), &plain(), &command, streams, &Limits::default()).unwrap();
    assert_eq!(ran.output, b"hello");
}

#[test]
fn hundreds_of_layers_are_stacked_in_order() {
    as_each_user("sandbox::hundreds_of_layers_are_stacked_in_order", || {
        let directory = tempfile::tempdir().unwrap();
        for count in [250, 510] {
            let layers: Vec<PathBuf> =
                (0..count).map(|n| directory.path().join(format!("layer-{n}"))).collect();
            for (number, layer) in layers.iter().enumerate() {
                fs::create_dir_all(layer.join("etc")).unwrap();
                let text = number.to_string();
                fs::File::create(layer.join("etc/top"))
                    .unwrap()
                    .write_all(text.as_bytes())
                    .unwrap();
            }
            fs::File::create(layers[count - 1].join("etc/lowest")).unwrap();
            let sandbox = Sandbox { layers, ..plain() };
            let ran = run(&sandbox, "cat /etc/top; ls /etc").unwrap();
            assert_eq!(String::from_utf8_lossy(&ran.output), "0lowest\ntop\n");
        }
    });
}

#[test]
fn too_many_layers_are_refused() {
    let layers = vec![PathBuf::from("/usr"); 5000];
    let error = run(&Sandbox { layers, ..plain() }, "true").unwrap_err();
    expect!["5000 layers are more than the 4000 that can be stacked"].assert_eq(&error.to_string());
}

#[test]
fn a_layer_that_is_not_there_is_named() {
    let layers = vec![PathBuf::from("/no/such/layer")];
    let error = run(&Sandbox { layers, ..plain() }, "true").unwrap_err();
    expect!["cannot open /no/such/layer"].assert_eq(&error.to_string());
}

#[test]
fn changes_in_memory_are_forgotten() {
    let sandbox = Sandbox { upper: Upper::Tmpfs, ..plain() };
    check(&sandbox, "echo x > /etc/x; cat /etc/x", &expect!["x\n"]);
    check(&sandbox, "ls /etc", &expect![""]);
}

#[test]
fn a_writable_bind_is_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = plain().with_bind(directory.path().to_owned(), "/srv/../out", true);
    check(&sandbox, "echo made > /srv/out/file", &expect![""]);
    assert_eq!(fs::read(directory.path().join("file")).unwrap(), b"made\n");
}

#[test]
fn binds_reach_into_the_small_file_systems() {
    as_each_user("sandbox::binds_reach_into_the_small_file_systems", || {
        let directory = tempfile::tempdir().unwrap();
        fs::File::create(directory.path().join("file")).unwrap().write_all(b"x\n").unwrap();
        let sandbox = plain().with_bind(PathBuf::from("/dev/zero"), "/dev/mine", true).with_bind(
            directory.path().to_owned(),
            "/run/a/b",
            false,
        );
        let script = "head -c 1 /dev/mine | od -An -tx1; cat /run/a/b/file; touch /run/a/b/new";
        check(
            &sandbox,
            script,
            &expect![[r"
                 00
                x
                touch: cannot touch '/run/a/b/new': Read-only file system
            "]],
        );
    });
}

#[test]
fn three_hundred_changes_of_owner_are_cheap() {
    let scratch = tempfile::tempdir().unwrap();
    let script = "mkdir /d; cd /d; seq 300 | xargs touch; date +%s%N; chown 998:998 *; date +%s%N";
    let ran = run(&recording(scratch.path()), script).unwrap();
    let text = String::from_utf8(ran.output).unwrap();
    let times: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(ran.owners.questions, 300);
    assert!(times[1] - times[0] < 200_000_000, "{} ns", times[1] - times[0]);
}

#[test]
fn forbidden_namespaces_are_explained() {
    if !has_no_namespaces("sandbox::forbidden_namespaces_are_explained") {
        return;
    }
    let error = run(&plain(), "true").unwrap_err();
    let SandboxError::Forbidden { obstacle } = &error else { panic!("{error:?}") };
    expect!["user namespaces are forbidden here: user.max_user_namespaces is 0"]
        .assert_eq(&error.to_string());
    assert!(obstacle.help().contains("sysctl -w user.max_user_namespaces"), "{}", obstacle.help());
}
