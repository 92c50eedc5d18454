//! The members of a package in order, and the entries in them.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::Read;

use super::decode::Decoder;
use super::layout::{Layout, Placed, checked_path, shown};
use super::{DebError, EntryFault, Limits, ShapeFault, Sink};
use crate::debian::ar::{ArMember, ArReader};
use crate::debian::tar::{Kind, RawEntry, TarError, TarReader};
use crate::tree::{Manifest, Node, TreePath};

/// What an archive may unpack to whatever its compressed size.
const ALLOWED_BYTES_MIN: u64 = 64 << 20;
/// Most bytes of `debian-binary` that are looked at; it has 4.
const VERSION_BYTES_MAX: u64 = 64;

/// Reads a whole package, hands its files to `sink`, returns the manifest of the data archive.
///
/// Every directory above an entry is in the manifest, the root too; one that no entry describes has mode
/// 0755 and belongs to root. Of hard links the first name in byte order is the file.
///
/// # Errors
///
/// The first thing that is not as it must be; the sink then has the files before it.
pub fn read_deb<R: Read, S: Sink>(
    input: R,
    limits: &Limits,
    sink: &mut S,
) -> Result<Manifest, DebError<S::Error>> {
    let mut archive = ArReader::new(input).map_err(DebError::Container)?;
    read_version(&mut archive)?;
    let control = TarMember::open(&mut archive, "control.tar", limits.control_bytes, limits)?;
    read_control(control, sink)?;
    let data = TarMember::open(&mut archive, "data.tar", limits.data_bytes, limits)?;
    let manifest = read_data(data, limits, sink)?;
    match next_member(&mut archive)? {
        Some(member) => Err(DebError::Shape(ShapeFault::Extra(member.name))),
        None => Ok(manifest),
    }
}

fn read_version<R: Read, E: Error>(archive: &mut ArReader<R>) -> Result<(), DebError<E>> {
    let member = archive.next_member().map_err(DebError::Container)?;
    let Some(member) = member.filter(|member| member.name == "debian-binary") else {
        return Err(DebError::Shape(ShapeFault::Version));
    };
    let mut text = Vec::new();
    let fail = |source| DebError::Member { member: member.name, source };
    archive.take(VERSION_BYTES_MAX).read_to_end(&mut text).map_err(fail)?;
    // A later minor version may add lines after the first.
    if text.starts_with(b"2.") && text.contains(&b'\n') {
        Ok(())
    } else {
        Err(DebError::Shape(ShapeFault::Version))
    }
}

/// The next member that means something.
fn next_member<R: Read, E: Error>(
    archive: &mut ArReader<R>,
) -> Result<Option<ArMember>, DebError<E>> {
    loop {
        match archive.next_member().map_err(DebError::Container)? {
            Some(member) if member.name.starts_with('_') => {}
            other => return Ok(other),
        }
    }
}

fn read_control<R: Read, S: Sink>(
    mut member: TarMember<R>,
    sink: &mut S,
) -> Result<(), DebError<S::Error>> {
    let mut names = BTreeSet::new();
    while let Some(raw) = member.next_entry()? {
        let name = match control_name(&raw) {
            Ok(None) => continue,
            Ok(Some(name)) if names.contains(&name) => Err(EntryFault::Twice(name)),
            Ok(Some(name)) => Ok(name),
            Err(fault) => Err(fault),
        };
        let name = name.map_err(|fault| member.entry_error(&raw.name, fault))?;
        sink.control_file(&name, raw.mode).map_err(DebError::Sink)?;
        names.insert(name);
        member.copy_contents(sink)?;
    }
    member.finish()?;
    if names.iter().any(|name| name.as_bytes() == b"control") {
        Ok(())
    } else {
        Err(DebError::Shape(ShapeFault::Missing("control")))
    }
}

/// The name of a control file; `None` for the directory that holds them.
fn control_name(raw: &RawEntry) -> Result<Option<TreePath>, EntryFault> {
    let name = checked_path(&raw.name)?;
    match raw.kind {
        Kind::Directory if name.is_root() && raw.size == 0 => Ok(None),
        Kind::File if name.parent().is_some_and(|parent| parent.is_root()) => Ok(Some(name)),
        _ => Err(EntryFault::Control),
    }
}

fn read_data<R: Read, S: Sink>(
    mut member: TarMember<R>,
    limits: &Limits,
    sink: &mut S,
) -> Result<Manifest, DebError<S::Error>> {
    let mut layout = Layout::new(limits);
    while let Some(raw) = member.next_entry()? {
        let name = raw.name.clone();
        let placed = layout.place(raw).map_err(|fault| member.entry_error(&name, fault))?;
        if hand_over(&placed, sink).map_err(DebError::Sink)? {
            member.copy_contents(sink)?;
        }
    }
    member.finish()?;
    Ok(layout.finish())
}

