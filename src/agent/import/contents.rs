//! Contents by digest: those that arrived, also in part, and those that the store has anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::agent::error::AgentError;
use crate::agent::patch;
use crate::agent::places::Places;
use crate::agent::protocol::{Form, Frame, Want};
use crate::exec::files::{FileError, read_limited};
use crate::store::{Sha256Digest, StorePath};

/// Smaller files are sent: looking for them would cost more than sending them.
const REUSE_BYTES_MIN: u64 = 2048;
/// Versions of a package that are looked through.
const VERSIONS_MAX: usize = 2;
/// Bytes that are taken from the line at once.
const LINE_BYTES: usize = 64 << 10;
/// Smaller pieces are left to the kernel, which gathers them.
const WRITE_OUT_BYTES_MIN: u64 = 256 << 10;
/// Bytes of a file that are read at once.
const PIECE_BYTES: usize = 256 << 10;
/// Most files of one size that are digested to find a content.
const CANDIDATES_MAX: usize = 64;
/// Most bytes that are digested to find contents.
const REUSE_DIGEST_BYTES_MAX: u64 = 4 << 30;

/// Contents that a conversation is about.
#[derive(Debug)]
pub(super) struct Contents {
    directory: PathBuf,
    /// Where each lies that is there.
    here: BTreeMap<Sha256Digest, PathBuf>,
    /// Those that are not, with what has come of them.
    lacking: BTreeMap<Sha256Digest, Want>,
    /// All of them, in the order in which they are asked for.
    order: Vec<Sha256Digest>,
}

impl Contents {
    /// Finds out which of `wanted` (with their sizes) are there, also in store paths of the packages `names`; the
    /// others are asked for in this order.
    pub(super) fn open(
        places: &Places,
        wanted: &[(Sha256Digest, u64)],
        names: &BTreeSet<&str>,
    ) -> Result<Self, AgentError> {
        let directory = places.incoming();
        fs::create_dir_all(&directory).map_err(FileError::at("create", &directory))?;
        let (here, lacking) = (BTreeMap::new(), BTreeMap::new());
        let order = wanted.iter().map(|(digest, _)| *digest).collect();
        let mut contents = Self { directory, here, lacking, order };
        for (digest, size) in wanted {
            let whole = contents.whole(digest);
            if size_of(&whole) == Some(*size) && digest_of(&whole)? == *digest {
                contents.here.insert(*digest, whole);
                continue;
            }
            // Of one that is complete nothing more would come, so it comes again.
            let have = size_of(&contents.part(digest)).filter(|have| have < size).unwrap_or(0);
            contents.lacking.insert(*digest, Want { digest: *digest, size: *size, have });
        }
        contents.reuse(places, names)?;
        // A content without bytes would never be sent.
        let empty = Sha256Digest::of(b"");
        if contents.lacking.get(&empty).is_some_and(|want| want.size == 0) {
            let path = contents.whole(&empty);
            File::create(&path).map_err(FileError::at("create", &path))?;
            contents.lacking.remove(&empty);
            contents.here.insert(empty, path);
        }
        Ok(contents)
    }

    /// What is still lacking.
    pub(super) fn wants(&self) -> impl Iterator<Item = Want> {
        self.order.iter().filter_map(|digest| self.lacking.get(digest)).copied()
    }

    /// Where a content lies, when all of it is there.
    pub(super) fn place_of(&self, digest: &Sha256Digest) -> Option<&Path> {
        self.here.get(digest).map(PathBuf::as_path)
    }

    /// Whether a place that contents lie at is one of those that arrived, not one of the store.
    pub(super) fn has_arrived(places: &Places, place: &Path) -> bool {
        place.starts_with(places.incoming())
    }

