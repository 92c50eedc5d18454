//! Programs that Debian has no package of, built once from their Go modules and kept below the target directory.

use std::path::{Path, PathBuf};

use crate::support::{plain_command, shared_directory};

/// The folder `name` with what the words of `go` have built there; `prepare` is called before that, with the folder,
/// and gives the words.
pub(crate) fn built(name: &str, prepare: impl FnOnce(&Path) -> Vec<String>) -> PathBuf {
    let folder = shared_directory().join("go").join(name);
    let done = folder.join("built");
    if done.exists() {
        return folder;
    }
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = plain_command("go");
    command.args(prepare(&folder)).current_dir(&folder).env("GOBIN", &folder);
    command.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=mod");
    let why =
        "the tests against programs that are Go modules need Go (https://go.dev) to build them";
    let built = command.output().unwrap_or_else(|error| panic!("{why}: {error}"));
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{why}:\n{said}");
    nexus_host::exec::files::write_atomic(&done, b"").unwrap();
    folder
}
