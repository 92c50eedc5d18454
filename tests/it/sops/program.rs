//! The real `sops`, built once from its Go module and kept below the target directory.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use crate::support::{plain_command, shared_directory};

const VERSION: &str = "3.13.3";

/// The real program with the identity `keys.txt` of a folder.
pub(crate) struct Sops {
    folder: PathBuf,
}

impl Sops {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Runs it to success; its standard output.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> Vec<u8> {
        let output = self.output(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "sops {words:?}:\n{said}");
        output.stdout
    }

    /// Runs it to failure; what it said.
    #[track_caller]
    pub(crate) fn fails(&self, words: &[&str]) -> String {
        let output = self.output(words);
        assert!(!output.status.success(), "sops {words:?} succeeded");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn output(&self, words: &[&str]) -> Output {
        let mut command = plain_command(program());
        command.current_dir(&self.folder).env_clear().args(["--disable-version-check"]).args(words);
        command.env("HOME", &self.folder).env("SOPS_AGE_KEY_FILE", self.folder.join("keys.txt"));
        command.output().unwrap()
    }
}

/// The program; built by `go install` when it is not there.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = shared_directory().join(format!("sops-{VERSION}"));
        let program = folder.join("sops");
        if !program.exists() {
            std::fs::create_dir_all(&folder).unwrap();
            let mut command = plain_command("go");
            command.arg("install").arg(format!("github.com/getsops/sops/v3/cmd/sops@v{VERSION}"));
            command.env("GOBIN", &folder).env("CGO_ENABLED", "0");
            command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=mod");
            let built = command.output();
            let why = "the tests against the real sops need Go (https://go.dev) to build it";
            let built = built.unwrap_or_else(|error| panic!("{why}: {error}"));
            let said = String::from_utf8_lossy(&built.stderr);
            assert!(built.status.success(), "{why}:\n{said}");
        }
        program
    })
}
