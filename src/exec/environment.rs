//! What the process was given: variables, directories, time. Read once in `main`, passed down.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The surroundings of a run; tests make their own.
#[derive(Debug, Clone)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    /// The directory that relative paths of the command line start from.
    pub working_directory: PathBuf,
    /// This program, to run parts of itself in a sandbox.
    pub program: PathBuf,
    /// Seconds since 1970, or what `NEXUS_HOST_TEST_NOW` says.
    pub now_seconds: u64,
}

/// No place for caches or data could be derived.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("neither {variable} nor HOME is set to an absolute path")]
pub struct NoHomeError {
    /// The variable that would decide, such as `XDG_CACHE_HOME`.
    pub variable: &'static str,
}

impl Environment {
    /// The surroundings of the running process.
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "the one place that reads them"
    )]
    pub fn of_process() -> std::io::Result<Self> {
        let variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        let clock = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let told = variables
            .get(OsStr::new("NEXUS_HOST_TEST_NOW"))
            .and_then(|text| text.to_str()?.parse().ok());
        Ok(Self {
            variables,
            working_directory: std::env::current_dir()?,
            program: std::env::current_exe()?,
            now_seconds: told.unwrap_or(clock),
        })
    }

    /// A made-up environment.
    pub fn new(
        variables: BTreeMap<OsString, OsString>,
        dir: &Path,
        program: &Path,
        now: u64,
    ) -> Self {
        Self {
            variables,
            working_directory: dir.to_owned(),
            program: program.to_owned(),
            now_seconds: now,
        }
    }

    /// The value of `name`, when set and not empty.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|v| !v.is_empty())
    }

    /// All variables, for programs that the user chose, such as an editor.
    pub fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// The value of `name` as text; `None` also when it is not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.variable(name)?.to_str()
    }

    /// `$XDG_CACHE_HOME/nexus-host`: fetched files.
    pub fn cache_directory(&self) -> Result<PathBuf, NoHomeError> {
        self.xdg("XDG_CACHE_HOME", ".cache")
    }

    /// `$XDG_DATA_HOME/nexus-host`: the store.
    pub fn data_directory(&self) -> Result<PathBuf, NoHomeError> {
        self.xdg("XDG_DATA_HOME", ".local/share")
    }

    /// `$XDG_STATE_HOME/nexus-host`: what is remembered about running machines.
    pub fn state_directory(&self) -> Result<PathBuf, NoHomeError> {
        self.xdg("XDG_STATE_HOME", ".local/state")
    }

    /// By the XDG base directory specification a relative value is as good as none.
    fn xdg(&self, variable: &'static str, below_home: &str) -> Result<PathBuf, NoHomeError> {
        let absolute = |name| self.variable(name).map(Path::new).filter(|path| path.is_absolute());
        absolute(variable)
            .map(Path::to_owned)
            .or_else(|| absolute("HOME").map(|home| home.join(below_home)))
            .map(|base| base.join("nexus-host"))
            .ok_or(NoHomeError { variable })
    }
}
