//! Entries one after another from a stream.

use std::collections::BTreeMap;
use std::io::{self, Read};

use thiserror::Error;

use super::header::{self, BLOCK_BYTES, Block, Header, Kind};
use super::pax::{self, Pax};

/// Most bytes of a long name or an extended header; a 64 KiB attribute and two paths fit well.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;
/// Most bytes after the two blocks of zeros; tapes had records of up to 512 KiB.
const TAIL_BYTES_MAX: u64 = 1 << 20;
/// Bytes asked of the input at once.
const BUFFER_BYTES: usize = 1 << 17;

/// Reads a tar archive from front to back.
#[derive(Debug)]
pub struct TarReader<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the archive that were handed out or passed over.
    position: u64,
    contents_left: u64,
    padding_left: u64,
}

/// An entry as the archive has it, names unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// The name's bytes, any.
    pub name: Vec<u8>,
    /// The target of a link, any bytes.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u16,
    /// Numeric owner; 0 when the owner's name is `root`, whatever the number, as dpkg does it.
    pub uid: u64,
    /// Numeric group; 0 when the group's name is `root`.
    pub gid: u64,
    /// Bytes of contents.
    pub size: u64,
    /// Seconds since 1970, fractions dropped.
    pub mtime: u64,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A tar archive that cannot be read on.
#[derive(Debug, Error)]
pub enum TarError {
    /// The input failed; for a compressed archive also when it does not decompress.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// What was read is not sound.
    #[error("at byte {position}: {fault}")]
    Fault {
        /// Where in the uncompressed archive.
        position: u64,
        /// What is wrong there.
        fault: TarFault,
    },
}

/// What can be wrong with a tar archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TarFault {
    /// The archive ends before its end marker.
    #[error("the archive is cut off")]
    Truncated,
    /// The header's sum does not agree.
    #[error("a header's checksum is wrong")]
    Checksum,
    /// A numeric field is negative, too large, or no number.
    #[error("a header's {0} is not a number that it can be")]
    Number(&'static str),
    /// Records of an extended header that cannot be read.
    #[error("a PAX header is malformed")]
    Pax,
    /// A PAX header for the whole archive that says more than a comment.
    #[error("a PAX header changes all entries")]
    PaxGlobal,
    /// A file stored with its holes left out.
    #[error("a file is stored sparse, which packages are not")]
    Sparse,
    /// A long name or PAX header above 1 MiB.
    #[error("a name or PAX header has more than 1 MiB")]
    ExtensionSize,
    /// Two headers of one kind for one entry.
    #[error("two long names or PAX headers for one entry")]
    ExtensionTwice,
    /// A long name or PAX header with no entry after it.
    #[error("a long name or PAX header without an entry")]
    ExtensionAlone,
    /// Something other than zeros after the end.
    #[error("something follows the end of the archive")]
    Tail,
}

/// Headers that say more about the entry after them.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

