//! Fixed-width numbers in on-disk structures.

/// Copies `bytes` to offset `at` of `target`.
pub(super) fn put(target: &mut [u8], at: usize, bytes: &[u8]) {
    target[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Writes a little-endian 16-bit number.
pub(super) fn put_u16(target: &mut [u8], at: usize, value: u16) {
    put(target, at, &value.to_le_bytes());
}

/// Writes a little-endian 32-bit number.
pub(super) fn put_u32(target: &mut [u8], at: usize, value: u32) {
    put(target, at, &value.to_le_bytes());
}

/// Writes a little-endian 64-bit number.
pub(super) fn put_u64(target: &mut [u8], at: usize, value: u64) {
    put(target, at, &value.to_le_bytes());
}

/// The lower 16 bits.
pub(super) fn low16(value: u32) -> u16 {
    (value & 0xffff) as u16
}

/// The upper 16 bits.
pub(super) fn high16(value: u32) -> u16 {
    (value >> 16) as u16
}

/// The lower 32 bits.
pub(super) fn low32(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

/// The upper 32 bits.
pub(super) fn high32(value: u64) -> u32 {
    (value >> 32) as u32
}

/// CRC-32C as EROFS and ext4 chain it: no inversion before or after.
pub(super) fn crc32c_raw(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}
