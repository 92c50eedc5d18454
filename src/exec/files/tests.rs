//! Tests of writing files whole.

use std::path::Path;

use expect_test::expect;

use super::{directory_of, write_atomic, write_scratch};

#[test]
fn a_bare_name_lies_in_the_current_directory() {
    assert_eq!(directory_of(Path::new("name")), Path::new("."));
    assert_eq!(directory_of(Path::new("a/name")), Path::new("a"));
    assert_eq!(directory_of(Path::new("/name")), Path::new("/"));
}

#[test]
fn a_bare_name_is_written_and_replaced() {
    // Tests of a package run in its folder; the name is one that no other test writes.
    let name = format!(".written-by-a-test-{}", std::process::id());
    let path = Path::new(&name);
    write_atomic(path, b"one").unwrap();
    write_atomic(path, b"two").unwrap();
    let read = std::fs::read(path);
    std::fs::remove_file(path).unwrap();
    assert_eq!(read.unwrap(), b"two");
    write_scratch(path, b"three").unwrap();
    let read = std::fs::read(path);
    std::fs::remove_file(path).unwrap();
    assert_eq!(read.unwrap(), b"three");
}

#[test]
fn a_missing_directory_is_named_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing/file");
    let error = write_atomic(&missing, b"x").unwrap_err();
    let text = error.to_string().replace(&directory.path().display().to_string(), "DIR");
    expect!["cannot create a file in DIR/missing"].assert_eq(&text);
    // A directory where the file shall be: the temporary file is removed again.
    let taken = directory.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    write_atomic(&taken, b"x").unwrap_err();
    let names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(names.len(), 1);
}
