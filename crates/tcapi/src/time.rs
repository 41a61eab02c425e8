//! The times of the contract: `YYYY-MM-DD HH:MM:SS` in UTC+8, the UTC day of a TC3 scope, and the quota's day.
//!
//! The documentation names no time zone. A sample's `TaskId` begins with a Unix time that equals its `CreateTime` in UTC+8, and quotas are reset at
//! 00:00 UTC+8. This module reads no clock; a time is given to it as Unix seconds.

use ::time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// Seconds that the contract's clock is ahead of UTC.
pub const UTC8_OFFSET_SECONDS: i64 = 8 * 3600;

const DAY_SECONDS: i64 = 86_400;

/// Last second that four digits of year can show: 9999-12-31 23:59:59 in UTC+8.
pub const MAX_UNIX: i64 = 253_402_300_799 - UTC8_OFFSET_SECONDS;

/// Why a text is no time of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not `YYYY-MM-DD HH:MM:SS`.
    #[error("is not of the form YYYY-MM-DD HH:MM:SS")]
    Form,
    /// The form is right, but there is no such day or time, or the year is before 1970.
    #[error("names no existing day and time from 1970 on")]
    Range,
}

/// Unix seconds of a text `YYYY-MM-DD HH:MM:SS` in UTC+8.
///
/// # Errors
/// [`TimeError::Form`] or [`TimeError::Range`]; a leap second (`:60`) is out of range.
pub fn parse_utc8(text: &str) -> Result<i64, TimeError> {
    let &[y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, b' ', h1, h2, b':', mi1, mi2, b':', s1, s2] = text.as_bytes()
    else {
        return Err(TimeError::Form);
    };
    let year = i32::from(two(y1, y2)?) * 100 + i32::from(two(y3, y4)?);
    let (month, day) = (two(mo1, mo2)?, two(d1, d2)?);
    let (hour, minute, second) = (two(h1, h2)?, two(mi1, mi2)?, two(s1, s2)?);
    let month = Month::try_from(month).map_err(|_| TimeError::Range)?;
    let date = Date::from_calendar_date(year, month, day).map_err(|_| TimeError::Range)?;
    let time = Time::from_hms(hour, minute, second).map_err(|_| TimeError::Range)?;
    let unix = PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp() - UTC8_OFFSET_SECONDS;
    if unix < 0 { Err(TimeError::Range) } else { Ok(unix) }
}

/// The text `YYYY-MM-DD HH:MM:SS` in UTC+8 of a Unix time in seconds, held to 1970 … 9999.
#[must_use]
pub fn format_utc8(unix: i64) -> String {
    text_of(unix.clamp(0, MAX_UNIX), UTC8_OFFSET_SECONDS)
}

/// The same text in UTC, for messages about clocks.
#[must_use]
pub fn format_utc(unix: i64) -> String {
    text_of(unix.clamp(0, MAX_UNIX), 0)
}

/// The UTC calendar day of a Unix time, `YYYY-MM-DD`: the date of a TC3 credential scope.
#[must_use]
pub fn utc_date(unix: i64) -> String {
    let mut text = format_utc(unix);
    text.truncate(10);
    text
}

/// Number of the quota's day: days of the UTC+8 calendar since 1970-01-01. It changes at 00:00 UTC+8, that is 16:00 UTC.
#[must_use]
pub const fn quota_day(unix: i64) -> i64 {
    unix.saturating_add(UTC8_OFFSET_SECONDS).div_euclid(DAY_SECONDS)
}

/// Unix seconds at which the quota's day `day` begins.
#[must_use]
pub const fn quota_day_start(day: i64) -> i64 {
    day.saturating_mul(DAY_SECONDS).saturating_sub(UTC8_OFFSET_SECONDS)
}

fn two(tens: u8, ones: u8) -> Result<u8, TimeError> {
    if tens.is_ascii_digit() && ones.is_ascii_digit() {
        Ok((tens - b'0') * 10 + (ones - b'0'))
    } else {
        Err(TimeError::Form)
    }
}

fn text_of(unix: i64, offset_seconds: i64) -> String {
    // Callers hold `unix + offset` to 1970 … 9999, so the fallback is never taken; it costs less than a panic path.
    let t = OffsetDateTime::from_unix_timestamp(unix + offset_seconds)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .to_offset(UtcOffset::UTC);
    let (date, time) = (t.date(), t.time());
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_documents_sample_is_in_utc8() {
        // TaskId 1533045796-… was created at 2018-07-31 22:03:16.
        assert_eq!(format_utc8(1_533_045_796), "2018-07-31 22:03:16");
        assert_eq!(parse_utc8("2018-07-31 22:03:16"), Ok(1_533_045_796));
        assert_eq!(utc_date(1_551_113_065), "2019-02-25");
    }

    #[test]
    fn the_quota_begins_anew_at_sixteen_hours_utc() {
        let start = parse_utc8("2026-11-24 00:00:00").expect("a valid time");
        assert_eq!(format_utc(start), "2026-11-23 16:00:00");
        assert_eq!(quota_day(start - 1) + 1, quota_day(start));
        assert_eq!(quota_day_start(quota_day(start + 86_399)), start);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for form in [
            "",
            "2018-07-31",
            "2018-7-31 22:03:16",
            "2018-07-31T22:03:16",
            "2018-07-31 22:03:16 ",
            "+018-07-31 22:03:16",
            "2018-07-31 22:03:1é",
        ] {
            assert_eq!(parse_utc8(form), Err(TimeError::Form), "{form}");
        }
        for range in [
            "2018-02-29 00:00:00",
            "2018-13-01 00:00:00",
            "2018-00-01 00:00:00",
            "2018-01-01 24:00:00",
            "2018-01-01 00:00:60",
            "1969-12-31 00:00:00",
        ] {
            assert_eq!(parse_utc8(range), Err(TimeError::Range), "{range}");
        }
        assert_eq!(parse_utc8("2020-02-29 00:00:00").map(format_utc8).as_deref(), Ok("2020-02-29 00:00:00"));
    }

    proptest! {
        #[test]
        fn a_time_survives_its_text(unix in 0..=MAX_UNIX) {
            prop_assert_eq!(parse_utc8(&format_utc8(unix)), Ok(unix));
        }

        #[test]
        fn any_number_and_any_text_are_answered(unix in any::<i64>(), text in any::<String>()) {
            let _ = (format_utc8(unix), format_utc(unix), utc_date(unix), quota_day(unix), quota_day_start(unix), parse_utc8(&text));
        }
    }
}
