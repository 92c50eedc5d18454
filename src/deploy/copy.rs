//! Sends what a machine lacks: listings first, then the contents that it has not, compressed while they go out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::sync::mpsc::{SyncSender, sync_channel};

use rayon::prelude::*;

use super::agent::{Agent, failed};
use super::error::DeployError;
use super::talk::Asked;
use crate::agent::error::AgentError;
use crate::agent::protocol::{FIRST_LINE, ListedNode, Listing, Want};
use crate::agent::sending::{self, Base, Sender, Sources};
use crate::exec::progress::{Progress, Task, Unit};
use crate::exec::store::Store;
use crate::ssh::SshError;
use crate::store::{Sha256Digest, StorePath};

/// Pieces that are compressed ahead of the line, and the bytes of one.
const AHEAD: usize = 16;
const PIECE_BYTES: usize = 256 << 10;
/// Most bytes of a line that the agent says.
const LINE_BYTES_MAX: u64 = 4096;
/// Zstd's level, for contents and for differences: the line should not wait for it. The highest takes a quarter of a
/// second for the difference of a system's image of names, and saves nothing there.
const LEVEL: i32 = 3;
/// Files above this are not sent as a difference: it would take longer than sending them.
const DIFFERENCE_BYTES_MAX: u64 = 16 << 20;

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Store paths that the machine lacked.
    pub paths: usize,
    /// Bytes of contents that it lacked.
    pub wanted_bytes: u64,
    /// Bytes that went over the line, listings included.
    pub sent_bytes: u64,
}

/// Sends `missing`, which is in reference order.
///
/// `running` is the system that runs on the machine: when the local store has it too, changed files of it are sent
/// as their difference.
///
/// # Errors
///
/// What broke it; the machine keeps what arrived, so the next try sends only the rest.
pub fn copy(
    agent: &mut Agent,
    store: &Store,
    missing: &[StorePath],
    running: Option<&StorePath>,
    progress: &dyn Progress,
) -> Result<Copied, DeployError> {
    if missing.is_empty() {
        return Ok(Copied::default());
    }
    let (listings, sources) = list(store, missing)?;
    let bases = bases(store, &listings, running)?;
    let listed: String = listings.iter().map(Listing::to_text).collect();
    let text = format!("{FIRST_LINE}\n{listed}go\n");
    let mut remote = agent.ask(&["import"], text.as_bytes())?;
    match converse(&mut remote, listings.len(), (&sources, &bases), progress) {
        Ok(mut copied) => {
            copied.sent_bytes += text.len() as u64;
            let ended = remote.finish()?;
            if ended.status == 0 { Ok(copied) } else { Err(failed(&["import"], &ended)) }
        }
        // The agent's own words say more than the line that broke when it ended.
        Err(DeployError::Ssh(SshError::Broken(error))) => match remote.finish() {
            Ok(ended) if ended.status != 0 => Err(failed(&["import"], &ended)),
            _ => Err(SshError::Broken(error).into()),
        },
        Err(error) => Err(error),
    }
}

/// Lists store paths, all processors at once: each content is digested.
fn list(store: &Store, paths: &[StorePath]) -> Result<(Vec<Listing>, Sources), DeployError> {
    let list = |path: &StorePath| {
        let info = store.info(path)?;
        let references = info.map(|info| info.references).unwrap_or_default();
        let mut sources = Sources::new();
        let listing = sending::list(path, references, &store.real_path(path), &mut sources);
        Ok((listing.map_err(DeployError::Sending)?, sources))
    };
    let listed: Result<Vec<_>, DeployError> = paths.par_iter().map(list).collect();
    let (listings, sources): (Vec<_>, Vec<_>) = listed?.into_iter().unzip();
    Ok((listings, sources.into_iter().flatten().collect()))
}

