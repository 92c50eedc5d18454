//! Points in time as YAML writes them → RFC 3339, the form that SOPS authenticates.

/// The RFC 3339 form of a YAML timestamp; `None` when it is none.
///
/// Accepted: `2026-11-21`, and a date with `T`, `t` or a space, a time with up to nine digits of a
/// second's fraction, and `Z` or an offset (with the space: no offset, meaning UTC). Source: the list
/// of layouts in go-yaml v3's `resolve.go`, which sops 3.13 reads with.
pub(super) fn canonical(text: &str) -> Option<String> {
    let (year, rest) = digits(text, 4, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 1, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 1, 2)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) {
        return None;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    if rest.is_empty() {
        return Some(format!("{date}T00:00:00Z"));
    }
    let separator = rest.chars().next()?;
    let (hour, rest) = digits(rest.strip_prefix(['T', 't', ' '])?, 1, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 1, 2)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 1, 2)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, rest) = fraction_of(rest)?;
    let zone = zone_of(rest, separator)?;
    Some(format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}"))
}

fn digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    (count >= least)
        .then(|| text.split_at(count))
        .and_then(|(number, rest)| number.parse().ok().map(|number| (number, rest)))
}

/// The fraction with its point and without zeros at its end.
fn fraction_of(text: &str) -> Option<(String, &str)> {
    let Some(after) = text.strip_prefix('.') else { return Some((String::new(), text)) };
    let count = after.bytes().take_while(u8::is_ascii_digit).count();
    let (fraction, rest) = after.split_at(count);
    let short = fraction.trim_end_matches('0');
    match count {
        1..=9 if short.is_empty() => Some((String::new(), rest)),
        1..=9 => Some((format!(".{short}"), rest)),
        _ => None,
    }
}

fn zone_of(text: &str, separator: char) -> Option<String> {
    match text {
        "" if separator == ' ' => Some("Z".to_owned()),
        "Z" if separator != ' ' => Some("Z".to_owned()),
        _ if separator == ' ' => None,
        _ => {
            let sign = text.chars().next().filter(|sign| matches!(sign, '+' | '-'))?;
            let (hours, rest) = digits(&text[1..], 2, 2)?;
            let (minutes, rest) = digits(rest.strip_prefix(':')?, 2, 2)?;
            let utc = hours == 0 && minutes == 0;
            let good = rest.is_empty() && hours < 24 && minutes < 60;
            let offset = format!("{sign}{hours:02}:{minutes:02}");
            good.then(|| if utc { "Z".to_owned() } else { offset })
        }
    }
}

fn days_of(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// RFC 3339 of `seconds` since 1970, in UTC.
pub fn from_unix_seconds(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days, for dates from 1970 on.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
