//! Packages made up for a test, in the layout of an unpacked one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Files of every made-up package; `manifest` describes them.
const FILES: &[&str] = &[
    "usr/bin/made-suid",
    "usr/share/made/file",
    "usr/share/made/gone",
    "usr/share/made/old/a",
    "usr/share/made/owned",
    "usr/share/made/same",
    "usr/share/made/swap/a",
];

const MANIFEST: &str = "\
nexus-manifest 1
d 0755 0 0 500 usr
d 0755 0 0 500 usr/bin
f 4755 0 0 500 4 usr/bin/made-suid
d 0755 0 0 500 usr/share
d 0755 0 0 500 usr/share/made
f 0644 0 0 500 4 usr/share/made/file
f 0644 0 0 500 4 usr/share/made/gone
d 0755 0 0 500 usr/share/made/old
f 0644 0 0 500 4 usr/share/made/old/a
f 0644 0 0 500 4 usr/share/made/owned
f 0644 0 0 500 4 usr/share/made/same
d 0755 0 0 500 usr/share/made/swap
f 0644 0 0 500 4 usr/share/made/swap/a
";

/// Makes the package `name` with maintainer scripts in `directory`.
pub(crate) fn package(directory: &Path, name: &str, scripts: &[(&str, &str)]) -> PathBuf {
    let write = |path: &str, text: &str| {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    };
    let control = format!(
        "Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody\nDescription: made up\n"
    );
    write("control/control", &control);
    for (script, text) in scripts {
        write(&format!("control/{script}"), text);
    }
    for file in FILES {
        write(&format!("data/{file}"), "old\n");
    }
    write("manifest", MANIFEST);
    directory.to_owned()
}
