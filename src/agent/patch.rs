//! A content as the difference to another one that the host has: zstd with that one as its beginning.
//!
//! A system's image of names changes in a few places only; its difference to the last system's is a
//! few kilobytes where the image is millions.

use std::io::{self, Read as _, Write as _};

/// Most bytes of the content that a difference is made against.
pub const BASE_BYTES_MAX: u64 = 64 << 20;
/// Smallest and largest window of zstd that is asked for, as powers of two.
const WINDOW_LOGS: std::ops::RangeInclusive<u32> = 10..=27;

/// The difference from `base` to `new`; nothing but the two decides about it.
pub fn make(base: &[u8], new: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::with_ref_prefix(Vec::new(), level, base)?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(window_log(base.len() + new.len()))?;
    encoder.write_all(new)?;
    encoder.finish()
}

/// Makes the content of `size` bytes again; `None` when this is no difference to `base` of that size.
pub fn apply(base: &[u8], patch: &[u8], size: u64) -> Option<Vec<u8>> {
    let mut decoder = zstd::stream::read::Decoder::with_ref_prefix(patch, base).ok()?;
    decoder.window_log_max(*WINDOW_LOGS.end()).ok()?;
    let mut new = Vec::new();
    // One byte more than wanted shows that there is more.
    decoder.take(size.checked_add(1)?).read_to_end(&mut new).ok()?;
    (new.len() as u64 == size).then_some(new)
}

/// A window that reaches back from the end of the new content to the beginning of the old one.
fn window_log(bytes: usize) -> u32 {
    let log = bytes.next_power_of_two().trailing_zeros();
    log.clamp(*WINDOW_LOGS.start(), *WINDOW_LOGS.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that do not compress by themselves.
    fn noise(count: u32) -> Vec<u8> {
        let mut state = 7_u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_small_change_is_a_small_difference() {
        let base = noise(3_000_000);
        let mut new = base.clone();
        new[1_000_000] ^= 1;
        new.splice(2_000_000..2_000_000, b"inserted".iter().copied());
        let patch = make(&base, &new, 19).unwrap();
        assert!(patch.len() < 2000, "{} bytes", patch.len());
        assert_eq!(apply(&base, &patch, new.len() as u64).unwrap(), new);
        assert_eq!(make(&base, &new, 19).unwrap(), patch, "the same each time");
    }

    #[test]
    fn what_is_no_difference_to_the_base_is_refused() {
        let base = noise(100_000);
        let patch = make(&base, &base, 3).unwrap();
        let size = base.len() as u64;
        assert_eq!(apply(&base, &patch, size).as_deref(), Some(&base[..]));
        assert_eq!(apply(&base, &patch, size - 1), None, "longer than announced");
        assert_eq!(apply(&base, &patch, size + 1), None, "shorter than announced");
        assert_eq!(apply(&base, b"no frame", size), None);
        assert_eq!(apply(&base, &patch[..patch.len() - 3], size), None);
        assert_ne!(apply(&noise(99_999), &patch, size).as_deref(), Some(&base[..]));
        assert_eq!(apply(&base, &patch, u64::MAX), None);
    }
}
