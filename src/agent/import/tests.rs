//! Import conversations: whole, broken, resumed, hostile.

use std::io::Cursor;

use super::*;
use crate::agent::protocol::Form;
use crate::exec::files::write_scratch;

struct Host {
    _directory: tempfile::TempDir,
    places: Places,
}

fn host() -> Host {
    let directory = tempfile::tempdir().unwrap();
    let places = Places::below(directory.path());
    for made in [places.store(), places.memory()] {
        fs::create_dir_all(made).unwrap();
    }
    Registry::default().save(&places).unwrap();
    Host { _directory: directory, places }
}

/// A store path with one big file, one small one and a link, and its contents.
fn example(big: &[u8], references: &[StorePath]) -> (Listing, Vec<Vec<u8>>) {
    let small = b"#!/bin/sh\n".to_vec();
    let file = |bytes: &[u8], executable: bool| ListedNode::File {
        digest: Sha256Digest::of(bytes),
        size: bytes.len() as u64,
        executable,
    };
    let at = |text: &str| TreePath::new(text).unwrap();
    let entries = BTreeMap::from([
        (TreePath::root(), ListedNode::Directory),
        (at("bin"), ListedNode::Directory),
        (at("bin/run"), file(&small, true)),
        (at("big"), file(big, false)),
        (at("empty"), file(b"", false)),
        (at("link"), ListedNode::Link(b"bin/run".to_vec())),
    ]);
    let contents = vec![small, big.to_vec()];
    let references: BTreeSet<StorePath> = references.iter().cloned().collect();
    // The address is found by making the tree once.
    let scratch = tempfile::tempdir().unwrap();
    let places = Places::below(scratch.path());
    fs::create_dir_all(places.store()).unwrap();
    let path = StorePath::from_base_name(&format!("{}-example", "0".repeat(32))).unwrap();
    let mut listing = Listing { path, references: references.clone(), entries };
    let mut all =
        Contents::open(&places, &wanted(std::slice::from_ref(&listing)), &BTreeSet::new()).unwrap();
    for bytes in &contents {
        let frame = frame_of(bytes, 0, bytes.len(), false).0;
        all.take(&places, &frame, &mut Cursor::new(bytes)).unwrap();
    }
    let tree = scratch.path().join("tree");
    let ready = Ready { listing: &listing, places: places_of(&listing, &all).unwrap() };
    write_tree(&places, &tree, &ready).unwrap();
    let (size, digest) = hash_path(&tree, CaseHack::Disabled).unwrap().into_parts();
    let nar = (Sha256Digest::from_bytes(digest), size);
    let name = StorePathName::new("example").unwrap();
    listing.path = PathInfo::of_contents(&StoreDir::default(), &name, nar, references).path;
    (listing, contents)
}

fn frame_of(bytes: &[u8], from: usize, to: usize, compressed: bool) -> (Frame, Vec<u8>) {
    let piece = &bytes[from..to];
    let packed = zstd::bulk::compress(piece, 3).unwrap();
    let frame = Frame {
        digest: Sha256Digest::of(bytes),
        from: from as u64,
        bytes: piece.len() as u64,
        form: if compressed { Form::Zstd(packed.len() as u64) } else { Form::Raw },
    };
    (frame, if compressed { packed } else { piece.to_vec() })
}

fn talk(host: &Host, input: &[u8]) -> (Result<Imported, AgentError>, String) {
    let mut output = Vec::new();
    let result = import(&host.places, &mut Cursor::new(input), &mut output);
    (result, String::from_utf8(output).unwrap())
}

fn listings_text(listings: &[&Listing]) -> Vec<u8> {
    let texts: String = listings.iter().map(|listing| listing.to_text()).collect();
    format!("{FIRST_LINE}\n{texts}go\n").into_bytes()
}

fn send(text: &mut Vec<u8>, bytes: &[u8], (from, to): (usize, usize), compressed: bool) {
    let (frame, raw) = frame_of(bytes, from, to, compressed);
    text.extend(format!("{}\n", frame.to_line()).into_bytes());
    text.extend(raw);
}

#[test]
fn a_store_path_arrives_whole_and_proved() {
    let host = host();
    let big: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let (listing, contents) = example(&big, &[]);
    let asked = std::slice::from_ref(&listing.path);
    assert_eq!(missing(&host.places, asked).unwrap(), asked);
    let mut text = listings_text(&[&listing]);
    send(&mut text, &contents[0], (0, contents[0].len()), false);
    send(&mut text, &big, (0, 1000), true);
    send(&mut text, &big, (1000, big.len()), true);
    text.extend(b"done\n");
    let (result, said) = talk(&host, &text);
    assert_eq!(result.unwrap().paths, 1, "{said}");
    assert!(said.ends_with(&format!("go\nvalid {}\ndone\n", listing.path)), "{said}");
    assert_eq!(said.matches("want ").count(), 2, "the empty file needs no sending: {said}");
    let place = host.places.store_path(&listing.path);
    assert_eq!(fs::read(place.join("big")).unwrap(), big);
    assert_eq!(fs::metadata(place.join("bin/run")).unwrap().permissions().mode() & 0o777, 0o555);
    assert!(missing(&host.places, std::slice::from_ref(&listing.path)).unwrap().is_empty());
    assert_eq!(fs::read_dir(host.places.incoming()).unwrap().count(), 0, "nothing is left over");
    // A second time there is nothing to send.
    let (result, said) = talk(&host, &[listings_text(&[&listing]), b"done\n".to_vec()].concat());
    assert_eq!((result.unwrap().paths, said.as_str()), (0, "go\ndone\n"));
}

