//! The text forms of `OpenPGP`: ASCII armor, and clear-signed text taken apart strictly.
//!
//! Source: RFC 9580, sections 6.2 (armor) and 7 (cleartext signature framework). The `pgp` crate
//! has readers for both; ours take linear time on hostile input and refuse everything that two
//! readers could understand differently: text before or after the signed part, unescaped dashes,
//! headers other than `Hash`, carriage returns inside a line.

use thiserror::Error;

const SIGNED_BEGIN: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "PGP SIGNATURE";
const SIGNATURE_BEGIN: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const KEYS: &str = "PGP PUBLIC KEY BLOCK";

/// A clear-signed document taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClearSigned {
    /// The signed lines, dash escapes and white space at line ends removed, joined by line feeds.
    pub(super) text: Vec<u8>,
    /// The same lines joined by CR LF without one at the end: exactly what was hashed.
    pub(super) hashed: Vec<u8>,
    /// The signature packets.
    pub(super) packets: Vec<u8>,
}

/// Text that is not what RFC 9580 describes, or is ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ArmorError {
    /// The marker line is absent.
    #[error("there is no line `-----BEGIN PGP …-----`")]
    NoBegin,
    /// The end line is absent: truncated.
    #[error("the line `-----END PGP …-----` is missing")]
    NoEnd,
    /// A header we do not know, or no blank line behind the headers.
    #[error("there is a malformed or unknown armor header")]
    Header,
    /// A signed line begins with a dash that is not escaped.
    #[error("a signed line begins with an unescaped dash")]
    Dash,
    /// A carriage return inside a signed line.
    #[error("a signed line holds a carriage return")]
    CarriageReturn,
    /// Text outside the signed part.
    #[error("there is text outside of the signed part")]
    Outside,
    /// The encoded part is not base-64.
    #[error("the encoded part is not base-64")]
    Base64,
}

/// Takes a clear-signed document apart; checks no signature.
pub(super) fn split_clear_signed(document: &[u8]) -> Result<ClearSigned, ArmorError> {
    let mut lines = lines(document);
    if lines.next() != Some(SIGNED_BEGIN) {
        return Err(ArmorError::NoBegin);
    }
    loop {
        match lines.next().ok_or(ArmorError::NoEnd)? {
            [] => break,
            line if line.starts_with(b"Hash:") => {}
            _ => return Err(ArmorError::Header),
        }
    }
    let mut signed = Vec::new();
    loop {
        let line = lines.next().ok_or(ArmorError::NoEnd)?;
        if line == SIGNATURE_BEGIN {
            break;
        }
        signed.push(signed_line(line)?);
    }
    let packets = armored_body(&mut lines, SIGNATURE)?;
    if lines.any(|line| !line.is_empty()) {
        return Err(ArmorError::Outside);
    }
    Ok(ClearSigned { text: joined(&signed, b"\n"), hashed: joined(&signed, b"\r\n"), packets })
}

/// The packets of a detached signature, armored or binary.
pub(super) fn signature_packets(bytes: &[u8]) -> Result<Vec<u8>, ArmorError> {
    packets_of(bytes, SIGNATURE)
}

/// The packets of a key file, armored (any number of blocks with text between them) or binary.
pub(super) fn key_packets(bytes: &[u8]) -> Result<Vec<u8>, ArmorError> {
    packets_of(bytes, KEYS)
}

fn packets_of(bytes: &[u8], kind: &str) -> Result<Vec<u8>, ArmorError> {
    // Each binary OpenPGP packet starts with a byte whose highest bit is set; armor is ASCII.
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return Ok(bytes.to_vec());
    }
    let begin = format!("-----BEGIN {kind}-----");
    let mut lines = lines(bytes);
    let mut packets = Vec::new();
    let mut found = false;
    while let Some(line) = lines.next() {
        if line == begin.as_bytes() {
            found = true;
            packets.extend(armored_body(&mut lines, kind)?);
        }
    }
    if found { Ok(packets) } else { Err(ArmorError::NoBegin) }
}

/// Reads headers, base-64 and the end line that follow a begin line.
fn armored_body<'a>(
    lines: &mut impl Iterator<Item = &'a [u8]>,
    kind: &str,
) -> Result<Vec<u8>, ArmorError> {
    loop {
        match lines.next().ok_or(ArmorError::NoEnd)? {
            [] => break,
            line if line.contains(&b':') => {}
            _ => return Err(ArmorError::Header),
        }
    }
    let end = format!("-----END {kind}-----");
    let mut encoded = Vec::new();
    loop {
        let line = lines.next().ok_or(ArmorError::NoEnd)?;
        if line == end.as_bytes() {
            return base64_decoded(&encoded).ok_or(ArmorError::Base64);
        }
        // The line with the CRC-24; RFC 9580 says not to rely on it, and the signature does more.
        if !(line.len() == 5 && line[0] == b'=') {
            encoded.extend_from_slice(line);
        }
    }
}

fn signed_line(line: &[u8]) -> Result<&[u8], ArmorError> {
    let line = match line.strip_prefix(b"- ") {
        Some(rest) => rest,
        None if line.starts_with(b"-") => return Err(ArmorError::Dash),
        None => line,
    };
    if line.contains(&b'\r') { Err(ArmorError::CarriageReturn) } else { Ok(line) }
}

/// Lines without their ends and without white space before them; no line after a final line feed.
fn lines(document: &[u8]) -> impl Iterator<Item = &[u8]> {
    let document = document.strip_suffix(b"\n").unwrap_or(document);
    document.split(|byte| *byte == b'\n').map(|line| {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
        let kept = line.iter().rposition(|byte| !blank(byte)).map_or(0, |last| last + 1);
        &line[..kept]
    })
}

fn joined(lines: &[&[u8]], separator: &[u8]) -> Vec<u8> {
    lines.join(separator)
}

/// Decodes base-64 with padding; `None` when there is any other character or a wrong length.
fn base64_decoded(encoded: &[u8]) -> Option<Vec<u8>> {
    let padding = encoded.iter().rev().take_while(|byte| **byte == b'=').count();
    if !encoded.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut decoded = Vec::with_capacity(encoded.len() / 4 * 3);
    let mut bits: u32 = 0;
    for (index, byte) in encoded[..encoded.len() - padding].iter().enumerate() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        if index % 4 == 3 {
            decoded.extend_from_slice(&bits.to_be_bytes()[1..]);
            bits = 0;
        }
    }
    match padding {
        1 => decoded.extend_from_slice(&(bits << 6).to_be_bytes()[1..3]),
        2 => decoded.extend_from_slice(&(bits << 12).to_be_bytes()[1..2]),
        _ => {}
    }
    Some(decoded)
}

#[cfg(test)]
mod tests;
