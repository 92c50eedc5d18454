//! Moments in UTC, as a lock writes them: `2026-11-20T08:14:02Z`, and `20261120T081402Z` for snapshots.

use std::fmt;

use crate::debian::package::FormError;

/// 9999-12-31T23:59:59Z: four digits of a year, as both forms have.
const SECONDS_MAX: u64 = 253_402_300_799;

/// A moment from 1970 to 9999, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `seconds` after 1970; `None` after the year 9999.
    pub fn from_seconds(seconds: u64) -> Option<Self> {
        (seconds <= SECONDS_MAX).then_some(Self(seconds))
    }

    /// Seconds since 1970.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// Reads `2026-11-20T08:14:02Z`.
    pub fn parse_date(text: &str) -> Result<Self, FormError> {
        Self::parse(text, b"____-__-__T__:__:__Z")
            .ok_or_else(|| FormError::new(text, "a moment as in `2026-11-20T08:14:02Z`"))
    }

    /// Reads `20261120T081402Z`.
    pub fn parse_snapshot(text: &str) -> Result<Self, FormError> {
        Self::parse(text, b"________T______Z")
            .ok_or_else(|| FormError::new(text, "a snapshot's name as in `20261120T081402Z`"))
    }

    /// The form of the snapshot archive: `20261120T081402Z`.
    pub fn to_snapshot(self) -> String {
        self.to_string().replace(['-', ':'], "")
    }

    /// Reads digits where `form` has `_`; the rest must be as in `form`.
    fn parse(text: &str, form: &[u8]) -> Option<Self> {
        let fits = |(&byte, &wanted): (&u8, &u8)| {
            if wanted == b'_' { byte.is_ascii_digit() } else { byte == wanted }
        };
        if text.len() != form.len() || !text.as_bytes().iter().zip(form).all(fits) {
            return None;
        }
        let mut digits = text.bytes().filter(u8::is_ascii_digit);
        let mut number = |count| {
            digits.by_ref().take(count).fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
        };
        let (year, month, day) = (number(4), number(2), number(2));
        let (hour, minute, second) = (number(2), number(2), number(2));
        if year < 1970 || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days_since_1970(year, month, day)?;
        Some(Self(days * 86_400 + hour * 3600 + minute * 60 + second))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, second) = (self.0 / 86_400, self.0 % 86_400);
        let mut year = 1970;
        while days >= year_length(year) {
            days -= year_length(year);
            year += 1;
        }
        let mut month = 1;
        while days >= month_length(year, month) {
            days -= month_length(year, month);
            month += 1;
        }
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
    }
}

fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=month_length(year, month)).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year).map(year_length).sum();
    let months: u64 = (1..month).map(|month| month_length(year, month)).sum();
    Some(years + months + day - 1)
}

fn is_leap(year: u64) -> bool {
    (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
}

fn year_length(year: u64) -> u64 {
    365 + u64::from(is_leap(year))
}

fn month_length(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
