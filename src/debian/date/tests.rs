//! Dates both ways; the expected seconds were printed by GNU `date -u -d … +%s`.

use super::*;

#[track_caller]
fn check(text: &str, expected: Option<u64>) {
    assert_eq!(parse_date(text), expected, "{text}");
}

#[test]
fn dates_of_release_files() {
    check("Sat, 12 Sep 2026 07:55:41 UTC", Some(1_789_199_741));
    check("Sat, 12 Sep 2026  7:55:41 +0000", Some(1_789_199_741));
    check("12 Sep 2026 07:55:41 GMT", Some(1_789_199_741));
    check("Thu, 01 Jan 1970 00:00:00 UTC", Some(0));
    check("Thu, 29 Feb 2024 23:59:59 Z", Some(1_709_251_199));
    check("Sun, 31 Dec 2000 12:00:00 UTC", Some(978_264_000));
}

#[test]
fn what_is_no_utc_date_is_refused() {
    for text in [
        "",
        "now",
        "Sat, 12 Sep 2026 07:55:41",
        "Sat, 12 Sep 2026 07:55:41 CEST",
        "Sat, 12 Sep 2026 07:55:41 +0200",
        "Sat, 31 Feb 2026 07:55:41 UTC",
        "Sat, 29 Feb 2023 07:55:41 UTC",
        "Sat, 12 Sep 2026 24:00:00 UTC",
        "Sat, 12 Sep 2026 07:55 UTC",
        "Sat, 12 Sep 2026 07:55:41:00 UTC",
        "Sat, 12 Sep 2026 07:55:41 UTC UTC",
        "Sat, 12 Sep 99999 07:55:41 UTC",
        "Sat, 12 Sep 1969 07:55:41 UTC",
        "Sat, +2 Sep 2026 07:55:41 UTC",
        "Saturday, 12 Sep 2026 07:55:41 UTC",
    ] {
        check(text, None);
    }
}

#[test]
fn moments_are_written() {
    assert_eq!(snapshot_timestamp(1_789_199_741), "20260912T075541Z");
    assert_eq!(date_in_words(1_789_199_741), "2026-09-12 07:55 UTC");
    assert_eq!(date_in_words(0), "1970-01-01 00:00 UTC");
    assert!(!date_in_words(u64::MAX).is_empty());
}

#[test]
fn every_day_of_eight_centuries_comes_back() {
    for day in 0..800 * 366 {
        let (year, month, day_of_month) = date_of_day(day);
        assert_eq!(days_since_1970(year, month, day_of_month), day);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text: String) {
        let _ = parse_date(&text);
    }
}