    /// Takes a piece from the line; answers whether all of its content is there now.
    pub(super) fn take(
        &mut self,
        places: &Places,
        frame: &Frame,
        input: &mut dyn Read,
    ) -> Result<bool, AgentError> {
        let bad = |problem: &str| AgentError::Import {
            line: 0,
            problem: format!("content {}: {problem}", frame.digest),
        };
        if self.here.contains_key(&frame.digest) {
            // Sent on the chance that it is wanted, without waiting for the answer.
            return copy_bytes(frame, input, &mut |_| Ok(())).map(|()| false);
        }
        let want = self.lacking.get(&frame.digest).ok_or_else(|| bad("it is not wanted"))?;
        let want = *want;
        let end = frame.from.checked_add(frame.bytes).ok_or_else(|| bad("it has no end"))?;
        if end > want.size {
            return Err(bad("it is longer than announced"));
        }
        if frame.from > want.have {
            return Err(bad("a piece before this one is missing"));
        }
        let path = self.part(&frame.digest);
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(FileError::at("open", &path))?;
        file.seek(SeekFrom::Start(frame.from)).map_err(FileError::at("write", &path))?;
        copy_frame(places, frame, input, &mut |bytes| {
            Ok(file.write_all(bytes).map_err(FileError::at("write", &path))?)
        })?;
        file.set_len(end).map_err(FileError::at("write", &path))?;
        self.lacking.insert(frame.digest, Want { have: end, ..want });
        if end == want.size {
            self.finish(&frame.digest, &path)?;
        }
        begin_to_write_out(&file, frame.from, frame.bytes);
        Ok(end == want.size)
    }

    /// Removes what arrived: it is in the store now.
    pub(super) fn remove(&self) {
        for path in self.here.values().filter(|path| path.starts_with(&self.directory)) {
            // It costs space until garbage is collected.
            let _kept = fs::remove_file(path);
        }
    }

    /// It is proved with the path that it belongs to, or when the next conversation begins.
    fn finish(&mut self, digest: &Sha256Digest, part: &Path) -> Result<(), AgentError> {
        let whole = self.whole(digest);
        fs::rename(part, &whole).map_err(FileError::at("rename", part))?;
        self.lacking.remove(digest);
        self.here.insert(*digest, whole);
        Ok(())
    }

    /// Finds lacking contents in files of the same size that other versions of the packages `names` have: looking
    /// through the whole store would take longer than most changes.
    fn reuse(&mut self, places: &Places, names: &BTreeSet<&str>) -> Result<(), AgentError> {
        let mut by_size: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
        for want in self.lacking.values().filter(|want| want.size >= REUSE_BYTES_MIN) {
            by_size.entry(want.size).or_default();
        }
        if by_size.is_empty() {
            return Ok(());
        }
        for path in newest_versions(&places.store(), names)? {
            find_by_size(&path, &mut by_size)?;
        }
        let mut left = REUSE_DIGEST_BYTES_MAX;
        for (size, files) in by_size {
            for file in files {
                if left < size || !self.lacking.values().any(|want| want.size == size) {
                    break;
                }
                left -= size;
                let digest = digest_of(&file)?;
                if self.lacking.remove(&digest).is_some() {
                    self.here.insert(digest, file);
                }
            }
        }
        Ok(())
    }

    fn whole(&self, digest: &Sha256Digest) -> PathBuf {
        self.directory.join(digest.to_string())
    }

    fn part(&self, digest: &Sha256Digest) -> PathBuf {
        self.directory.join(format!("{digest}.part"))
    }
}

/// The package that a store path is a version of: `<package>_<version>_<architecture>`, or the whole name.
///
/// None for a system, `system-<host>`: its images are like no other's, and there are as many as generations.
pub(super) fn package_of(name: &str) -> Option<&str> {
    match name.split_once('_') {
        Some((package, _)) => Some(package),
        None => (!name.starts_with("system-")).then_some(name),
    }
}

