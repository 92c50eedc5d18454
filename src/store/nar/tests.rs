//! NARs from Nix, made-up bad ones, and torn ones.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

/// A tree with one of everything, also dumped with `nix-store --dump` (Nix 2.8.0).
pub(in crate::store) fn tree_nar() -> Vec<u8> {
    let mut nar = Encoder::new(Vec::new()).unwrap();
    nar.start_directory(None).unwrap();
    nar.regular(Some(b"a"), false, b"hello\n").unwrap();
    nar.regular(Some(b"run"), true, b"#!/bin/sh\n").unwrap();
    nar.start_directory(Some(b"sub")).unwrap();
    nar.regular(Some(b"caf\xe9"), false, b"x").unwrap();
    nar.start_directory(Some(b"empty")).unwrap();
    nar.end_directory().unwrap();
    nar.symlink(Some(b"link"), b"../a").unwrap();
    nar.regular(Some(b"zero"), false, b"").unwrap();
    nar.end_directory().unwrap();
    nar.end_directory().unwrap();
    nar.finish().unwrap()
}

/// Tokens by hand, to write what no encoder would.
fn tokens(tokens: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for token in tokens {
        bytes.extend_from_slice(&(token.len() as u64).to_le_bytes());
        bytes.extend_from_slice(token);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes
}

/// A directory with a file under each of `names`.
fn directory_of(names: &[&[u8]]) -> Vec<u8> {
    let mut all: Vec<&[u8]> = vec![b"nix-archive-1", b"(", b"type", b"directory"];
    for name in names {
        all.extend_from_slice(&[b"entry", b"(", b"name", name, b"node"]);
        all.extend_from_slice(&[b"(", b"type", b"regular", b"contents", b"", b")", b")"]);
    }
    all.push(b")");
    tokens(&all)
}

fn list(nar: &[u8], limits: &Limits) -> Result<String, NarError> {
    let mut lines = Vec::new();
    read(&mut &nar[..], limits, &mut |event| {
        let shown = |path: &[u8]| path.escape_ascii().to_string();
        lines.push(match event {
            Event::Directory { path } => format!("directory {}", shown(path)),
            Event::DirectoryEnd { path } => format!("end {}", shown(path)),
            Event::File { path, executable, size, contents } => {
                let mut bytes = Vec::new();
                contents.read_to_end(&mut bytes)?;
                let x = if executable { " x" } else { "" };
                format!("file {} {size}{x} {}", shown(path), shown(&bytes))
            }
            Event::Symlink { path, target } => format!("link {} {}", shown(path), shown(target)),
        });
        Ok(())
    })?;
    Ok(lines.join("\n"))
}

#[track_caller]
fn check(nar: &[u8], expected: &Expect) {
    expected.assert_eq(&list(nar, &Limits::default()).unwrap());
}

#[track_caller]
fn refuses(nar: &[u8], expected: &Expect) {
    let error = list(nar, &Limits { contents_bytes: 100, entries: 10 }).unwrap_err();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    expected.assert_eq(&format!("{error}{}", cause.unwrap_or_default()));
}

#[test]
fn the_bytes_are_those_of_nix() {
    let mut nar = Digester::new(None);
    nar.write_all(&tree_nar()).unwrap();
    let digested = nar.finish();
    // nix-store --dump tree | sha256sum
    let expected = "9f8fba147cdc0e6025456029a9adb27a65bb3e9b94625d6ba609236eb429e0b8";
    assert_eq!(digested.nar_hash.to_string(), expected);
    assert_eq!(digested.nar_size, 1424);
}

#[test]
fn a_single_file_is_digested_like_its_nar() {
    let mut nar = Encoder::new(Digester::new(None)).unwrap();
    nar.regular(None, true, b"#!/bin/sh\n").unwrap();
    let digested = nar.finish().unwrap().finish();
    assert_eq!(of_file(b"#!/bin/sh\n", true), (digested.nar_hash, digested.nar_size));
}

#[test]
fn reads_what_was_written() {
    check(
        &tree_nar(),
        &expect![[r"
            directory 
            file a 6 hello\n
            file run 10 x #!/bin/sh\n
            directory sub
            file sub/caf\xe9 1 x
            directory sub/empty
            end sub/empty
            link sub/link ../a
            file sub/zero 0 
            end sub
            end "]],
    );
}

#[test]
fn contents_need_not_be_read() {
    let mut files = 0;
    read(&mut &tree_nar()[..], &Limits::default(), &mut |event| {
        files += u32::from(matches!(event, Event::File { .. }));
        Ok(())
    })
    .unwrap();
    assert_eq!(files, 4);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    refuses(
        &directory_of(&[b".."]),
        &expect![[r#"not a NAR that Nix would accept: invalid entry name "..""#]],
    );
    refuses(
        &directory_of(&[b"."]),
        &expect![[r#"not a NAR that Nix would accept: invalid entry name ".""#]],
    );
    refuses(
        &directory_of(&[b""]),
        &expect![[r#"not a NAR that Nix would accept: invalid entry name """#]],
    );
    refuses(
        &directory_of(&[b"a/b"]),
        &expect![[r#"not a NAR that Nix would accept: invalid entry name "a/b""#]],
    );
    refuses(
        &directory_of(&[b"/a"]),
        &expect![[r#"not a NAR that Nix would accept: invalid entry name "/a""#]],
    );
    refuses(
        &directory_of(&[b"a\0b"]),
        &expect![[r#"not a NAR that Nix would accept: invalid entry name "a\0b""#]],
    );
}

#[test]
fn unsorted_and_doubled_names_are_refused() {
    refuses(
        &directory_of(&[b"b", b"a"]),
        &expect![[
            r#"not a NAR that Nix would accept: directory entries not sorted: "a" after "b""#
        ]],
    );
    refuses(
        &directory_of(&[b"a", b"a"]),
        &expect![[
            r#"not a NAR that Nix would accept: directory entries not sorted: "a" after "a""#
        ]],
    );
}

#[test]
fn what_linux_cannot_hold_is_refused() {
    assert!(list(&directory_of(&[&[b'a'; 255]]), &Limits::default()).is_ok());
    let error = list(&directory_of(&[&[b'a'; 256]]), &Limits::default()).unwrap_err();
    assert!(matches!(error, NarError::LongPath { .. }), "{error}");
    for target in [&b""[..], b"a\0b", &[b'a'; 4096]] {
        let link = tokens(&[b"nix-archive-1", b"(", b"type", b"symlink", b"target", target, b")"]);
        let error = list(&link, &Limits::default()).unwrap_err();
        assert!(matches!(error, NarError::Target { .. }), "{error}");
    }
}

#[test]
fn too_much_is_refused_before_it_is_read() {
    let start: &[&[u8]] = &[b"nix-archive-1", b"(", b"type", b"regular", b"contents"];
    let mut huge = tokens(start);
    huge.extend_from_slice(&u64::MAX.to_le_bytes());
    refuses(&huge, &expect!["the files in the NAR are larger than 100 bytes together"]);
    let names: Vec<Vec<u8>> = (b'a'..=b'k').map(|name| vec![name]).collect();
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    refuses(&directory_of(&names), &expect!["the NAR has more than 10 entries"]);
    let mut long_name =
        tokens(&[b"nix-archive-1", b"(", b"type", b"directory", b"entry", b"(", b"name"]);
    long_name.extend_from_slice(&(1u64 << 40).to_le_bytes());
    refuses(
        &long_name,
        &expect![
            "not a NAR that Nix would accept: NAR metadata token is 1099511627776 bytes, exceeding the streaming limit of 1048576"
        ],
    );
}

#[test]
fn endless_nesting_is_refused() {
    let mut all: Vec<&[u8]> = vec![b"nix-archive-1"];
    for _ in 0..100_000 {
        all.extend_from_slice(&[
            b"(",
            b"type",
            b"directory",
            b"entry",
            b"(",
            b"name",
            b"a",
            b"node",
        ]);
    }
    let error = list(&tokens(&all), &Limits::default()).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, format!("NAR directory nesting exceeds maximum depth of {DEPTH_MAX}"));
}

#[test]
fn every_cut_is_noticed() {
    let nar = tree_nar();
    for length in 0..nar.len() {
        assert!(list(&nar[..length], &Limits::default()).is_err(), "cut at {length}");
    }
}

#[test]
fn what_follows_is_noticed() {
    let longer = [&tree_nar()[..], b"x"].concat();
    refuses(&longer, &expect!["not a NAR that Nix would accept: trailing bytes after archive end"]);
}

#[test]
fn the_visitor_can_stop() {
    let error = read(&mut &tree_nar()[..], &Limits::default(), &mut |_| {
        Err(io::ErrorKind::StorageFull.into())
    });
    let kind = |error| if let NarError::Io(error) = error { Some(error.kind()) } else { None };
    assert_eq!(error.map_err(kind), Err(Some(io::ErrorKind::StorageFull)));
}

proptest! {
    /// Nothing makes the reader panic, and a path never leaves the tree.
    #[test]
    fn damage_is_survived(at in 0usize..1424, byte in any::<u8>(), cut in 0usize..1424) {
        let mut nar = tree_nar();
        nar[at] = byte;
        let end = if cut % 3 == 0 { cut } else { nar.len() };
        let visit = &mut |event: Event<'_>| {
            if let Event::File { path, .. } = event {
                let bad = |part: &[u8]| part == b"." || part == b".." || part.is_empty();
                assert!(path.is_empty() || !path.split(|&byte| byte == b'/').any(bad));
            }
            Ok(())
        };
        let _ = read(&mut &nar[..end], &Limits::default(), visit);
    }
}