fn converse(
    remote: &mut Asked<'_>,
    paths: usize,
    (sources, bases): (&Sources, &BTreeMap<Sha256Digest, Base>),
    progress: &dyn Progress,
) -> Result<Copied, DeployError> {
    let mut lines = BufReader::new(remote);
    let mut wants = Vec::new();
    loop {
        let line = read_line(&mut lines)?;
        if line == "go" {
            break;
        }
        let known = Want::parse(&line)
            .filter(|want| sources.contains_key(&want.digest) && want.have <= want.size);
        wants.push(known.ok_or_else(|| wrong(&line))?);
        if wants.len() > sources.len() {
            return Err(wrong("it wants more than there is"));
        }
    }
    let wanted_bytes: u64 = wants.iter().map(|want| want.size - want.have).sum();
    let task = progress.begin("sending", Unit::Bytes, Some(wanted_bytes));
    let remote = lines.get_mut();
    let sent_bytes = send_all(*remote, &wants, (sources, bases), &*task)?;
    let mut valid = 0;
    loop {
        let line = read_line(&mut lines)?;
        if line == "done" {
            break;
        }
        line.strip_prefix("valid ").ok_or_else(|| wrong(&line))?;
        valid += 1;
        if valid > paths {
            return Err(wrong("it has more than was sent"));
        }
    }
    Ok(Copied { paths, wanted_bytes, sent_bytes })
}

/// Compresses in a thread of its own while the line is written to; answers the bytes that went out.
fn send_all(
    remote: &mut dyn Write,
    wants: &[Want],
    (sources, bases): (&Sources, &BTreeMap<Sha256Digest, Base>),
    task: &dyn Task,
) -> Result<u64, DeployError> {
    let (sender, pieces) = sync_channel::<Vec<u8>>(AHEAD);
    std::thread::scope(|scope| {
        let making = scope.spawn(move || -> Result<(), AgentError> {
            let mut output = Pieces { sender, piece: Vec::with_capacity(PIECE_BYTES) };
            let mut contents = Sender::new(sources, LEVEL)?;
            for want in wants {
                match bases.get(&want.digest) {
                    None => contents.send(want, &mut output)?,
                    Some(base) => contents.send_difference(want, base, &mut output)?,
                };
                task.advance(want.size - want.have);
            }
            output
                .write_all(b"done\n")
                .and_then(|()| output.flush())
                .map_err(AgentError::at("send", "the end"))
        });
        let mut sent = 0;
        let mut broken = None;
        for piece in pieces {
            sent += piece.len() as u64;
            if let Err(error) = remote.write_all(&piece) {
                broken = Some(SshError::broken(error));
                break;
            }
        }
        // Without a reader the thread ends by itself.
        let made = making.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match broken {
            Some(error) => Err(error.into()),
            None => made.map(|()| sent).map_err(DeployError::Sending),
        }
    })
}

/// Gathers what is written into pieces for the line.
struct Pieces {
    sender: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE_BYTES {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.sender.send(piece).map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }
}

/// Files of the running system that new contents stand in the place of, by the new contents.
fn bases(
    store: &Store,
    listings: &[Listing],
    running: Option<&StorePath>,
) -> Result<BTreeMap<Sha256Digest, Base>, DeployError> {
    let Some(running) = running else { return Ok(BTreeMap::new()) };
    if !store.is_valid(running)? {
        return Ok(BTreeMap::new());
    }
    let new: BTreeSet<&str> = listings.iter().map(|listing| listing.path.name()).collect();
    let old = store.closure(std::slice::from_ref(running))?;
    let old: BTreeMap<String, StorePath> = old
        .into_iter()
        .filter(|path| new.contains(path.name()))
        .map(|path| (path.name().to_owned(), path))
        .collect();
    let mut bases = BTreeMap::new();
    for listing in listings {
        let Some(path) = old.get(listing.path.name()) else { continue };
        for (inner, node) in &listing.entries {
            let ListedNode::File { digest, size, .. } = node else { continue };
            let real = store.real_path(path).join(inner.to_path());
            let fits = real.symlink_metadata().is_ok_and(|found| {
                found.is_file() && found.len().max(*size) <= DIFFERENCE_BYTES_MAX
            });
            if fits {
                let base = Base { path: path.clone(), inner: inner.clone(), real };
                bases.insert(*digest, base);
            }
        }
    }
    Ok(bases)
}

fn read_line(lines: &mut BufReader<&mut Asked<'_>>) -> Result<String, DeployError> {
    let mut line = Vec::new();
    lines.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(SshError::broken)?;
    match line.pop() {
        Some(b'\n') => {}
        None => return Err(SshError::Broken(std::io::ErrorKind::UnexpectedEof.into()).into()),
        Some(_) => return Err(wrong("a line has no end")),
    }
    let line = String::from_utf8(line).map_err(|_| wrong("a line is no text"))?;
    match line.strip_prefix("error ") {
        None => Ok(line),
        Some(said) => Err(wrong(said)),
    }
}

fn wrong(problem: &str) -> DeployError {
    let problem = crate::diag::printable(problem);
    DeployError::Reply { command: "import".into(), problem }
}