/// Gives what follows a frame's line to `write`, in pieces that stay in a processor's cache.
fn copy_bytes(
    frame: &Frame,
    input: &mut dyn Read,
    write: &mut dyn FnMut(&[u8]) -> Result<(), AgentError>,
) -> Result<(), AgentError> {
    let mut left = frame.length();
    let most = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(LINE_BYTES);
    let mut piece = vec![0; most(left)];
    while left > 0 {
        match input.read(&mut piece[..most(left)]) {
            Ok(0) => {
                let problem = "the stream ends within a content".to_owned();
                return Err(AgentError::Import { line: 0, problem });
            }
            Ok(count) => {
                write(&piece[..count])?;
                left -= count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(AgentError::at("read from", "standard input")(error)),
        }
    }
    Ok(())
}

/// Gives the piece of a content that a frame brings to `write`.
fn copy_frame(
    places: &Places,
    frame: &Frame,
    input: &mut dyn Read,
    write: &mut dyn FnMut(&[u8]) -> Result<(), AgentError>,
) -> Result<(), AgentError> {
    let damaged = || AgentError::Damaged { what: format!("a piece of content {}", frame.digest) };
    let mut packed = Vec::new();
    let mut gather = |bytes: &[u8]| {
        packed.extend_from_slice(bytes);
        Ok(())
    };
    let piece = match &frame.form {
        Form::Raw => return copy_bytes(frame, input, write),
        Form::Zstd(_) => {
            copy_bytes(frame, input, &mut gather)?;
            let capacity = usize::try_from(frame.bytes).map_err(|_| damaged())?;
            zstd::bulk::decompress(&packed, capacity).map_err(|_| damaged())?
        }
        Form::Patch { base, inner, .. } => {
            copy_bytes(frame, input, &mut gather)?;
            let path = places.store_path(base);
            let file = if inner.is_root() { path } else { path.join(inner.to_path()) };
            let base = read_limited(&file, patch::BASE_BYTES_MAX)?;
            patch::apply(&base, &packed, frame.bytes).ok_or_else(damaged)?
        }
    };
    if piece.len() as u64 != frame.bytes {
        return Err(damaged());
    }
    write(&piece)
}

/// Has the disk write a large piece while the next one comes; that it is there is made sure of when all of it is.
fn begin_to_write_out(file: &File, from: u64, bytes: u64) {
    let (Ok(start), Ok(count)) = (i64::try_from(from), i64::try_from(bytes)) else { return };
    if bytes < WRITE_OUT_BYTES_MIN {
        return;
    }
    #[expect(unsafe_code, reason = "rustix has no sync_file_range")]
    // SAFETY: it takes numbers only, and the descriptor is open as long as `file` is borrowed.
    let _failed = unsafe {
        libc::sync_file_range(file.as_raw_fd(), start, count, libc::SYNC_FILE_RANGE_WRITE)
    };
}

/// When a store path came, seconds and nanoseconds, and where it lies.
type Version = ((i64, i64), PathBuf);

/// The store paths of packages that came last, some of each: earlier ones hold little that these do not.
fn newest_versions(store: &Path, names: &BTreeSet<&str>) -> Result<Vec<PathBuf>, AgentError> {
    let mut versions: BTreeMap<String, Vec<Version>> = BTreeMap::new();
    for entry in fs::read_dir(store).map_err(FileError::at("list", store))?.flatten() {
        let base = entry.file_name();
        let Some(path) = base.to_str().and_then(|base| StorePath::from_base_name(base).ok()) else {
            continue;
        };
        let Some(package) = package_of(path.name()).filter(|package| names.contains(package))
        else {
            continue;
        };
        if let Ok(metadata) = entry.metadata()
            && metadata.is_dir()
        {
            let came = (metadata.ctime(), metadata.ctime_nsec());
            versions.entry(package.to_owned()).or_default().push((came, entry.path()));
        }
    }
    let newest = versions.into_values().flat_map(|mut paths| {
        paths.sort();
        paths.into_iter().rev().take(VERSIONS_MAX).map(|(_, path)| path)
    });
    Ok(newest.collect())
}

/// Adds files of the asked sizes below `directory`.
fn find_by_size(
    directory: &Path,
    by_size: &mut BTreeMap<u64, Vec<PathBuf>>,
) -> Result<(), AgentError> {
    let entries = fs::read_dir(directory).map_err(FileError::at("list", directory))?;
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            find_by_size(&entry.path(), by_size)?;
        } else if kind.is_file()
            && let Ok(metadata) = entry.metadata()
            && let Some(files) = by_size.get_mut(&metadata.len())
            && files.len() < CANDIDATES_MAX
        {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn size_of(path: &Path) -> Option<u64> {
    let metadata = path.symlink_metadata().ok()?;
    metadata.is_file().then_some(metadata.len())
}

/// The SHA-256 of a file.
pub(super) fn digest_of(path: &Path) -> Result<Sha256Digest, AgentError> {
    let mut file = File::open(path).map_err(FileError::at("open", path))?;
    let mut sha256 = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece).map_err(FileError::at("read", path))? {
            0 => break,
            count => sha256.update(&piece[..count]),
        }
    }
    Ok(Sha256Digest::from_bytes(sha256.finalize().into()))
}
