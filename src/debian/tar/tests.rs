//! Tests of the tar reader.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::debian::deb::testing::{
    Style, TestEntry, extension, header, padded, pax_record, seal, tar_entry,
};

/// Every entry in one line each, then the error if one came.
fn list(archive: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    if let Err(error) = read(archive, &mut lines) {
        lines.push(error.to_string());
    }
    lines
}

fn read(archive: &[u8], lines: &mut Vec<String>) -> Result<(), TarError> {
    let mut reader = TarReader::new(archive);
    while let Some(entry) = reader.next_entry()? {
        let RawEntry { name, link, kind, mode, uid, gid, size, mtime, xattrs } = entry;
        let [name, link] = [name, link].map(|bytes| bytes.escape_ascii().to_string());
        let mut contents = Vec::new();
        loop {
            match reader.chunk()? {
                [] => break,
                chunk => contents.extend_from_slice(chunk),
            }
        }
        let contents = contents.escape_ascii();
        lines.push(format!(
            "{kind:?} {mode:04o} {uid} {gid} {mtime} {name:?} {link:?} {size} {contents} {xattrs:?}"
        ));
    }
    reader.finish().map(drop)
}

#[track_caller]
fn check(pieces: &[&[u8]], expected: &Expect) {
    let archive = [&pieces.concat()[..], &[0; 1024]].concat();
    expected.assert_eq(&list(&archive).join("\n"));
}

fn entry() -> TestEntry {
    TestEntry::file("name", "abc")
}

/// A sound header with some bytes replaced.
fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut block = header(&entry(), b"00000000003\0");
    block[at..at + bytes.len()].copy_from_slice(bytes);
    seal(&mut block);
    [&block[..], &padded(b"abc")].concat()
}