#[test]
fn a_broken_line_costs_only_the_rest() {
    let big: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
    // Of a second piece that is not whole, what came as it is stays, and may come again.
    for (compressed, have) in [(true, 70_000), (false, 199_900)] {
        let host = host();
        let (listing, contents) = example(&big, &[]);
        let mut text = listings_text(&[&listing]);
        send(&mut text, &big, (0, 70_000), false);
        send(&mut text, &big, (70_000, big.len()), compressed);
        text.truncate(text.len() - 100);
        let (result, _) = talk(&host, &text);
        assert!(result.unwrap_err().to_string().contains("the stream ends"));
        assert_eq!(missing(&host.places, std::slice::from_ref(&listing.path)).unwrap().len(), 1);
        let mut text = listings_text(&[&listing]);
        send(&mut text, &big, (70_000, big.len()), true);
        send(&mut text, &contents[0], (0, contents[0].len()), false);
        text.extend(b"done\n");
        let (result, said) = talk(&host, &text);
        result.unwrap();
        let want = format!("want {} 200000 {have}\n", Sha256Digest::of(&big));
        assert!(said.contains(&want), "{said}");
        assert!(missing(&host.places, &[listing.path]).unwrap().is_empty());
    }
}

#[test]
fn a_content_that_was_not_finished_is_asked_for_again() {
    let host = host();
    let (listing, contents) = example(b"0123456789", &[]);
    let digest = Sha256Digest::of(b"0123456789");
    fs::create_dir_all(host.places.incoming()).unwrap();
    // The agent was killed after the last byte, or the file is not this content.
    let part = host.places.incoming().join(format!("{digest}.part"));
    write_scratch(&part, b"9876543210").unwrap();
    let mut text = listings_text(&[&listing]);
    for content in &contents {
        send(&mut text, content, (0, content.len()), false);
    }
    text.extend(b"done\n");
    let (result, said) = talk(&host, &text);
    result.unwrap();
    assert!(said.contains(&format!("want {digest} 10 0\n")), "{said}");
}

#[test]
fn what_the_host_has_is_not_sent_again() {
    let host = host();
    let big: Vec<u8> = (0..5_000_u32).flat_map(u32::to_be_bytes).collect();
    let other = host.places.store().join(format!("{}-example_1_all/deep", "1".repeat(32)));
    fs::create_dir_all(&other).unwrap();
    write_scratch(&other.join("same-size"), &vec![1; big.len()]).unwrap();
    write_scratch(&other.join("same"), &big).unwrap();
    let (listing, contents) = example(&big, &[]);
    let mut text = listings_text(&[&listing]);
    send(&mut text, &contents[0], (0, contents[0].len()), false);
    text.extend(b"done\n");
    let (result, said) = talk(&host, &text);
    assert_eq!(result.unwrap().received_bytes, contents[0].len() as u64, "{said}");
    assert!(other.join("same").exists(), "what was reused stays");
}

#[test]
fn a_content_comes_as_its_difference_to_another() {
    let host = host();
    let old: Vec<u8> =
        (0..50_000_u32).flat_map(|n| n.wrapping_mul(0x9e37_79b1).to_le_bytes()).collect();
    let mut big = old.clone();
    big[100_000] ^= 1;
    let base = StorePath::from_base_name(&format!("{}-old", "2".repeat(32))).unwrap();
    write_scratch(&host.places.store_path(&base).join("usr.erofs"), &old).unwrap();
    let (listing, contents) = example(&big, &[]);
    let patch = crate::agent::patch::make(&old, &big, 3).unwrap();
    let frame = |inner: &str| Frame {
        digest: Sha256Digest::of(&big),
        from: 0,
        bytes: big.len() as u64,
        form: Form::Patch {
            length: patch.len() as u64,
            base: base.clone(),
            inner: TreePath::new(inner).unwrap(),
        },
    };
    let stream = |inner: &str| {
        let mut text = listings_text(&[&listing]);
        send(&mut text, &contents[0], (0, contents[0].len()), false);
        text.extend(format!("{}\n", frame(inner).to_line()).into_bytes());
        text.extend(&patch);
        text.extend(b"done\n");
        text
    };
    let (result, _) = talk(&host, &stream("gone"));
    assert!(result.unwrap_err().to_string().contains("gone"));
    let (result, said) = talk(&host, &stream("usr.erofs"));
    assert!(result.unwrap().received_bytes < 2000, "{said}");
    assert_eq!(fs::read(host.places.store_path(&listing.path).join("big")).unwrap(), big);
}

