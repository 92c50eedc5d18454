//! Takes store paths from whoever deploys: only the contents that the host lacks, each proved.

mod contents;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use nix_archive::nar::{CaseHack, hash_path};

use self::contents::Contents;
use super::error::AgentError;
use super::lock::{Lock, Locked};
use super::places::{Places, shown};
use super::protocol::{
    ENTRIES_MAX, FIRST_LINE, Frame, LINE_BYTES_MAX, ListedNode, Listing, ListingLine,
};
use super::registry::{Registered, Registry};
use crate::exec::files::{FileError, sync_directory};
use crate::store::{PathInfo, Sha256Digest, StoreDir, StorePath, StorePathName};
use crate::tree::TreePath;

/// How long an import waits for another one.
const WAIT: Duration = Duration::from_secs(2);

/// What an import brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Store paths that became valid.
    pub paths: usize,
    /// Bytes of contents that came over the line, as they came.
    pub received_bytes: u64,
}

/// Those of `paths` that the host lacks, in the given order.
pub fn missing(places: &Places, paths: &[StorePath]) -> Result<Vec<StorePath>, AgentError> {
    let registry = Registry::load(places)?;
    let lacks = |path: &&StorePath| !registry.is_valid(places, path);
    Ok(paths.iter().filter(lacks).cloned().collect())
}

/// Leads one import conversation to its end.
///
/// # Errors
///
/// What broke it; store paths that were told valid stay valid, contents that arrived are kept for
/// the next conversation.
pub fn import(
    places: &Places,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<Imported, AgentError> {
    let _lock = Lock::take(places, Locked::Store, "an import runs", WAIT)?;
    let mut registry = Registry::load(places)?;
    let mut lines = Lines { input, number: 0 };
    let listings = read_listings(&mut lines)?;
    let valid = |path: &StorePath| registry.is_valid(places, path);
    let listings: Vec<Listing> =
        listings.into_iter().filter(|listing| !valid(&listing.path)).collect();
    check_references(places, &registry, &listings)?;
    let names = listings.iter().filter_map(|listing| contents::package_of(listing.path.name()));
    let mut contents = Contents::open(places, &wanted(&listings), &names.collect())?;
    check_space(places, &listings, &contents)?;
    let say = |output: &mut dyn Write, text: &str| {
        writeln!(output, "{text}").and_then(|()| output.flush()).map_err(answer_failed)
    };
    let wants: Vec<String> = contents.wants().map(super::protocol::Want::to_line).collect();
    say(output, &[wants, vec!["go".into()]].concat().join("\n"))?;
    let (received_bytes, made) = receive(places, &mut lines, &mut contents, &listings)?;
    place_all(places, &mut registry, made)?;
    for listing in &listings {
        say(output, &format!("valid {}", listing.path))?;
    }
    say(output, "done")?;
    contents.remove();
    Ok(Imported { paths: listings.len(), received_bytes })
}

fn answer_failed(source: std::io::Error) -> AgentError {
    AgentError::at("write to", "standard output")(source)
}

/// Counts lines and bounds them.
struct Lines<'a> {
    input: &'a mut dyn BufRead,
    number: u64,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Vec<u8>, AgentError> {
        use std::io::Read as _;
        self.number += 1;
        let mut line = Vec::new();
        let limit = LINE_BYTES_MAX as u64;
        (&mut *self.input)
            .take(limit)
            .read_until(b'\n', &mut line)
            .map_err(AgentError::at("read from", "standard input"))?;
        if line.pop() != Some(b'\n') {
            let problem =
                if line.len() + 1 >= LINE_BYTES_MAX { "it is too long" } else { "the stream ends" };
            return Err(self.wrong(problem));
        }
        Ok(line)
    }

    fn wrong(&self, problem: &str) -> AgentError {
        AgentError::Import { line: self.number, problem: problem.to_owned() }
    }
}

fn read_listings(lines: &mut Lines<'_>) -> Result<Vec<Listing>, AgentError> {
    if lines.next()? != FIRST_LINE.as_bytes() {
        return Err(lines.wrong("expected `nexus-import 1`"));
    }
    let mut listings: Vec<Listing> = Vec::new();
    let mut open: Option<Listing> = None;
    let mut entries = 0;
    loop {
        let line = lines.next()?;
        let line = ListingLine::parse(&line).map_err(|problem| lines.wrong(problem))?;
        match (line, &mut open) {
            (ListingLine::Path(path, references), None) => {
                open = Some(Listing { path, references, entries: BTreeMap::new() });
            }
            (ListingLine::Entry(path, node), Some(listing)) => {
                entries += 1;
                if entries > ENTRIES_MAX {
                    return Err(lines.wrong("there are too many entries"));
                }
                listing.add(path, node).map_err(|problem| lines.wrong(problem))?;
            }
            (ListingLine::End, Some(listing)) if !listing.entries.is_empty() => {
                listings.extend(open.take());
            }
            (ListingLine::Go, None) => return Ok(listings),
            _ => return Err(lines.wrong("it does not belong here")),
        }
    }
}

