//! Lengths of time, numbers of bytes, permission bits, calendar events.

use super::FormatInfo;

/// Source: systemd.time(7), "Parsing time spans"; of its many spellings one for each unit.
pub(super) const DURATION: FormatInfo = FormatInfo {
    name: "duration",
    what: "a length of time",
    expected: "a number and `ms`, `s`, `min`, `h`, `d` or `w`, perhaps several",
    example: "1h 30min",
    takes: |text| !text.is_empty() && text.len() <= 64 && text.split(' ').all(is_span),
};

pub(super) const SIZE: FormatInfo = FormatInfo {
    name: "size",
    what: "a size",
    expected: "a number and `B`, `KiB`, `MiB`, `GiB` or `TiB`",
    example: "256MiB",
    takes: |text| bytes(text).is_some(),
};

pub(super) const MODE: FormatInfo = FormatInfo {
    name: "mode",
    what: "permission bits",
    expected: "four octal digits in quotes",
    example: "0644",
    takes: |text| mode_bits(text).is_some(),
};

/// Source: systemd.time(7), "Calendar events"; the real parser is systemd's, this finds slips.
pub(super) const CALENDAR: FormatInfo = FormatInfo {
    name: "calendar",
    what: "a calendar event",
    expected: "a time such as `03:00`, `Mon *-*-* 04:30`, or `daily`",
    example: "Mon..Fri 03:00",
    takes: is_calendar,
};

const SIZE_UNITS: &[(&str, i64)] =
    &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1)];
/// Name and milliseconds of each unit.
const TIME_UNITS: &[(&str, i64)] = &[
    ("ms", 1),
    ("s", 1000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

/// Bytes that `text` stands for.
pub(super) fn bytes(text: &str) -> Option<i64> {
    let (number, unit) = split_number(text)?;
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// Bits that four octal digits stand for.
pub(super) fn mode_bits(text: &str) -> Option<i64> {
    let octal = text.len() == 4 && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    octal.then(|| i64::from_str_radix(text, 8).ok()).flatten()
}

/// Seconds of a length of time, begun ones counted; `None` when it is none.
pub(crate) fn seconds(text: &str) -> Option<i64> {
    if !(DURATION.takes)(text) {
        return None;
    }
    let milliseconds = text.split(' ').map(|span| {
        let (number, unit) = split_number(span)?;
        let (_, factor) = TIME_UNITS.iter().find(|(name, _)| *name == unit)?;
        number.checked_mul(*factor)
    });
    let total = milliseconds.collect::<Option<Vec<i64>>>()?.into_iter().sum::<i64>();
    Some(total.div_euclid(1000) + i64::from(total % 1000 != 0))
}

/// `2 Gb` → `2GiB`.
pub(super) fn size_suggestion(text: &str) -> Option<String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[digits..].trim().to_lowercase().as_str() {
        "" | "b" => "B",
        "k" | "kb" | "kib" => "KiB",
        "m" | "mb" | "mib" => "MiB",
        "g" | "gb" | "gib" => "GiB",
        "t" | "tb" | "tib" => "TiB",
        _ => return None,
    };
    Some(format!("{}{unit}", &text[..digits]))
}

/// `5 minutes` → `5min`.
pub(super) fn duration_suggestion(text: &str) -> Option<String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[digits..].trim().to_lowercase().as_str() {
        "" | "sec" | "second" | "seconds" => "s",
        "m" | "minute" | "minutes" | "mins" => "min",
        "hour" | "hours" | "hr" => "h",
        "day" | "days" => "d",
        "week" | "weeks" => "w",
        _ => return None,
    };
    Some(format!("{}{unit}", &text[..digits]))
}

fn split_number(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// A number and unit; a year's worth of the largest unit is more than any option means.
fn is_span(text: &str) -> bool {
    split_number(text).is_some_and(|(number, unit)| {
        (0..=1_000_000).contains(&number) && TIME_UNITS.iter().any(|(name, _)| *name == unit)
    })
}

fn is_calendar(text: &str) -> bool {
    const SHORTHANDS: &[&str] = &[
        "minutely",
        "hourly",
        "daily",
        "weekly",
        "monthly",
        "quarterly",
        "semiannually",
        "yearly",
    ];
    if SHORTHANDS.contains(&text) {
        return true;
    }
    let mut words = text.split(' ').peekable();
    let weekdays = words.next_if(|word| is_weekdays(word));
    let date = words.next_if(|word| is_date(word));
    let time = words.next_if(|word| is_time(word));
    let zone = words.next_if(|word| super::system::is_zone(word));
    let something = weekdays.is_some() || date.is_some() || time.is_some();
    let zone_follows = zone.is_none() || date.is_some() || time.is_some();
    text.len() <= 128 && something && zone_follows && words.next().is_none()
}

fn is_weekdays(word: &str) -> bool {
    const DAYS: &[&str] = &["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    word.split(',').all(|part| match part.split_once("..") {
        Some((from, to)) => DAYS.contains(&from) && DAYS.contains(&to),
        None => DAYS.contains(&part),
    })
}

/// `*-*-01`, `2026-12-24`, `*-*~1` (the last day), two or three parts.
fn is_date(word: &str) -> bool {
    let parts: Vec<_> = word.split(['-', '~']).collect();
    (2..=3).contains(&parts.len()) && parts.iter().all(|part| is_component(part, 9999))
}

fn is_time(word: &str) -> bool {
    let parts: Vec<_> = word.split(':').collect();
    let most = [23, 59, 59];
    (2..=3).contains(&parts.len())
        && parts.iter().zip(most).all(|(part, most)| is_component(part, most))
}

/// `*`, `5`, `1..5`, `*/2`, `0/15`, and several with commas between.
fn is_component(text: &str, most: u32) -> bool {
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        plain && text.parse::<u32>().is_ok_and(|number| number <= most)
    };
    text.split(',').all(|part| {
        let (base, step) = part.split_once('/').unwrap_or((part, "1"));
        let base_is_good = match base.split_once("..") {
            Some((from, to)) => number(from) && number(to),
            None => base == "*" || number(base),
        };
        base_is_good && number(step)
    })
}