#[test]
fn numbers_have_many_forms() {
    let sound = expect![[r#"File 0644 0 0 7 "name" "" 3 abc {}"#]];
    for size in [&b"00000000003\0"[..], b"3 ", b"3\0 \0", b"  000003\0", b"000000000003"] {
        check(&[&patched(124, &[size, &[0; 12]].concat()[..12])], &sound);
    }
    check(&[&patched(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x03")], &sound);
    check(
        &[&patched(108, b"\x80\0\0\0\x01\0\0\0")],
        &expect![[r#"File 0644 16777216 0 7 "name" "" 3 abc {}"#]],
    );
    check(&[&patched(100, b"0104755\0")], &expect![[r#"File 4755 0 0 7 "name" "" 3 abc {}"#]]);
    check(&[&patched(108, &[0; 8])], &sound);
    check(
        &[&patched(108, b"0000009\0")],
        &expect!["at byte 0: a header's uid is not a number that it can be"],
    );
    check(
        &[&patched(116, b"1 2    \0")],
        &expect!["at byte 0: a header's gid is not a number that it can be"],
    );
    check(
        &[&patched(136, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")],
        &expect!["at byte 0: a header's mtime is not a number that it can be"],
    );
    check(
        &[&patched(100, b"\x81\0\0\0\0\0\0\0")],
        &expect!["at byte 0: a header's mode is not a number that it can be"],
    );
}

#[test]
fn headers_have_forms() {
    let mut wrong = patched(0, b"");
    wrong[0] ^= 1;
    check(&[&wrong], &expect!["at byte 0: a header's checksum is wrong"]);
    check(
        &[&patched(345, b"prefix/of")],
        &expect![[r#"File 0644 0 0 7 "prefix/of/name" "" 3 abc {}"#]],
    );
    let gnu = patched(257, &[b"ustar  \0", &[0; 80][..], b"not a prefix"].concat());
    check(&[&gnu], &expect![[r#"File 0644 0 0 7 "name" "" 3 abc {}"#]]);
    let old = TestEntry { contents: Vec::new(), ..TestEntry::file("dir/", "") };
    let mut block = header(&old, b"0\0");
    block[257..265].fill(0);
    block[156] = 0;
    seal(&mut block);
    check(&[&block], &expect![[r#"Directory 0644 0 0 7 "dir/" "" 0  {}"#]]);
    let mut owned = patched(108, b"0001750\0");
    owned[265..269].copy_from_slice(b"root");
    let mut block = [0; 512];
    block.copy_from_slice(&owned[..512]);
    seal(&mut block);
    check(&[&block, &padded(b"abc")], &expect![[r#"File 0644 0 0 7 "name" "" 3 abc {}"#]]);
}

#[test]
fn extended_headers_override() {
    let records = [
        pax_record(b"path", "é=\n".as_bytes()),
        pax_record(b"linkpath", b"to"),
        pax_record(b"uid", b"4000000"),
        pax_record(b"gid", b"5"),
        pax_record(b"mtime", b"1700000000.999"),
        pax_record(b"atime", b"whatever"),
        pax_record(b"SCHILY.xattr.user.a", b"\0\n"),
        pax_record(b"size", b"2"),
    ];
    let pax = extension(b'x', &records.concat());
    let sound = tar_entry(&entry(), Style::Gnu);
    check(
        &[&pax, &sound],
        &expect![[
            r#"File 0644 4000000 5 1700000000 "\\xc3\\xa9=\\n" "to" 2 ab {[117, 115, 101, 114, 46, 97]: [0, 10]}"#
        ]],
    );
    let comment = extension(b'g', &pax_record(b"comment", b"0123abc"));
    check(&[&comment, &sound], &expect![[r#"File 0644 0 0 7 "name" "" 3 abc {}"#]]);
    let twice = [pax_record(b"path", b"a"), pax_record(b"path", b"b")].concat();
    check(&[&extension(b'x', &twice), &sound], &expect![[r#"File 0644 0 0 7 "b" "" 3 abc {}"#]]);
    let long = extension(b'L', b"by GNU\0");
    check(
        &[&long, &pax, &sound],
        &expect![[
            r#"File 0644 4000000 5 1700000000 "\\xc3\\xa9=\\n" "to" 2 ab {[117, 115, 101, 114, 46, 97]: [0, 10]}"#
        ]],
    );
}

#[test]
fn unsound_extended_headers_are_refused() {
    let sound = tar_entry(&entry(), Style::Gnu);
    let pax = |records: &[u8]| [&extension(b'x', records)[..], &sound].concat();
    let malformed = expect!["at byte 1024: a PAX header is malformed"];
    for records in [
        &b"x"[..],
        b"5 a=b\n",
        b"7 a=b\n",
        b"6 a=bc",
        b"6 abc\n",
        b"0 a=b\n",
        b"-6 a=b\n",
        b" 6 a=b\n",
        b"99999999999999999999999 a=b\n",
        b"18446744073709551615 a=b\n",
        b"2 \n",
        b"1 a=b\n",
    ] {
        check(&[&pax(records)], &malformed);
    }
    check(
        &[&pax(&pax_record(b"size", b"-1"))],
        &expect!["at byte 1024: a header's size is not a number that it can be"],
    );
    check(
        &[&pax(&pax_record(b"mtime", b"-1.5"))],
        &expect!["at byte 1024: a header's mtime is not a number that it can be"],
    );
    check(
        &[&pax(&pax_record(b"GNU.sparse.major", b"1"))],
        &expect!["at byte 1024: a file is stored sparse, which packages are not"],
    );
    check(
        &[&extension(b'g', &pax_record(b"path", b"x")), &sound],
        &expect!["at byte 1024: a PAX header changes all entries"],
    );
    let long = extension(b'L', b"long\0");
    check(
        &[&long, &long, &sound],
        &expect!["at byte 2048: two long names or PAX headers for one entry"],
    );
    check(
        &[&sound, &long],
        &expect![[r#"
        File 0644 0 0 7 "name" "" 3 abc {}
        at byte 2560: a long name or PAX header without an entry"#]],
    );
    let large = header(&TestEntry::new(b'x', "x"), b"00004000001\0");
    check(&[&large, &sound], &expect!["at byte 512: a name or PAX header has more than 1 MiB"]);
}

/// Names that a file can have, short and long.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,9}",
        "[a-z]{90,110}",
        "[a-z]{99}/[a-z]{1,9}",
        "[a-zé]{1,60}(/[a-zé]{1,60}){0,5}"
    ]
}

proptest! {
    #[test]
    fn archives_of_another_writer_are_read(
        files in proptest::collection::vec((names(), proptest::collection::vec(any::<u8>(), 0..1500)), 0..5),
        target in names(),
    ) {
        let mut builder = ::tar::Builder::new(Vec::new());
        for (name, contents) in &files {
            let mut header = ::tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            header.set_mode(0o640);
            builder.append_data(&mut header, name, &contents[..]).unwrap();
        }
        let mut header = ::tar::Header::new_ustar();
        header.set_entry_type(::tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "link", &target).unwrap();
        let archive = builder.into_inner().unwrap();

        let mut reader = TarReader::new(&archive[..]);
        for (name, contents) in &files {
            let entry = reader.next_entry().unwrap().unwrap();
            prop_assert_eq!(entry.name, name.as_bytes());
            prop_assert_eq!(entry.mode, 0o640);
            let mut found = Vec::new();
            loop {
                match reader.chunk().unwrap() {
                    [] => break,
                    chunk => found.extend_from_slice(chunk),
                }
            }
            prop_assert_eq!(&found, contents);
        }
        let entry = reader.next_entry().unwrap().unwrap();
        prop_assert_eq!(entry.kind, Kind::Symlink);
        prop_assert_eq!(entry.link, target.as_bytes());
        prop_assert!(reader.next_entry().unwrap().is_none());
        reader.finish().unwrap();
    }

    #[test]
    fn changed_archives_do_not_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let long = TestEntry { name: vec![b'n'; 200], ..entry() };
        let mut archive = tar_entry(&long, Style::Gnu);
        archive.extend(tar_entry(&long, Style::Pax));
        archive.extend([0; 1024]);
        for (index, byte) in changes {
            let at = index.index(archive.len());
            archive[at] = byte;
            let block: &mut [u8; 512] = archive.as_chunks_mut().0.get_mut(at / 512).unwrap();
            seal(block);
        }
        list(&archive);
    }
}
