//! The records of a PAX extended header: `"%d %s=%s\n"` of length, keyword, value.

use std::collections::BTreeMap;

use super::TarFault;

/// Keyword prefix under which GNU tar and bsdtar keep extended attributes.
const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// What an extended header overrides; later records of one keyword win, by POSIX.
#[derive(Debug, Clone, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<u64>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Reads the records of an extended header of one entry.
pub(super) fn parse(mut records: &[u8]) -> Result<Pax, TarFault> {
    let mut pax = Pax::default();
    while !records.is_empty() {
        let (keyword, value, rest) = split_record(records).ok_or(TarFault::Pax)?;
        pax.set(keyword, value)?;
        records = rest;
    }
    Ok(pax)
}

/// Whether a header for the whole archive says nothing that would change an entry.
pub(super) fn is_comment_only(mut records: &[u8]) -> bool {
    while !records.is_empty() {
        match split_record(records) {
            Some((b"comment", _, rest)) => records = rest,
            _ => return false,
        }
    }
    true
}

impl Pax {
    fn set(&mut self, keyword: &[u8], value: &[u8]) -> Result<(), TarFault> {
        let decimal = |name| number(value).ok_or(TarFault::Number(name));
        match keyword {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(decimal("size")?),
            b"uid" => self.uid = Some(decimal("uid")?),
            b"gid" => self.gid = Some(decimal("gid")?),
            b"mtime" => {
                let seconds = value.split(|&c| c == b'.').next().unwrap_or_default();
                self.mtime = Some(number(seconds).ok_or(TarFault::Number("mtime"))?);
            }
            // The contents of such an entry are a map of holes, not the file.
            _ if keyword.starts_with(b"GNU.sparse.") => return Err(TarFault::Sparse),
            _ => {
                if let Some(name) = keyword.strip_prefix(XATTR_PREFIX) {
                    self.xattrs.insert(name.to_vec(), value.to_vec());
                }
            }
        }
        Ok(())
    }
}

/// Cuts the first record off: its keyword, its value, the rest.
fn split_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(20).position(|&c| c == b' ')?;
    let length = usize::try_from(number(&records[..space])?).ok()?;
    let (record, rest) = records.split_at_checked(length)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|&c| c == b'=')?;
    Some((&body[..equals], &body[equals + 1..], rest))
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, &c| {
        let digit = char::from(c).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
