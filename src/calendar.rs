//! Days since 1970 to years, months and days, and back.

/// Days from 1970-01-01 to a day of the Gregorian calendar that is not before it.
///
/// Counts from 1 March of year 0, so that the leap day is the last of its year; 719 468 is the day
/// number of 1970-01-01 in that count.
pub fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// Year, month and day of a day since 1970-01-01; the inverse of [`days_since_1970`].
pub fn date_of_day(days: u64) -> (u64, u64, u64) {
    let days = days.min(u64::MAX / 2) + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leap_days = day_of_era / 1460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
    let year_start = year_of_era * 365 + year_of_era / 4 - year_of_era / 100;
    let day_of_year = day_of_era - year_start;
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_come_back_as_themselves() {
        assert_eq!(days_since_1970(1970, 1, 1), 0);
        assert_eq!(days_since_1970(2000, 2, 29), 11_016);
        assert_eq!(days_since_1970(2000, 3, 1), 11_017);
        for days in (0..3_000_000).step_by(97) {
            let (year, month, day) = date_of_day(days);
            assert_eq!(days_since_1970(year, month, day), days);
        }
    }
}
