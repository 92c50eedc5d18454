//! The `ar` container of a `.deb`: named members one after another, read as they stream by.
//!
//! ```text
//! "!<arch>\n"
//! header, 60 bytes of text: name 16 │ time 12 │ uid 6 │ gid 6 │ mode 8 │ size 10 │ "`\n"
//! contents, `size` bytes, and "\n" when `size` is odd
//! header …
//! ```
//!
//! Source: deb(5) and ar.h(0), the common format without long names; numbers are decimal, padded by
//! spaces on the right. Times and owners of members mean nothing in a package and are not looked at.

use std::io::{self, Read};

use thiserror::Error;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER_BYTES: usize = 60;
const HEADER_END: &[u8; 2] = b"`\n";

/// Reads the members of an `ar` archive in order; as [`Read`] it gives the present member's contents.
#[derive(Debug)]
pub struct ArReader<R> {
    input: R,
    member_left: u64,
    padding: bool,
}

/// A member whose contents come next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArMember {
    /// Printable ASCII without spaces, 1 to 16 characters; a slash at the end (GNU) is cut off.
    pub name: String,
    /// Bytes, as the header promises.
    pub size: u64,
}

/// A stream that is not an `ar` archive, or ends too early.
#[derive(Debug, Error)]
pub enum ArError {
    /// The input could not be read.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// It does not begin as an archive does.
    #[error("the file does not begin with `!<arch>`")]
    Magic,
    /// It ends inside a header or a member.
    #[error("the archive ends in the middle of {0}")]
    Truncated(&'static str),
    /// A header that is not as drawn above.
    #[error("a member's header has no sound {0}")]
    Header(&'static str),
}

impl<R: Read> ArReader<R> {
    /// Reads the magic; the first member comes next.
    pub fn new(mut input: R) -> Result<Self, ArError> {
        let mut magic = [0; MAGIC.len()];
        let got = read_full(&mut input, &mut magic)?;
        if got < magic.len() || magic != *MAGIC {
            return Err(ArError::Magic);
        }
        Ok(Self { input, member_left: 0, padding: false })
    }

    /// Goes to the next member, over what is left of the present one; `None` at the end.
    pub fn next_member(&mut self) -> Result<Option<ArMember>, ArError> {
        self.skip_rest()?;
        let mut header = [0; HEADER_BYTES];
        match read_full(&mut self.input, &mut header)? {
            0 => return Ok(None),
            HEADER_BYTES => {}
            _ => return Err(ArError::Truncated("a header")),
        }
        let member = parse_header(&header)?;
        self.member_left = member.size;
        self.padding = member.size % 2 == 1;
        Ok(Some(member))
    }

    /// Bytes of the present member that have not been read.
    pub fn member_left(&self) -> u64 {
        self.member_left
    }

    fn skip_rest(&mut self) -> Result<(), ArError> {
        let skipped = io::copy(self, &mut io::sink());
        match skipped {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ArError::Truncated("a member"));
            }
            other => other.map_err(ArError::Read)?,
        };
        if std::mem::take(&mut self.padding) {
            let mut byte = [0];
            // Some writers leave out the padding of the last member.
            if read_full(&mut self.input, &mut byte)? == 1 && byte != *b"\n" {
                return Err(ArError::Header("padding before it"));
            }
        }
        Ok(())
    }
}

/// Gives the contents of the present member; an archive that ends before is `UnexpectedEof`.
impl<R: Read> Read for ArReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.member_left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let got = self.input.read(&mut buffer[..wanted])?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.member_left -= got as u64;
        Ok(got)
    }
}

fn parse_header(header: &[u8; HEADER_BYTES]) -> Result<ArMember, ArError> {
    if header[58..] != *HEADER_END {
        return Err(ArError::Header("end"));
    }
    let name = header[..16].trim_ascii_end();
    let name = name.strip_suffix(b"/").unwrap_or(name);
    if name.is_empty() || !name.iter().all(|&c| c.is_ascii_graphic() && c != b'/') {
        return Err(ArError::Header("name"));
    }
    let digits = header[48..58].trim_ascii_end();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ArError::Header("size"));
    }
    let size = digits.iter().fold(0, |size, &c| size * 10 + u64::from(c - b'0'));
    Ok(ArMember { name: String::from_utf8_lossy(name).into_owned(), size })
}

/// Fills `buffer`, or as much of it as there is before the end.
fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, ArError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ArError::Read(error)),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
