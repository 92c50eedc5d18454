//! Secrets on the machine of the person who keeps them: identities, files, generating, editing.

pub mod document;
pub mod generate;
pub mod identities;
pub mod memory;

/// Fills a buffer with the kernel's randomness.
///
/// # Panics
///
/// When the kernel has none, which it always has after boot.
pub fn random(buffer: &mut [u8]) {
    let mut filled = 0;
    while filled < buffer.len() {
        let flags = rustix::rand::GetRandomFlags::empty();
        match rustix::rand::getrandom(&mut buffer[filled..], flags) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the kernel gives no random bytes: {error}"),
        }
    }
}
