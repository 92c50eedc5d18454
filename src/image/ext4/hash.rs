//! The hash of file names in indexed directories: the MD4 block function, halved.
//!
//! Source: `ext4fs_dirhash` in `fs/ext4/hash.c` of Linux 6.12, hash version "half MD4, unsigned".

/// Starting value when the file system has no seed: that of MD4.
const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// Square root of 2 and of 3, as in MD4.
const ROOT_2: u32 = 0x5a82_7999;
const ROOT_3: u32 = 0x6ed9_eba1;
/// A hash that stands for "end of directory"; no name may have it.
const END: u32 = 0x7fff_ffff << 1;

/// The hash of `name`: what the index is sorted by, and what breaks ties. The lowest bit of the first is 0.
pub(super) fn name_hash(seed: &[u8; 16], name: &[u8]) -> (u32, u32) {
    let mut state = START;
    if *seed != [0; 16] {
        for (word, bytes) in state.iter_mut().zip(seed.chunks_exact(4)) {
            *word = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        }
    }
    let mut rest = name;
    while !rest.is_empty() {
        let words = words(rest);
        mix(&mut state, &words);
        rest = &rest[rest.len().min(32)..];
    }
    let hash = state[1] & !1;
    (if hash == END { END - 2 } else { hash }, state[2])
}

/// The next up to 32 bytes of a name as eight words, padded with the rest's length in each byte.
fn words(rest: &[u8]) -> [u32; 8] {
    let pad = u32::from(rest.len().to_le_bytes()[0]) * 0x0101_0101;
    let mut words = [pad; 8];
    for (word, bytes) in words.iter_mut().zip(rest[..rest.len().min(32)].chunks(4)) {
        for &byte in bytes {
            *word = (*word << 8).wrapping_add(u32::from(byte));
        }
    }
    words
}

fn mix(state: &mut [u32; 4], words: &[u32; 8]) {
    const ROUNDS: [([usize; 8], [u32; 4], u32); 3] = [
        ([0, 1, 2, 3, 4, 5, 6, 7], [3, 7, 11, 19], 0),
        ([1, 3, 5, 7, 0, 2, 4, 6], [3, 5, 9, 13], ROOT_2),
        ([3, 7, 2, 6, 1, 5, 0, 4], [3, 9, 11, 15], ROOT_3),
    ];
    let mut v = *state;
    for (round, (order, shifts, constant)) in ROUNDS.iter().enumerate() {
        for (step, &word) in order.iter().enumerate() {
            // Each step changes one of the four, going backwards: a, d, c, b, a, …
            let target = (4 - step % 4) % 4;
            let [b, c, d] = [1, 2, 3].map(|ahead| v[(target + ahead) % 4]);
            let chosen = match round {
                0 => d ^ (b & (c ^ d)),
                1 => (b & c).wrapping_add((b ^ c) & d),
                _ => b ^ c ^ d,
            };
            let sum =
                v[target].wrapping_add(chosen).wrapping_add(words[word]).wrapping_add(*constant);
            v[target] = sum.rotate_left(shifts[step % 4]);
        }
    }
    for (old, new) in state.iter_mut().zip(v) {
        *old = old.wrapping_add(new);
    }
}
