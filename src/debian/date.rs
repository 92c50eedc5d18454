//! Dates of Release files and HTTP headers to seconds since 1970 and back, in UTC.

use crate::calendar::{date_of_day, days_since_1970};

const SECONDS_PER_DAY: u64 = 86_400;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads `Sat, 12 Sep 2026 07:55:41 UTC`, years 1970 to 9999.
///
/// Source: Debian wiki, `DebianRepository/Format`, fields `Date` and `Valid-Until`: the format of
/// RFC 2822 in UTC. As apt does, takes `GMT`, `Z` and `+0000` for UTC, no other zone, and hours of
/// one digit.
pub fn parse_date(text: &str) -> Option<u64> {
    let mut words = text.split_ascii_whitespace();
    let mut word = words.next()?;
    if let Some(weekday) = word.strip_suffix(',') {
        let is_name = weekday.len() == 3 && weekday.bytes().all(|b| b.is_ascii_alphabetic());
        word = is_name.then(|| words.next())??;
    }
    let day = number(word, 1..=31)?;
    let month_name = words.next()?;
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month_name))?;
    let month = u64::try_from(month).ok()? + 1;
    let year = number(words.next()?, 1970..=9999)?;
    let mut clock = words.next()?.split(':');
    let hour = number(clock.next()?, 0..=23)?;
    let minute = number(clock.next()?, 0..=59)?;
    let second = number(clock.next()?, 0..=60)?;
    let zone = words.next()?;
    let is_utc = matches!(zone, "UTC" | "GMT" | "Z" | "+0000" | "-0000");
    let is_whole = clock.next().is_none() && words.next().is_none() && is_utc;
    let days = days_since_1970(year, month, day);
    let is_real = date_of_day(days) == (year, month, day);
    (is_whole && is_real).then(|| days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second)
}

/// `2026-09-12 07:55 UTC`, for messages.
pub fn date_in_words(seconds: u64) -> String {
    let (year, month, day) = date_of_day(seconds / SECONDS_PER_DAY);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// `20260912T075541Z`, the way the snapshot archive names a moment.
///
/// Source: <https://snapshot.debian.org/>, "Usage".
pub fn snapshot_timestamp(seconds: u64) -> String {
    let (year, month, day) = date_of_day(seconds / SECONDS_PER_DAY);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// A number of plain digits, at most four, within `range`.
fn number(text: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    let is_plain = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let value = is_plain.then(|| text.parse().ok())??;
    range.contains(&value).then_some(value)
}

#[cfg(test)]
mod tests;
