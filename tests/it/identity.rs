//! Runs a test as the user who started it and, when that is root, also as a plain user.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use nexus_host::exec::environment::Environment;
use nexus_host::exec::process;

/// The uid and gid of `nobody`, who has no subordinate ids anywhere.
pub(crate) const NOBODY: u32 = 65534;

/// Whether this process may become another user.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs `body`; when root, runs the test `name` (its full path) again as `nobody`.
#[track_caller]
pub(crate) fn as_each_user(name: &str, body: impl FnOnce()) {
    body();
    if is_root() {
        as_nobody(name, &[]);
    }
}

/// Runs the test `name` as `nobody`, with surroundings as unlike the usual ones as can be; gives
/// what it wrote to standard output.
#[track_caller]
pub(crate) fn as_nobody(name: &str, variables: &[(&str, &str)]) -> String {
    let program = Environment::of_process().unwrap().program;
    let mut command = process::command("sh".as_ref());
    command
        .args(["-c", "umask 077; exec \"$@\"", "sh"])
        .arg(program)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("PATH", "/usr/bin:/bin")
        .env("TZ", "Asia/Kathmandu")
        .env("LANG", "tr_TR.UTF-8")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("HOME", "/nonexistent")
        .env("RAYON_NUM_THREADS", "1")
        .envs(variables.iter().copied())
        .current_dir("/");
    for name in ["NEXUS_HOST_DEBIAN_MIRROR", "http_proxy", "https_proxy"] {
        if let Some(value) = Environment::of_process().unwrap().variable(name) {
            command.env(name, value);
        }
    }
    let output = command.uid(NOBODY).gid(NOBODY).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "as nobody: {text}{errors}");
    assert!(text.contains("1 passed"), "no test is called {name}: {text}");
    text
}

/// A directory that is kept between runs and that this user can write to.
pub(crate) fn kept_directory() -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    if is_root() {
        // So that a run as nobody finds its own.
        let theirs = parent.join("nobody");
        std::fs::create_dir_all(&theirs).unwrap();
        std::os::unix::fs::chown(&theirs, Some(NOBODY), Some(NOBODY)).unwrap();
        return parent.to_owned();
    }
    if rustix::process::geteuid().as_raw() == NOBODY {
        parent.join("nobody")
    } else {
        parent.into()
    }
}

/// Surroundings in which the built program is `nexus-host`.
pub(crate) fn environment() -> Environment {
    let program = Path::new(env!("CARGO_BIN_EXE_nexus-host"));
    Environment::new(std::collections::BTreeMap::new(), Path::new("/"), program, 0)
}