#[test]
fn lies_are_found_out() {
    let big = vec![7; 3000];
    let (listing, contents) = example(&big, &[]);
    let whole = |listing: &Listing| {
        let mut text = listings_text(&[listing]);
        send(&mut text, &contents[0], (0, contents[0].len()), false);
        send(&mut text, &big, (0, big.len()), true);
        text.extend(b"done\n");
        text
    };
    let check = |text: &[u8], expected: &str| {
        // What an earlier conversation brought would not be wanted again.
        let host = host();
        let (result, said) = talk(&host, text);
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!said.contains("valid"), "{said}");
        assert!(Registry::load(&host.places).unwrap().paths().is_empty());
        assert_eq!(fs::read_dir(host.places.store()).unwrap().count(), 0);
    };
    let mut renamed = listing.clone();
    renamed.path = StorePath::from_base_name(&format!("{}-example", "1".repeat(32))).unwrap();
    check(&whole(&renamed), "has arrived with other contents");
    let mut changed = listing.clone();
    changed.entries.insert(TreePath::new("more").unwrap(), ListedNode::Directory);
    check(&whole(&changed), "has arrived with other contents");
    let mut referring = listing.clone();
    referring.references.insert(renamed.path);
    check(&whole(&referring), "is not on this host");
    let mut early = listings_text(&[&listing]);
    early.extend(b"done\n");
    check(&early, "has not come");
    let mut gap = listings_text(&[&listing]);
    send(&mut gap, &big, (10, 20), false);
    gap.extend(b"done\n");
    check(&gap, "a piece before this one is missing");
    let mut unwanted = listings_text(&[&listing]);
    send(&mut unwanted, b"other", (0, 5), false);
    check(&unwanted, "it is not wanted");
    check(b"nexus-import 2\ngo\n", "expected `nexus-import 1`");
    check(format!("{FIRST_LINE}\nd .\n").as_bytes(), "it does not belong here");
    check(&vec![b'x'; 100_000], "it is too long");
}

#[test]
fn one_content_may_be_files_of_both_modes() {
    let host = host();
    let text = b"#!/bin/sh\n";
    let (listing, _) = example(text, &[]);
    let mut stream = listings_text(&[&listing]);
    send(&mut stream, text, (0, text.len()), false);
    stream.extend(b"done\n");
    talk(&host, &stream).0.unwrap();
    let mode = |name: &str| {
        let place = host.places.store_path(&listing.path).join(name);
        fs::metadata(place).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("bin/run"), mode("big")), (0o555, 0o444));
}

#[test]
fn a_damaged_content_is_sent_again_and_nothing_else() {
    let host = host();
    let big = vec![7; 3000];
    let (listing, contents) = example(&big, &[]);
    let mut text = listings_text(&[&listing]);
    // Bytes of the second file under the digest of the first.
    let line = frame_of(&contents[0], 0, contents[0].len(), false).0.to_line();
    text.extend(format!("{line}\n").into_bytes());
    text.extend(&big[..contents[0].len()]);
    send(&mut text, &big, (0, big.len()), true);
    text.extend(b"done\n");
    let (result, said) = talk(&host, &text);
    let digest = Sha256Digest::of(&contents[0]);
    let expected = format!("content {digest} has arrived with other contents than announced");
    assert_eq!(result.unwrap_err().to_string(), expected);
    assert!(!said.contains("valid"), "{said}");
    assert_eq!(fs::read_dir(host.places.store()).unwrap().count(), 0);
    let mut text = listings_text(&[&listing]);
    send(&mut text, &contents[0], (0, contents[0].len()), false);
    text.extend(b"done\n");
    let (result, said) = talk(&host, &text);
    assert_eq!(result.unwrap().received_bytes, contents[0].len() as u64, "{said}");
}

#[test]
fn what_the_disk_cannot_hold_is_refused_before_it_is_sent() {
    let host = host();
    let (mut listing, _) = example(&[1; 3000], &[]);
    let huge =
        ListedNode::File { digest: Sha256Digest::of(b"x"), size: 1 << 60, executable: false };
    listing.entries.insert(TreePath::new("huge").unwrap(), huge);
    let (result, said) = talk(&host, &listings_text(&[&listing]));
    let error = result.unwrap_err();
    assert!(matches!(error, AgentError::Space { .. }), "{error}");
    assert_eq!(said, "", "nothing was asked for");
    assert!(error.help().unwrap().contains("gc"));
}

#[test]
fn two_imports_do_not_run_at_once() {
    let host = host();
    let _first =
        Lock::take(&host.places, Locked::Store, "an import by me", Duration::ZERO).unwrap();
    let (result, _) = talk(&host, b"");
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "the host is being changed: an import by me");
    assert_eq!(error.exit_code(), crate::agent::error::EXIT_BUSY);
}