/// Tells the sink what to make; whether contents follow.
fn hand_over<S: Sink>(placed: &Placed, sink: &mut S) -> Result<bool, S::Error> {
    for parent in &placed.parents {
        sink.directory(parent)?;
    }
    let (path, Some(entry)) = (&placed.path, &placed.entry) else { return Ok(false) };
    match &entry.node {
        Node::Directory => sink.directory(path)?,
        Node::Symlink(target) => sink.symlink(path, target)?,
        Node::HardLink(first) => sink.hard_link(path, first)?,
        Node::File(file) => {
            sink.file(path, entry.mode, file.size)?;
            return Ok(true);
        }
        // It is in the manifest alone: a store path cannot hold one.
        Node::Fifo => {}
    }
    Ok(false)
}

/// A member that is a tar archive.
struct TarMember<'r, R: Read> {
    name: String,
    tar: TarReader<Decoder<&'r mut ArReader<R>>>,
    /// What it may unpack to.
    allowed: u64,
    last_entry: Option<String>,
}

impl<'r, R: Read> TarMember<'r, R> {
    fn open<E: Error>(
        archive: &'r mut ArReader<R>,
        expected: &'static str,
        bytes_max: u64,
        limits: &Limits,
    ) -> Result<Self, DebError<E>> {
        let found = next_member(archive)?;
        let found = found.ok_or(DebError::Shape(ShapeFault::Missing(expected)))?;
        let (name, size) = (found.name, found.size);
        let Some(suffix) = name.strip_prefix(expected) else {
            return Err(DebError::Shape(ShapeFault::Order { expected, found: name }));
        };
        let decoder = match Decoder::new(suffix, size, limits.memory_bytes, archive) {
            Ok(Some(decoder)) => decoder,
            Ok(None) => return Err(DebError::Shape(ShapeFault::Compression(name))),
            Err(source) => return Err(DebError::Member { member: name, source }),
        };
        let allowed = size.saturating_mul(limits.ratio).max(ALLOWED_BYTES_MIN).min(bytes_max);
        Ok(Self { name, tar: TarReader::new(decoder), allowed, last_entry: None })
    }

    /// The next entry; one whose contents would be too much is refused before anything is made of it.
    fn next_entry<E: Error>(&mut self) -> Result<Option<RawEntry>, DebError<E>> {
        let Some(raw) = self.tar.next_entry().map_err(|error| self.tar_error(error))? else {
            return Ok(None);
        };
        if self.tar.position().saturating_add(raw.size) > self.allowed {
            return Err(self.entry_error(&raw.name, EntryFault::TooLarge(self.allowed)));
        }
        self.last_entry = Some(shown(&raw.name));
        Ok(Some(raw))
    }

    fn copy_contents<S: Sink>(&mut self, sink: &mut S) -> Result<(), DebError<S::Error>> {
        loop {
            match self.tar.chunk() {
                Ok([]) => return sink.end_of_file().map_err(DebError::Sink),
                Ok(chunk) => sink.contents(chunk).map_err(DebError::Sink)?,
                Err(error) => return Err(self.tar_error(error)),
            }
        }
    }

    /// Checks that the archive, the stream and the member end together.
    fn finish<E: Error>(self) -> Result<(), DebError<E>> {
        let Self { name, tar, last_entry, .. } = self;
        let decoder =
            tar.finish().map_err(|error| tar_error(&name, last_entry.as_deref(), error))?;
        match decoder.has_tail() {
            Ok(false) => Ok(()),
            Ok(true) => Err(DebError::Shape(ShapeFault::Tail(name))),
            Err(source) => Err(DebError::Member { member: name, source }),
        }
    }

    fn tar_error<E: Error>(&self, error: TarError) -> DebError<E> {
        tar_error(&self.name, self.last_entry.as_deref(), error)
    }

    fn entry_error<E: Error>(&self, entry: &[u8], fault: EntryFault) -> DebError<E> {
        DebError::Entry { member: self.name.clone(), entry: shown(entry), fault }
    }
}

fn tar_error<E: Error>(member: &str, entry: Option<&str>, error: TarError) -> DebError<E> {
    let member = member.to_owned();
    match error {
        TarError::Read(source) => DebError::Member { member, source },
        TarError::Fault { position, fault } => {
            DebError::Archive { member, position, entry: entry.map(str::to_owned), fault }
        }
    }
}
