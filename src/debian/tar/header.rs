//! One header block.
//!
//! | offset | bytes | field | | offset | bytes | field |
//! |---|---|---|---|---|---|---|
//! | 0 | 100 | name | | 156 | 1 | kind |
//! | 100 | 8 | mode | | 157 | 100 | link |
//! | 108 | 8 | uid | | 257 | 8 | magic and version |
//! | 116 | 8 | gid | | 265 | 32 | user name |
//! | 124 | 12 | size | | 297 | 32 | group name |
//! | 136 | 12 | mtime | | 329 | 16 | device numbers |
//! | 148 | 8 | checksum | | 345 | 155 | prefix of the name (ustar only) |

use super::TarFault;

/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = 512;

/// A block of the archive.
pub(super) type Block = [u8; BLOCK_BYTES];

/// What an entry is, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file; contents follow.
    File,
    /// Another name of an earlier file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// Anything else, by the byte in the header; contents may follow.
    Other(u8),
}

/// The fields of a header that mean something to us.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) mode: u16,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) size: u64,
    pub(super) mtime: u64,
}

/// Reads a header that is not all zeros.
pub(super) fn parse(block: &Block) -> Result<Header, TarFault> {
    let found = number(&block[148..156]).ok_or(TarFault::Number("checksum"))?;
    if found != u64::from(checksum(block)) {
        return Err(TarFault::Checksum);
    }
    let field =
        |name, range: std::ops::Range<usize>| number(&block[range]).ok_or(TarFault::Number(name));
    let mode = field("mode", 100..108)?;
    let size = field("size", 124..136)?;
    let owner = |id, name: &[u8]| if text(name) == b"root" { 0 } else { id };
    Ok(Header {
        kind: kind(block[156]),
        name: full_name(block),
        link: text(&block[157..257]).to_vec(),
        // Some writers put the kind's bits of `st_mode` above the twelve permission bits.
        mode: u16::try_from(mode & 0o7777).expect("twelve bits fit"),
        uid: owner(field("uid", 108..116)?, &block[265..297]),
        gid: owner(field("gid", 116..124)?, &block[297..329]),
        size,
        mtime: field("mtime", 136..148)?,
    })
}

/// The sum of all bytes, those of the checksum itself counted as spaces.
fn checksum(block: &Block) -> u32 {
    let own = 148..156;
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    let own_sum: u32 = block[own.clone()].iter().map(|&byte| u32::from(byte)).sum();
    let spaces = u32::from(b' ') * 8;
    sum - own_sum + spaces
}

/// The name with ustar's prefix; GNU headers keep other things at the prefix's place.
fn full_name(block: &Block) -> Vec<u8> {
    let name = text(&block[..100]);
    let prefix = text(&block[345..500]);
    let is_ustar = block[257..263] == *b"ustar\0";
    if is_ustar && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() }
}

fn kind(byte: u8) -> Kind {
    match byte {
        b'0' | 0 => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => Kind::CharacterDevice,
        b'4' => Kind::BlockDevice,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => Kind::Other(other),
    }
}

/// The bytes before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// A number: octal digits between spaces and NULs, or base 256 when the first bit is set.
///
/// `None` when it is negative, is above `u64`, or is neither.
fn number(field: &[u8]) -> Option<u64> {
    match field {
        [0x80, digits @ ..] => digits.iter().try_fold(0_u64, |number, &byte| {
            number.checked_mul(256).map(|shifted| shifted | u64::from(byte))
        }),
        [first, ..] if first & 0x80 != 0 => None,
        _ => {
            let digits = field.trim_ascii_start();
            let end = digits.iter().position(|&c| c == b' ' || c == 0).unwrap_or(digits.len());
            let (digits, rest) = digits.split_at(end);
            let padding_only = rest.iter().all(|&c| c == b' ' || c == 0);
            let octal = |number: u64, &c: &u8| {
                let digit = char::from(c).to_digit(8)?;
                number.checked_mul(8).map(|shifted| shifted | u64::from(digit))
            };
            if padding_only { digits.iter().try_fold(0, octal) } else { None }
        }
    }
}