/// Every reference is there or comes before.
fn check_references(
    places: &Places,
    registry: &Registry,
    listings: &[Listing],
) -> Result<(), AgentError> {
    let mut coming = BTreeSet::new();
    for listing in listings {
        for reference in &listing.references {
            if !coming.contains(reference) && !registry.is_valid(places, reference) {
                return Err(AgentError::NotHere { path: reference.clone() });
            }
        }
        coming.insert(&listing.path);
    }
    Ok(())
}

/// Refuses before anything is sent when the disk cannot hold it: contents lie there twice for a while.
fn check_space(
    places: &Places,
    listings: &[Listing],
    contents: &Contents,
) -> Result<(), AgentError> {
    let nodes = listings.iter().flat_map(|listing| listing.entries.values());
    let trees: u64 = nodes.map(ListedNode::disk_bytes).sum();
    let coming: u64 = contents.wants().map(|want| want.size - want.have).sum();
    let needed = trees.saturating_add(coming);
    let store = places.store();
    let space =
        rustix::fs::statvfs(&store).map_err(AgentError::at("look at the space of", &store))?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if needed > free { Err(AgentError::Space { needed, free }) } else { Ok(()) }
}

/// Contents of all listings with their sizes, each once, in the order of the listings.
fn wanted(listings: &[Listing]) -> Vec<(Sha256Digest, u64)> {
    let mut seen = BTreeSet::new();
    let nodes = listings.iter().flat_map(|listing| listing.entries.values());
    let files = nodes.filter_map(|node| match node {
        ListedNode::File { digest, size, .. } => Some((*digest, *size)),
        _ => None,
    });
    files.filter(|(digest, _)| seen.insert(*digest)).collect()
}

/// Takes frames until `done`, and has each tree made as soon as its contents are there; answers the bytes that
/// came, and the trees in the order of the listings.
fn receive(
    places: &Places,
    lines: &mut Lines<'_>,
    contents: &mut Contents,
    listings: &[Listing],
) -> Result<(u64, Vec<Made>), AgentError> {
    std::thread::scope(|scope| {
        let (sender, ready) = channel::<Ready<'_>>();
        let making =
            scope.spawn(move || ready.into_iter().map(|ready| make(places, &ready)).collect());
        let received = take_all(places, lines, contents, Waiting { listings, sender });
        let made: Result<Vec<Made>, AgentError> =
            making.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // What the other thread met is why this one has ended, too.
        made.and_then(|made| Ok((received?, made)))
    })
}

/// Listings that lack contents, and where those go that lack none any more.
struct Waiting<'l> {
    listings: &'l [Listing],
    sender: Sender<Ready<'l>>,
}

impl Waiting<'_> {
    /// Hands over what is ready; `false` when nobody takes it any more.
    fn hand_over(&mut self, contents: &Contents) -> bool {
        while let Some((listing, rest)) = self.listings.split_first() {
            let Some(places) = places_of(listing, contents) else { return true };
            self.listings = rest;
            if self.sender.send(Ready { listing, places }).is_err() {
                return false;
            }
        }
        true
    }
}

/// Where all contents of a listing lie, when all are there.
fn places_of(listing: &Listing, contents: &Contents) -> Option<BTreeMap<Sha256Digest, PathBuf>> {
    let files = listing.entries.values().filter_map(|node| match node {
        ListedNode::File { digest, .. } => Some(digest),
        _ => None,
    });
    files.map(|digest| Some((*digest, contents.place_of(digest)?.to_owned()))).collect()
}

fn take_all(
    places: &Places,
    lines: &mut Lines<'_>,
    contents: &mut Contents,
    mut waiting: Waiting<'_>,
) -> Result<u64, AgentError> {
    let mut received = 0;
    let mut taken = waiting.hand_over(contents);
    while taken {
        let line = lines.next()?;
        if line == b"done" {
            break;
        }
        let frame = Frame::parse(&line).map_err(|problem| lines.wrong(problem))?;
        received += frame.length();
        if contents.take(places, &frame, &mut *lines.input)? {
            taken = waiting.hand_over(contents);
        }
    }
    match contents.wants().next() {
        Some(want) if taken => {
            Err(lines.wrong(&format!("`done`, but content {} has not come", want.digest)))
        }
        _ => Ok(received),
    }
}

/// A listing whose contents are there.
struct Ready<'l> {
    listing: &'l Listing,
    places: BTreeMap<Sha256Digest, PathBuf>,
}

/// A tree that is made and proved, but not in the store yet.
struct Made {
    path: StorePath,
    registered: Registered,
    tree: PathBuf,
}

