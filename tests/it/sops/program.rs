//! The real `sops`, built once from its Go module and kept below the target directory.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use crate::go;
use crate::support::plain_command;

const VERSION: &str = "3.13.3";

/// The real program with the identity `keys.txt` of a folder.
pub(crate) struct Sops {
    folder: PathBuf,
    /// The variable that names the identity, and the file in the folder.
    pub(crate) identity_variable: (&'static str, &'static str),
}

impl Sops {
    pub(crate) fn new(folder: &Path) -> Self {
        let identity_variable = ("SOPS_AGE_KEY_FILE", "keys.txt");
        Self { folder: folder.to_owned(), identity_variable }
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
        let (variable, file) = self.identity_variable;
        command.env("HOME", &self.folder).env(variable, self.folder.join(file));
        command.output().unwrap()
    }
}

/// The program; built when it is not there.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let module = format!("github.com/getsops/sops/v3/cmd/sops@v{VERSION}");
        go::built(&format!("sops-{VERSION}"), |_| vec!["install".to_owned(), module]).join("sops")
    })
}
