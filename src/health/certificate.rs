//! When a certificate ends: PEM or DER → seconds since 1970.
//!
//! Of a certificate only the way to its validity is read (RFC 5280, 4.1):
//!
//! ```text
//! SEQUENCE { SEQUENCE { [0] version?, INTEGER serial, SEQUENCE algorithm, SEQUENCE issuer,
//!                       SEQUENCE { Time notBefore, Time notAfter }, … }, … }
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::calendar::days_since_1970;

/// What stands before and after a certificate in PEM. Source: RFC 7468, section 5.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Tags of DER. Source: ITU-T X.690.
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// A file whose certificates cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// There is none.
    #[error("it holds no certificate")]
    None,
    /// The text between the lines of PEM is no base64, or the end is missing.
    #[error("a certificate in it is not PEM")]
    Pem,
    /// The bytes are no certificate.
    #[error("a certificate in it is damaged")]
    Der,
}

/// Seconds since 1970 at which the first of the certificates in `file` ends.
///
/// # Errors
///
/// When there is none, or one of them cannot be read.
pub fn first_expiry(file: &[u8]) -> Result<u64, CertificateError> {
    if file.first() == Some(&SEQUENCE) {
        return expiry(file).ok_or(CertificateError::Der);
    }
    let text = str::from_utf8(file).map_err(|_| CertificateError::None)?;
    let mut first: Option<u64> = None;
    for part in text.split(BEGIN).skip(1) {
        let (body, _) = part.split_once(END).ok_or(CertificateError::Pem)?;
        let body: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| CertificateError::Pem)?;
        let ends = expiry(&der).ok_or(CertificateError::Der)?;
        first = Some(first.map_or(ends, |first| first.min(ends)));
    }
    first.ok_or(CertificateError::None)
}

fn expiry(der: &[u8]) -> Option<u64> {
    let (certificate, _) = value(der, SEQUENCE)?;
    let (mut rest, _) = value(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        (_, rest) = value(rest, VERSION)?;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, rest) = value(rest, tag)?;
    }
    let (validity, _) = value(rest, SEQUENCE)?;
    let (_, not_after) = time(validity)?;
    let (seconds, _) = time(not_after)?;
    Some(seconds)
}

/// The contents of the value that `der` begins with, which must have `tag`, and what follows it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    // From 128 on the byte says how many bytes of length follow; 8 are more than any file has.
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
        let is_usable = (1..=size_of::<usize>()).contains(&bytes.len());
        let length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        (is_usable.then_some(length)?, rest)
    };
    rest.split_at_checked(length)
}

/// The time that `der` begins with, and what follows it.
///
/// `YYMMDDHHMMSSZ` means 1950 to 2049, `YYYYMMDDHHMMSSZ` any year. Source: RFC 5280, 4.1.2.5.
fn time(der: &[u8]) -> Option<(u64, &[u8])> {
    let (text, rest, year_digits) = if let Some((text, rest)) = value(der, UTC_TIME) {
        (text, rest, 2)
    } else {
        let (text, rest) = value(der, GENERALIZED_TIME)?;
        (text, rest, 4)
    };
    let (digits, zone) = text.split_last_chunk::<1>().map(|(digits, zone)| (digits, zone[0]))?;
    if zone != b'Z' || digits.len() != year_digits + 10 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |from: usize, count: usize| {
        digits[from..from + count]
            .iter()
            .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
    };
    let year = match (number(0, year_digits), year_digits) {
        (year, 2) if year < 50 => 2000 + year,
        (year, 2) => 1900 + year,
        (year, _) => year,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| number(year_digits + at, 2));
    let is_real = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60;
    if !is_real {
        return None;
    }
    // What ended before 1970 has ended.
    let days = if year < 1970 { 0 } else { days_since_1970(year, month, day) };
    Some((((days * 24 + hour) * 60 + minute) * 60 + second, rest))
}