/// Makes a tree.
fn make(places: &Places, ready: &Ready<'_>) -> Result<Made, AgentError> {
    let listing = ready.listing;
    let tree = places.incoming().join(format!("tree-{}", listing.path));
    remove(&tree)?;
    write_tree(places, &tree, ready)?;
    let Some(registered) = prove(&tree, listing)? else {
        remove(&tree)?;
        return Err(damaged(places, ready));
    };
    Ok(Made { path: listing.path.clone(), registered, tree })
}

/// Finds the content that is to blame, and removes it, so that it is sent again.
fn damaged(places: &Places, ready: &Ready<'_>) -> AgentError {
    let mut what = shown(&ready.listing.path);
    for (digest, place) in &ready.places {
        let arrived = Contents::has_arrived(places, place);
        if arrived && contents::digest_of(place).ok() != Some(*digest) {
            // Else the next conversation finds it.
            let _kept = fs::remove_file(place);
            what = format!("content {digest}");
        }
    }
    AgentError::Damaged { what }
}

/// Puts the trees into the store and registers them all at once.
fn place_all(places: &Places, registry: &mut Registry, made: Vec<Made>) -> Result<(), AgentError> {
    // Contents first: a name in the store must never lead to something that is not on the disk.
    sync_file_system(&places.incoming())?;
    for Made { path, registered, tree } in made {
        let target = places.store_path(&path);
        // What lies there is not registered, so it is a leftover.
        remove(&target)?;
        fs::rename(&tree, &target).map_err(FileError::at("move into the store", &tree))?;
        registry.insert(path, registered);
    }
    sync_directory(&places.store())?;
    registry.save(places)
}

fn write_tree(places: &Places, root: &Path, ready: &Ready<'_>) -> Result<(), AgentError> {
    for (path, node) in &ready.listing.entries {
        let target = below(root, path);
        match node {
            ListedNode::Directory => {
                fs::create_dir(&target).map_err(FileError::at("create", &target))?;
            }
            ListedNode::Link(to) => {
                symlink(std::ffi::OsStr::from_bytes(to), &target)
                    .map_err(FileError::at("make the link", &target))?;
            }
            ListedNode::File { digest, executable, .. } => {
                let source = &ready.places[digest];
                // What arrived becomes the file itself, unless it is one already: their modes may differ.
                let unused = source.metadata().is_ok_and(|metadata| metadata.nlink() == 1);
                if unused && Contents::has_arrived(places, source) {
                    fs::hard_link(source, &target).map_err(FileError::at("link", source))?;
                } else {
                    fs::copy(source, &target).map_err(FileError::at("copy", source))?;
                }
                finish_file(&target, *executable)?;
            }
        }
    }
    Ok(())
}

fn finish_file(file: &Path, executable: bool) -> Result<(), AgentError> {
    let mode = if executable { 0o555 } else { 0o444 };
    let modified = std::time::UNIX_EPOCH + Duration::from_secs(1);
    let handle = File::open(file).map_err(FileError::at("open", file))?;
    handle
        .set_permissions(fs::Permissions::from_mode(mode))
        .and_then(|()| handle.set_modified(modified))
        .map_err(|error| FileError::at("set the mode of", file)(error).into())
}

/// What a tree is registered as; `None` when it does not lead to the very path that it claims to be.
fn prove(tree: &Path, listing: &Listing) -> Result<Option<Registered>, AgentError> {
    let hash = hash_path(tree, CaseHack::Disabled)
        .map_err(|error| AgentError::at("digest", tree)(std::io::Error::other(error)))?;
    let (nar_size, digest) = hash.into_parts();
    let nar_hash = Sha256Digest::from_bytes(digest);
    let name = StorePathName::new(listing.path.name())?;
    let references = listing.references.clone();
    let info = PathInfo::of_contents(
        &StoreDir::default(),
        &name,
        (nar_hash, nar_size),
        references.clone(),
    );
    let proved = info.path == listing.path;
    Ok(proved.then_some(Registered { nar_hash, nar_size, references }))
}

fn below(root: &Path, path: &TreePath) -> PathBuf {
    if path.is_root() { root.to_owned() } else { root.join(path.to_path()) }
}

/// Removes a file or tree, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), AgentError> {
    let Ok(metadata) = path.symlink_metadata() else { return Ok(()) };
    let removed = if metadata.is_dir() {
        make_writable(path);
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    Ok(removed.map_err(FileError::at("remove", path))?)
}

/// Directories without write permission hold their entries fast, except against root.
fn make_writable(directory: &Path) {
    // What stays as it is shows when it is removed.
    let _kept = fs::set_permissions(directory, fs::Permissions::from_mode(0o755));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

fn sync_file_system(path: &Path) -> Result<(), AgentError> {
    let file = File::open(path).map_err(FileError::at("open", path))?;
    rustix::fs::syncfs(&file).map_err(AgentError::at("sync", path))
}
