//! What tests share: a workspace of their own, the program, one cache and one store for all.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The built program.
pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_nexus-host")
}

/// Where fetched files, the store and pinned tools stay from one test run to the next.
pub(crate) fn shared_directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("shared")
}

/// A folder with hosts of its own; removed at the end.
pub(crate) struct Workspace {
    pub(crate) directory: tempfile::TempDir,
}

impl Workspace {
    /// With one host file.
    pub(crate) fn with_host(name: &str, text: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("nexus-it-").tempdir().unwrap();
        let workspace = Self { directory };
        workspace.write(&format!("hosts/{name}.toml"), text);
        workspace
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        nexus_host::exec::files::write_atomic(&path, text.as_bytes()).unwrap();
    }

    /// A command of the program in this workspace, with the shared cache and store.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = plain_command(program());
        let shared = shared_directory();
        std::fs::create_dir_all(&shared).unwrap();
        command.args(["-C".as_ref(), self.path().as_os_str()]);
        command.args(arguments);
        command.env("XDG_CACHE_HOME", shared.join("cache"));
        command.env("XDG_DATA_HOME", shared.join("data"));
        command
    }

    /// Runs to the end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments))
    }
}

/// A command with the test's own environment.
#[expect(clippy::disallowed_methods, reason = "tests start the program as a user does")]
pub(crate) fn plain_command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// What a run of the program gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(mut command: Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        Self {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// The run ended with `code`; shows all it said when not.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard error has `text`.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no `{text}` in:\n{}", self.stderr);
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in:\n{}", self.stdout))
    }
}

/// Whether this process may mount what it likes: root, and not of a container alone.
pub(crate) fn is_machine_root() -> bool {
    let ids = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    rustix::process::geteuid().is_root() && ids.contains("4294967295")
}

/// A number that whoever runs the tests sets, to have more of something.
#[expect(clippy::disallowed_methods, reason = "tests have no other options")]
pub(crate) fn how_often(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// A release binary that can neither be had from Debian nor built from source here, from the folder that
/// `NEXUS_HOST_TEST_PROGRAMS` names; without it, what is tested with it is said to be left out.
#[expect(clippy::disallowed_methods, reason = "tests have no other options")]
pub(crate) fn given_program(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("NEXUS_HOST_TEST_PROGRAMS");
    let file = folder.map(|folder| Path::new(&folder).join(name)).filter(|file| file.is_file());
    if file.is_none() {
        skipped(&format!("{name}, which is not in the folder NEXUS_HOST_TEST_PROGRAMS"));
    }
    file
}

/// Says that a part of a test was left out, and why; past the capture of what tests print.
pub(crate) fn skipped(what: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr().lock(), "left out: {what}").unwrap();
}
