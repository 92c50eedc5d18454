//! Extended attributes behind an EROFS inode.

use std::collections::BTreeMap;

use crate::tree::{Node, StoreFile};

use super::super::inodes::Inode;
use super::write::ErofsError;

/// Bytes of `erofs_xattr_ibody_header`.
const HEADER_BYTES: usize = 12;
/// The number of 4-byte units after the header is a 16-bit field that counts the header as one.
const BODY_BYTES_MAX: usize = HEADER_BYTES + 4 * 0xfffe;
/// Name prefixes with a number of their own; the last column says whether more must follow.
const PREFIXES: [(&[u8], u8, bool); 5] = [
    (b"user.", 1, true),
    (b"system.posix_acl_access", 2, false),
    (b"system.posix_acl_default", 3, false),
    (b"trusted.", 4, true),
    (b"security.", 6, true),
];

/// The attributes of `inode` as they follow it, those of overlayfs included; empty when it has none.
///
/// # Errors
///
/// [`ErofsError::Attribute`] when a name cannot be stored or would be taken for one of overlayfs.
pub(super) fn encode(inode: &Inode<'_, StoreFile>) -> Result<Vec<u8>, ErofsError> {
    let redirect = redirect(&inode.entry.node);
    if inode.entry.xattrs.is_empty() && redirect.is_none() {
        return Ok(Vec::new());
    }
    let mut body = vec![0; HEADER_BYTES];
    for (name, value) in &inode.entry.xattrs {
        let fail =
            || ErofsError::Attribute { path: inode.path.clone(), name: name_for_reading(name) };
        if name.starts_with(b"trusted.overlay.") {
            return Err(fail());
        }
        let (index, rest) = split(name).ok_or_else(fail)?;
        push(&mut body, index, rest, value).ok_or_else(fail)?;
    }
    if let Some(target) = redirect {
        let fail = || ErofsError::RedirectTooLong { path: inode.path.clone() };
        push(&mut body, 4, b"overlay.metacopy", b"").ok_or_else(fail)?;
        push(&mut body, 4, b"overlay.redirect", &target).ok_or_else(fail)?;
    }
    if body.len() > BODY_BYTES_MAX {
        return Err(ErofsError::AttributesTooLarge { path: inode.path.clone() });
    }
    Ok(body)
}

/// The value of the inode's `i_xattr_icount` for a body of [`encode`].
pub(super) fn count_field(body: &[u8]) -> u16 {
    if body.is_empty() {
        return 0;
    }
    u16::try_from((body.len() - HEADER_BYTES) / 4 + 1).expect("the body's size was checked")
}

fn redirect(node: &Node<StoreFile>) -> Option<Vec<u8>> {
    let Node::File(file) = node else { return None };
    if file.size == 0 {
        return None;
    }
    let mut target = format!("/{}", file.path).into_bytes();
    if !file.inner.is_root() {
        target.push(b'/');
        target.extend_from_slice(file.inner.as_bytes());
    }
    Some(target)
}

fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|&(prefix, index, more)| {
        let rest = name.strip_prefix(prefix)?;
        (rest.is_empty() != more).then_some((index, rest))
    })
}

/// Appends one entry; `None` when name or value is too long for its field.
fn push(body: &mut Vec<u8>, index: u8, name: &[u8], value: &[u8]) -> Option<()> {
    body.push(u8::try_from(name.len()).ok()?);
    body.push(index);
    body.extend_from_slice(&u16::try_from(value.len()).ok()?.to_le_bytes());
    body.extend_from_slice(name);
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
    Some(())
}

/// The name made printable and cut to 250 characters.
pub(super) fn name_for_reading(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(250).collect()
}

/// How often each modification time occurs; the most frequent one goes into the superblock.
pub(super) fn most_frequent_mtime(inodes: &[Inode<'_, StoreFile>]) -> u64 {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for inode in inodes {
        *counts.entry(inode.entry.mtime).or_default() += 1;
    }
    counts.into_iter().max_by_key(|&(mtime, count)| (count, mtime)).map_or(0, |(mtime, _)| mtime)
}
