//! A disk as text and bytes: what goes where, by reference to the store where it can be.
//!
//! ```text
//! nexus-disk 1 <bytes of the disk>
//! bytes <offset> <length>                                     then these bytes
//! file <offset> <start> <length> <base name> <name in it>     from a store path that the host has
//! end <sha256 of everything up to here>
//! ```
//!
//! In the order of their offsets, without overlap; what no piece covers is zero. All of it is one zstd
//! stream. Names are escaped as in manifests.

use std::io::{self, BufRead, Read, Write};

use sha2::{Digest as _, Sha256};

use super::super::error::AgentError;
use crate::image::segment::{Data, Layout, Segment};
use crate::store::{Sha256Digest, StorePath};
use crate::tree::StoreFile;
use crate::tree::manifest::{path_from_text, path_to_text};

/// The first words.
const FIRST_WORDS: &str = "nexus-disk 1";
/// Most bytes of a line: a long path, escaped.
const LINE_BYTES_MAX: u64 = 16 << 10;
/// Most bytes that a recipe brings along; they are kept in memory.
const BYTES_MAX: u64 = 256 << 20;
/// Most pieces of a disk.
const PIECES_MAX: usize = 4_000_000;
/// Largest window of zstd, as a power of two; the host's memory is small.
const WINDOW_LOG_MAX: u32 = 23;
/// A recipe is small; making it smaller costs little.
const ZSTD_LEVEL: i32 = 9;

/// Writes the recipe of `layout`.
///
/// # Errors
///
/// When `output` does not take it.
pub fn write(layout: &Layout, output: &mut dyn Write) -> io::Result<()> {
    let mut output = Hashing { inner: encoder(output)?, sha256: Sha256::new() };
    writeln!(output, "{FIRST_WORDS} {}", layout.size)?;
    for Segment { offset, data } in &layout.segments {
        match data {
            Data::Bytes(bytes) => {
                writeln!(output, "bytes {offset} {}", bytes.len())?;
                output.write_all(bytes)?;
            }
            Data::File { file, start, length } => {
                let name = path_to_text(&file.inner);
                writeln!(output, "file {offset} {start} {length} {} {name}", file.path)?;
            }
        }
    }
    let digest = Sha256Digest::from_bytes(output.sha256.clone().finalize().into());
    writeln!(output.inner, "end {digest}")?;
    output.inner.finish().map(drop)
}

fn encoder(output: &mut dyn Write) -> io::Result<zstd::stream::write::Encoder<'_, &mut dyn Write>> {
    let mut encoder = zstd::stream::write::Encoder::new(output, ZSTD_LEVEL)?;
    encoder.window_log(WINDOW_LOG_MAX)?;
    Ok(encoder)
}

/// Passes on what is written, and digests it.
struct Hashing<W> {
    inner: W,
    sha256: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.sha256.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads a whole recipe; what it refers to has size 0 here, and is looked at when it is copied.
///
/// # Errors
///
/// Anything that is not a recipe, also one that is cut off.
pub fn read(input: &mut dyn Read) -> Result<Layout, AgentError> {
    let failed = |source| AgentError::at("read", "standard input")(source);
    let mut decoder = zstd::stream::read::Decoder::new(input).map_err(failed)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(failed)?;
    let mut reader = Reader {
        input: io::BufReader::new(decoder),
        sha256: Sha256::new(),
        line: 0,
        bytes_left: BYTES_MAX,
    };
    reader.read()
}

struct Reader<R> {
    input: R,
    sha256: Sha256,
    line: u64,
    bytes_left: u64,
}

impl<R: BufRead> Reader<R> {
    fn read(&mut self) -> Result<Layout, AgentError> {
        let first = self.line()?;
        let size = first.strip_prefix(FIRST_WORDS).and_then(|rest| rest.strip_prefix(' '));
        let size: u64 = size
            .and_then(|size| size.parse().ok())
            .ok_or_else(|| self.wrong("expected `nexus-disk 1` and the size of the disk"))?;
        self.sha256.update(format!("{first}\n"));
        let mut layout = Layout { size, segments: Vec::new() };
        let mut end = 0;
        loop {
            let line = self.line()?;
            if let Some(digest) = line.strip_prefix("end ") {
                let found = Sha256Digest::from_bytes(self.sha256.clone().finalize().into());
                if digest != found.to_string() {
                    return Err(AgentError::Damaged { what: "the recipe of the disk".into() });
                }
                return Ok(layout);
            }
            self.sha256.update(format!("{line}\n"));
            let segment = self.piece(&line)?;
            let length = segment.data.length();
            let ends = segment.offset.checked_add(length).filter(|ends| *ends <= size);
            match ends {
                Some(ends) if segment.offset >= end && length > 0 => end = ends,
                _ => return Err(self.wrong("this piece overlaps another or leaves the disk")),
            }
            if layout.segments.len() == PIECES_MAX {
                return Err(self.wrong("too many pieces"));
            }
            layout.segments.push(segment);
        }
    }

    fn piece(&mut self, line: &str) -> Result<Segment, AgentError> {
        let words: Vec<&str> = line.split(' ').collect();
        let piece = match words[..] {
            ["bytes", offset, length] => offset
                .parse()
                .ok()
                .zip(length.parse().ok())
                .map(|(offset, length): (_, u64)| (offset, None, length)),
            ["file", offset, start, length, base, name] => (|| {
                let path = StorePath::from_base_name(base).ok()?;
                let inner = path_from_text(name.as_bytes())?;
                let length = length.parse().ok()?;
                let start: u64 = start.parse().ok()?;
                start.checked_add(length)?;
                let file = StoreFile { size: 0, path, inner };
                Some((offset.parse().ok()?, Some((file, start)), length))
            })(),
            _ => None,
        };
        let (offset, file, length) =
            piece.ok_or_else(|| self.wrong("expected `bytes`, `file` or `end`"))?;
        let data = match file {
            Some((file, start)) => Data::File { file, start, length },
            None => Data::Bytes(self.bytes(length)?),
        };
        Ok(Segment { offset, data })
    }

    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, AgentError> {
        self.bytes_left = self
            .bytes_left
            .checked_sub(length)
            .ok_or_else(|| self.wrong("the recipe brings more than it may"))?;
        let mut bytes = Vec::new();
        let read = (&mut self.input).take(length).read_to_end(&mut bytes);
        read.map_err(AgentError::at("read", "standard input"))?;
        if bytes.len() as u64 != length {
            return Err(self.wrong("it is cut off"));
        }
        self.sha256.update(&bytes);
        Ok(bytes)
    }

    /// The next line without its end.
    fn line(&mut self) -> Result<String, AgentError> {
        self.line += 1;
        let mut line = Vec::new();
        let read = (&mut self.input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        read.map_err(AgentError::at("read", "standard input"))?;
        if line.pop() != Some(b'\n') {
            return Err(self.wrong("it is cut off"));
        }
        String::from_utf8(line).map_err(|_| self.wrong("it is not text"))
    }

    fn wrong(&self, problem: &str) -> AgentError {
        AgentError::Recipe { line: self.line, problem: problem.to_owned() }
    }
}

#[cfg(test)]
mod tests;
