//! Versions of Debian packages and their order.
//!
//! Form: `[epoch:]upstream[-revision]`. Order, from deb-version(7) of dpkg 1.22: the epoch as a number,
//! then upstream part and revision by the same rule: take turns comparing the longest prefix without
//! digits (`~` before the end, the end before letters, letters before the rest) and the number after it
//! (nothing counts as zero). The debversion crate is not used: it puts `1.0~` before `1.0~0`, which are
//! the same version for dpkg.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

#[cfg(test)]
mod tests;

/// The longest version that is accepted; the longest of Debian 13 has 71 bytes.
pub const VERSION_BYTES_MAX: usize = 255;

/// A checked version; printed as it was written.
///
/// Two versions are equal when they are written alike. The order is dpkg's, and among versions that
/// dpkg takes for the same (`1.0` and `1.0-0`) that of the text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version(Box<str>);

/// Text that is not a version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a Debian version")]
pub struct VersionError {
    /// The text found, cut to 80 characters.
    pub text: String,
}

impl Version {
    /// The text, as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// dpkg's order of this version and `other`.
    pub fn compare(&self, other: &Version) -> Ordering {
        compare_versions(&self.0, &other.0)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        if is_version(text.as_bytes()) {
            Ok(Self(text.into()))
        } else {
            Err(VersionError { text: text.chars().take(80).collect() })
        }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(other).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({})", self.0)
    }
}

/// Whether `text` has the form of a version, by dpkg's own check (`parseversion` of
/// `lib/dpkg/parsehelp.c`): an epoch is a number up to 2³¹−1, then at least one character of
/// `A-Za-z0-9.+~-` or, after an epoch, `:`; the revision after the last dash is not empty.
///
/// dpkg warns when the upstream part does not begin with a digit, and so that is allowed.
pub fn is_version(text: &[u8]) -> bool {
    let (epoch, rest) = split_epoch(text);
    let epoch_holds = epoch.is_none_or(|epoch| {
        let digits = !epoch.is_empty() && epoch.iter().all(u8::is_ascii_digit);
        let significant = epoch.iter().skip_while(|&&digit| digit == b'0').count();
        digits && (significant < 10 || (significant == 10 && tail(epoch, 10) <= &b"2147483647"[..]))
    });
    let allowed = |&byte: &u8| {
        byte.is_ascii_alphanumeric() || b".+~-".contains(&byte) || (byte == b':' && epoch.is_some())
    };
    let (upstream, _) = split_revision(rest);
    text.len() <= VERSION_BYTES_MAX
        && epoch_holds
        && !upstream.is_empty()
        && rest.last() != Some(&b'-')
        && rest.iter().all(allowed)
}

/// dpkg's order of two texts that are versions; any other text has some place in the order too.
pub fn compare_versions(left: &str, right: &str) -> Ordering {
    if left == right {
        return Ordering::Equal;
    }
    let ((left_epoch, left), (right_epoch, right)) =
        (split_epoch(left.as_bytes()), split_epoch(right.as_bytes()));
    let ((left_upstream, left_revision), (right_upstream, right_revision)) =
        (split_revision(left), split_revision(right));
    compare_parts(left_epoch.unwrap_or_default(), right_epoch.unwrap_or_default())
        .then_with(|| compare_parts(left_upstream, right_upstream))
        .then_with(|| compare_parts(left_revision, right_revision))
}

fn split_epoch(text: &[u8]) -> (Option<&[u8]>, &[u8]) {
    text.iter()
        .position(|&byte| byte == b':')
        .map_or((None, text), |colon| (Some(&text[..colon]), &text[colon + 1..]))
}

fn split_revision(text: &[u8]) -> (&[u8], &[u8]) {
    text.iter()
        .rposition(|&byte| byte == b'-')
        .map_or((text, &[][..]), |dash| (&text[..dash], &text[dash + 1..]))
}

fn tail(digits: &[u8], count: usize) -> &[u8] {
    &digits[digits.len().saturating_sub(count)..]
}

fn compare_parts(mut left: &[u8], mut right: &[u8]) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let (left_word, left_rest) = take_while(left, |byte| !byte.is_ascii_digit());
        let (right_word, right_rest) = take_while(right, |byte| !byte.is_ascii_digit());
        let (left_number, left_rest) = take_while(left_rest, |byte| byte.is_ascii_digit());
        let (right_number, right_rest) = take_while(right_rest, |byte| byte.is_ascii_digit());
        let order = compare_words(left_word, right_word)
            .then_with(|| compare_numbers(left_number, right_number));
        if order.is_ne() {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
    Ordering::Equal
}

fn take_while(text: &[u8], holds: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let length = text.iter().position(|&byte| !holds(byte)).unwrap_or(text.len());
    text.split_at(length)
}

fn compare_words(left: &[u8], right: &[u8]) -> Ordering {
    let rank = |word: &[u8], index: usize| match word.get(index) {
        Some(b'~') => -1,
        None => 0,
        Some(&letter) if letter.is_ascii_alphabetic() => i32::from(letter),
        Some(&other) => i32::from(other) + 256,
    };
    (0..left.len().max(right.len()))
        .map(|index| rank(left, index).cmp(&rank(right, index)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Numbers of any length: without leading zeros the longer is the greater.
fn compare_numbers(left: &[u8], right: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| digits.iter().take_while(|&&digit| digit == b'0').count();
    let (left, right) = (&left[significant(left)..], &right[significant(right)..]);
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}
