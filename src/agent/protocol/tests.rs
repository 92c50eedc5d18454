//! Lines of an import, written, read and refused.

use super::*;

fn path(name: &str) -> StorePath {
    StorePath::from_base_name(&format!("{}-{name}", "0".repeat(32))).unwrap()
}

fn digest() -> Sha256Digest {
    Sha256Digest::of(b"x")
}

#[test]
fn a_listing_is_read_as_it_was_written() {
    let mut listing = Listing {
        path: path("a"),
        references: BTreeSet::from([path("b")]),
        entries: BTreeMap::new(),
    };
    let at = |text: &str| TreePath::new(text).unwrap();
    let file = ListedNode::File { digest: digest(), size: 7, executable: true };
    listing.add(TreePath::root(), ListedNode::Directory).unwrap();
    listing.add(at("a b"), ListedNode::Directory).unwrap();
    listing.add(at("a b/\u{e4}"), file).unwrap();
    listing.add(at("link"), ListedNode::Link(b"../x y".to_vec())).unwrap();
    let text = listing.to_text();
    let mut read: Option<Listing> = None;
    for line in text.lines() {
        match ListingLine::parse(line.as_bytes()).unwrap() {
            ListingLine::Path(path, references) => {
                read = Some(Listing { path, references, entries: BTreeMap::new() });
            }
            ListingLine::Entry(path, node) => read.as_mut().unwrap().add(path, node).unwrap(),
            ListingLine::End => {}
            ListingLine::Go => panic!("it was not written"),
        }
    }
    assert_eq!(read.unwrap(), listing, "{text}");
    assert!(text.contains("l ../x%20y link\n"), "{text}");
}

#[test]
fn hostile_lines_are_refused() {
    let bad = [
        "",
        "path",
        "path x",
        "d",
        "d ..",
        "d a/../b",
        "d /a",
        "d a//b",
        "d a b",
        "l x",
        "l  a",
        "f x 1 - a",
        "f 0 1 - a",
        "want",
        "go on",
        "l %00 a",
        "d %61",
    ];
    for line in bad {
        assert!(ListingLine::parse(line.as_bytes()).is_err(), "{line}");
    }
    let size = format!("f {} -1 - a", digest());
    assert_eq!(ListingLine::parse(size.as_bytes()), Err("expected a number of bytes"));
    assert!(ListingLine::parse(&[0xff; 40]).is_err());
}

#[test]
fn entries_need_their_directories() {
    let at = |text: &str| TreePath::new(text).unwrap();
    let mut listing =
        Listing { path: path("a"), references: BTreeSet::new(), entries: BTreeMap::new() };
    assert_eq!(listing.add(at("a"), ListedNode::Directory), Err("no directory holds it"));
    listing.add(TreePath::root(), ListedNode::Directory).unwrap();
    listing.add(at("l"), ListedNode::Link(b"/etc".to_vec())).unwrap();
    assert_eq!(listing.add(at("l/passwd"), ListedNode::Directory), Err("no directory holds it"));
    assert_eq!(listing.add(at("l"), ListedNode::Directory), Err("it is there twice"));
    let deep = vec!["d"; DEPTH_MAX + 1].join("/");
    assert_eq!(listing.add(at(&deep), ListedNode::Directory), Err("it lies too deep"));
}

#[test]
fn frames_and_wants_are_read_as_they_were_written() {
    let inner = TreePath::new("a b").unwrap();
    for form in [Form::Raw, Form::Zstd(9), Form::Patch { length: 7, base: path("b"), inner }] {
        let frame = Frame { digest: digest(), from: 3, bytes: 4, form };
        assert_eq!(Frame::parse(frame.to_line().as_bytes()), Ok(frame));
    }
    let want = Want { digest: digest(), size: 5, have: 2 };
    assert_eq!(Want::parse(&want.to_line()), Some(want));
    assert_eq!(Want::parse("want x"), None);
    let large = Frame { digest: digest(), from: 0, bytes: FRAME_BYTES_MAX + 1, form: Form::Raw };
    assert_eq!(Frame::parse(large.to_line().as_bytes()), Err("a frame has at most 16777216 bytes"));
    let bomb = Frame { bytes: 1, form: Form::Zstd(FRAME_BYTES_MAX + 1), ..large };
    assert!(Frame::parse(bomb.to_line().as_bytes()).is_err());
}
