//! Identifiers of partitions and file systems, derived from names: the same host, the same image.

use crate::store::Sha256Digest;

/// A GUID of the UEFI specification, in the byte order of a partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guid([u8; 16]);

impl Guid {
    /// The GUID written `aaaaaaaa-bbbb-cccc-dddd-dddddddddddd`.
    pub const fn new(a: u32, b: u16, c: u16, d: [u8; 8]) -> Self {
        let (a, b, c) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
        Self([
            a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5],
            d[6], d[7],
        ])
    }

    /// The GUID that `uuid` derives from the same names.
    pub fn derived(host: &str, role: &str) -> Self {
        let bytes = uuid(host, role);
        let [a0, a1, a2, a3, b0, b1, c0, c1, d @ ..] = bytes;
        let a = u32::from_be_bytes([a0, a1, a2, a3]);
        Self::new(a, u16::from_be_bytes([b0, b1]), u16::from_be_bytes([c0, c1]), d)
    }

    /// The bytes in a partition table.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The UUID of what plays `role` on `host`: SHA-256 of both, marked as version 8, "vendor's own".
///
/// Source: RFC 9562, section 5.8; bytes in the order in which they are printed.
pub fn uuid(host: &str, role: &str) -> [u8; 16] {
    let digest = Sha256Digest::of(format!("nexus-host uuid\n{role}\n{host}\n").as_bytes());
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&digest.as_bytes()[..16]);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

#[cfg(test)]
mod tests;