impl<R: Read> TarReader<R> {
    /// A reader at the front of an uncompressed archive.
    pub fn new(input: R) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self { input, buffer, start: 0, end: 0, position: 0, contents_left: 0, padding_left: 0 }
    }

    /// Bytes of the archive that were read and handed out.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next entry, over what is left of the present one; `None` at the end marker.
    pub fn next_entry(&mut self) -> Result<Option<RawEntry>, TarError> {
        let mut extensions = Extensions::default();
        loop {
            while !self.chunk()?.is_empty() {}
            let Some(block) = self.header_block()? else {
                let alone = !extensions.is_empty();
                return if alone { Err(self.fault(TarFault::ExtensionAlone)) } else { Ok(None) };
            };
            let header = header::parse(&block).map_err(|fault| TarError::Fault {
                position: self.position - BLOCK_BYTES as u64,
                fault,
            })?;
            let Kind::Other(kind @ (b'L' | b'K' | b'x' | b'g')) = header.kind else {
                let entry = extensions.apply(header);
                self.expect_contents(entry.size)?;
                return Ok(Some(entry));
            };
            let bytes = self.extension(header.size)?;
            extensions.take(kind, bytes).map_err(|fault| self.fault(fault))?;
        }
    }

    /// The next piece of the present entry's contents; empty when there is no more.
    pub fn chunk(&mut self) -> Result<&[u8], TarError> {
        if self.contents_left == 0 {
            self.skip_padding()?;
            return Ok(&[]);
        }
        if self.start == self.end {
            self.fill(1)?;
        }
        let available = self.end - self.start;
        let length = usize::try_from(self.contents_left).unwrap_or(usize::MAX).min(available);
        self.contents_left -= length as u64;
        let from = self.start;
        self.advance(length);
        Ok(&self.buffer[from..from + length])
    }

    /// Reads what follows the end marker, which may be nothing but zeros, up to the input's end.
    pub fn finish(mut self) -> Result<R, TarError> {
        let end = self.position + TAIL_BYTES_MAX;
        loop {
            let zeros = self.buffer[self.start..self.end].iter().all(|&byte| byte == 0);
            if !zeros || self.position > end {
                return Err(self.fault(TarFault::Tail));
            }
            self.advance(self.end - self.start);
            (self.start, self.end) = (0, 0);
            if self.read_more()? == 0 {
                return Ok(self.input);
            }
        }
    }

    fn expect_contents(&mut self, size: u64) -> Result<(), TarError> {
        let padded = size.checked_next_multiple_of(BLOCK_BYTES as u64);
        let padded = padded.ok_or_else(|| self.fault(TarFault::Number("size")))?;
        self.contents_left = size;
        self.padding_left = padded - size;
        Ok(())
    }

    /// A header, or `None` for the end marker: a block of zeros, after which nothing else is looked at.
    fn header_block(&mut self) -> Result<Option<Block>, TarError> {
        self.fill(BLOCK_BYTES)?;
        let mut block = [0; BLOCK_BYTES];
        block.copy_from_slice(&self.buffer[self.start..self.start + BLOCK_BYTES]);
        self.advance(BLOCK_BYTES);
        Ok(Some(block).filter(|block| block.iter().any(|&byte| byte != 0)))
    }

    /// The contents of a header that is about the entry after it.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > EXTENSION_BYTES_MAX {
            return Err(self.fault(TarFault::ExtensionSize));
        }
        self.expect_contents(size)?;
        let mut bytes = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(chunk);
        }
    }

    fn skip_padding(&mut self) -> Result<(), TarError> {
        let padding = usize::try_from(self.padding_left).expect("less than a block");
        self.fill(padding)?;
        self.advance(padding);
        self.padding_left = 0;
        Ok(())
    }

    fn advance(&mut self, bytes: usize) {
        self.start += bytes;
        self.position += bytes as u64;
    }

    /// Has at least `wanted` bytes, no more than the buffer holds, in the buffer.
    fn fill(&mut self, wanted: usize) -> Result<(), TarError> {
        if self.end - self.start >= wanted {
            return Ok(());
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < wanted {
            if self.read_more()? == 0 {
                return Err(self.fault(TarFault::Truncated));
            }
        }
        Ok(())
    }

    fn read_more(&mut self) -> Result<usize, TarError> {
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(got) => {
                    self.end += got;
                    return Ok(got);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::Read(error)),
            }
        }
    }

    fn fault(&self, fault: TarFault) -> TarError {
        TarError::Fault { position: self.position, fault }
    }
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.link.is_none() && self.pax.is_none()
    }

    fn take(&mut self, kind: u8, bytes: Vec<u8>) -> Result<(), TarFault> {
        let twice = match kind {
            b'L' => self.name.replace(without_nul(bytes)).is_some(),
            b'K' => self.link.replace(without_nul(bytes)).is_some(),
            b'x' => self.pax.replace(pax::parse(&bytes)?).is_some(),
            _ if pax::is_comment_only(&bytes) => false,
            _ => return Err(TarFault::PaxGlobal),
        };
        if twice { Err(TarFault::ExtensionTwice) } else { Ok(()) }
    }

    fn apply(self, header: Header) -> RawEntry {
        let pax = self.pax.unwrap_or_default();
        let name = pax.path.or(self.name).unwrap_or(header.name);
        let kind = match header.kind {
            // In the V7 form a directory is a file with a slash at the end.
            Kind::File if name.ends_with(b"/") => Kind::Directory,
            kind => kind,
        };
        RawEntry {
            name,
            link: pax.link.or(self.link).unwrap_or(header.link),
            kind,
            mode: header.mode,
            uid: pax.uid.unwrap_or(header.uid),
            gid: pax.gid.unwrap_or(header.gid),
            size: pax.size.unwrap_or(header.size),
            mtime: pax.mtime.unwrap_or(header.mtime),
            xattrs: pax.xattrs,
        }
    }
}

/// GNU tar ends long names with a NUL.
fn without_nul(mut name: Vec<u8>) -> Vec<u8> {
    if name.last() == Some(&0) {
        name.pop();
    }
    name
}
