//! The archive, byte for byte.

use super::*;

#[test]
fn an_archive_has_this_form() {
    let archive =
        cpio(&[CpioEntry::directory("dev"), CpioEntry::file("init", 0o755, b"hello".to_vec())]);
    let text = String::from_utf8(archive.clone()).unwrap();
    assert_eq!(archive.len() % 4, 0);
    let expected = "070701\
        00000001000041ED00000000000000000000000200000000000000000000000000000000000000000000000000000004\
        00000000dev\0\0\0\
        070701\
        00000002000081ED00000000000000000000000100000000000000050000000000000000000000000000000000000005\
        00000000init\0\0hello\0\0\0\
        070701\
        0000000000000000000000000000000000000001000000000000000000000000000000000000000000000000\
        0000000B00000000TRAILER!!!\0\0\0\0";
    assert_eq!(text, expected);
}
