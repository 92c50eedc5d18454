//! Input that must be refused before the kernel hears of it.

use super::*;

fn to_load(kernel_bytes: u64, initrd_bytes: u64, contents: &[u8]) -> ToLoad<'static> {
    let sha256 = Sha256Digest::of(contents);
    ToLoad { kernel_bytes, initrd_bytes, sha256, command_line: "quiet", carry: None }
}

#[test]
fn input_that_is_not_what_was_announced_is_refused() {
    let error = load(&to_load(3, 5, b"abcdefgh"), &mut &b"abcdefg"[..]).unwrap_err();
    assert_eq!(error.to_string(), "cannot receive initrd");
    let error = load(&to_load(3, 5, b"abcdefgh"), &mut &b"abcdefgX"[..]).unwrap_err();
    assert!(matches!(error, AgentError::Damaged { .. }), "{error}");
    let error = load(&to_load(BYTES_MAX + 1, 5, b""), &mut &b""[..]).unwrap_err();
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn nothing_is_begun_without_a_kernel() {
    let directory = tempfile::tempdir().unwrap();
    let places = Places::below(directory.path());
    write_scratch(&directory.path().join(LOADED), b"0\n").unwrap();
    assert_eq!(go(&places).unwrap_err().to_string(), "no kernel is loaded");
    assert!(!directory.path().join(LAST_DIRECTORY).exists());
}
