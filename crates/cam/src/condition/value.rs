//! The values of a condition: each operator's own type, read once when the policy is parsed.

use std::net::IpAddr;

use ipnet::IpNet;
use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset};

use crate::error::Problem;
use crate::json::Json;
use crate::shown::Shown;
use crate::template::{Template, Variable};

/// A number, or a variable that stands for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    Fixed(i128),
    Variable(Variable),
}

const TEXT: &str = "a text in quotation marks";
const TAG: &str = "a tag as key&value";
const NUMBER: &str = "a whole number";
const DATE: &str =
    "a date and time in ISO 8601 with whole seconds, such as 2026-11-24T00:00:00Z; without a zone it is UTC";
const NETWORK: &str = "an address or a network in CIDR form, such as 10.217.182.0/24 or 2001:db8::/32";
const BOOL: &str = "true or false";

pub(super) fn text(value: &Json) -> Result<Template, Problem> {
    Template::parse(string(value).ok_or_else(|| refused(value, TEXT))?)
}

pub(super) fn tag(value: &Json) -> Result<Template, Problem> {
    let key_first = |text: &&str| text.find('&').is_some_and(|at| at > 0);
    Template::parse(string(value).filter(key_first).ok_or_else(|| refused(value, TAG))?)
}

/// A JSON number or a text of digits.
pub(super) fn number(value: &Json) -> Result<Number, Problem> {
    let refused = || refused(value, NUMBER);
    match value {
        Json::Integer(number) => Ok(Number::Fixed(*number)),
        Json::Text(text) => {
            let template = Template::parse(text)?;
            let fixed = || template.plain()?.trim().parse().ok().map(Number::Fixed);
            template.lone().map(Number::Variable).or_else(fixed).ok_or_else(refused)
        }
        Json::Null | Json::Bool(_) | Json::Fraction | Json::List(_) | Json::Object(_) => Err(refused()),
    }
}

/// Unix seconds.
pub(super) fn date(value: &Json) -> Result<i64, Problem> {
    string(value).and_then(seconds).ok_or_else(|| refused(value, DATE))
}

/// Host bits may be set, as in the documents' samples. An IPv4 network in IPv6 clothes (`::ffff:10.0.0.0/104`) is the IPv4 network.
pub(super) fn network(value: &Json) -> Result<IpNet, Problem> {
    let read = |text: &str| {
        let text = text.trim();
        text.parse::<IpAddr>().map(IpNet::from).ok().or_else(|| text.parse().ok()).map(plain)
    };
    string(value).and_then(read).ok_or_else(|| refused(value, NETWORK))
}

pub(super) fn boolean(value: &Json) -> Result<bool, Problem> {
    match value {
        Json::Bool(value) => Ok(*value),
        Json::Text(text) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
        Json::Text(text) if text.trim().eq_ignore_ascii_case("false") => Ok(false),
        Json::Null | Json::Text(_) | Json::Integer(_) | Json::Fraction | Json::List(_) | Json::Object(_) => {
            Err(refused(value, BOOL))
        }
    }
}

fn string(value: &Json) -> Option<&str> {
    match value {
        Json::Text(text) => Some(text),
        Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Fraction | Json::List(_) | Json::Object(_) => None,
    }
}

fn refused(value: &Json, wants: &'static str) -> Problem {
    let text = match value {
        Json::Text(text) => Shown(text).to_string(),
        Json::Integer(number) => number.to_string(),
        Json::Bool(value) => value.to_string(),
        Json::Null => "null".to_owned(),
        Json::Fraction => "a number with a fraction".to_owned(),
        Json::List(_) => "a list within the list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    };
    Problem::Value { text, wants }
}

fn plain(network: IpNet) -> IpNet {
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(length)) if matches!(network, IpNet::V6(_)) => {
            // At most 128 - 96, so always a length of IPv4.
            IpNet::new(address.into(), length).unwrap_or(network)
        }
        _ => network,
    }
}

/// `YYYY-MM-DD`, then `T` or blanks or both, then `HH:MM:SS`, then nothing, `Z` or an offset. The documents have `2016-06-01T 00:01:00Z` and
/// `2022-05-31 00:00:00` besides the plain form. A fraction may be written if it is zero, as JavaScript does.
fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let (day, rest) = text.split_at_checked(10)?;
    let clock = rest.trim_start();
    let clock = clock.strip_prefix(['T', 't']).map_or(clock, str::trim_start);
    let (clock, zone) = (clock.get(..8)?, clock.get(8..)?);
    if clock.len() + zone.len() == rest.len() {
        return None;
    }
    let zone = zone.strip_prefix('.').map_or(Some(zone), |fraction| {
        let zone = fraction.trim_start_matches('0');
        (zone.len() < fraction.len()).then_some(zone)
    })?;
    let [year, month, day] = fields(day, '-', [4, 2, 2])?;
    let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?.map(|n| u8::try_from(n).unwrap_or(u8::MAX));
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()?;
    let time = Time::from_hms(hour, minute, second).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_offset(offset(zone.trim_start())?).unix_timestamp())
}

/// `Z`, nothing, `+08:00` or `+0800`.
fn offset(zone: &str) -> Option<UtcOffset> {
    let sign = match zone.as_bytes() {
        [] | b"Z" | b"z" => return Some(UtcOffset::UTC),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let digits = zone.get(1..)?;
    let [hours, minutes] = fields(digits, ':', [2, 2]).or_else(|| {
        let (hours, minutes) = digits.split_at_checked(2)?;
        let [hours] = fields(hours, ':', [2])?;
        let [minutes] = fields(minutes, ':', [2])?;
        Some([hours, minutes])
    })?;
    let minutes = i32::from(hours) * 60 + i32::from(minutes % 60) + if minutes > 59 { return None } else { 0 };
    UtcOffset::from_whole_seconds(sign * minutes * 60).ok()
}

/// Fields of digits only, each of its exact width.
fn fields<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[u16; N]> {
    let mut parts = text.split(separator);
    let mut out = [0; N];
    for (field, width) in out.iter_mut().zip(widths) {
        let part = parts.next().filter(|p| p.len() == width && p.bytes().all(|b| b.is_ascii_digit()))?;
        *field = part.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_read_as_the_documents_write_them() {
        for (text, unix) in [
            ("2016-06-01T00:01:00Z", 1_464_739_260),
            ("2016-06-01T 00:01:00Z", 1_464_739_260),
            ("2016-06-01 00:01:00", 1_464_739_260),
            ("2016-06-01T00:01:00.000Z", 1_464_739_260),
            ("2016-06-01T08:01:00+08:00", 1_464_739_260),
            ("2016-05-31T19:31:00-0430", 1_464_739_260),
            (" 1970-01-01t00:00:00z ", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2024-02-29T23:59:59Z", 1_709_251_199),
        ] {
            assert_eq!(seconds(text), Some(unix), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_and_time_is_none() {
        for text in [
            "",
            "2016-06-01",
            "2016-06-0100:01:00Z",
            "2016-06-01T00:01Z",
            "2016-6-1T00:01:00Z",
            "2016-13-01T00:01:00Z",
            "2023-02-29T00:00:00Z",
            "2016-06-01T24:00:00Z",
            "2016-06-01T00:00:60Z",
            "2016-06-01T00:01:00.5Z",
            "2016-06-01T00:01:00.Z",
            "2016-06-01T00:01:00ZZ",
            "2016-06-01T00:01:00+8",
            "2016-06-01T00:01:00+08:60",
            "2016-06-01T00:01:00 UTC",
            "+016-06-01T00:01:00Z",
            "1464739260",
            "2016-06-0éT00:01:00Z",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn host_bits_may_be_set_and_mapped_networks_are_ipv4() {
        let read = |text: &str| network(&Json::Text(text.into())).map(|net| net.trunc().to_string()).ok();
        for (text, net) in [
            ("10.217.182.3/24", "10.217.182.0/24"),
            ("192.168.1.1", "192.168.1.1/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            (" 10.0.0.0/8 ", "10.0.0.0/8"),
        ] {
            assert_eq!(read(text).as_deref(), Some(net), "{text}");
        }
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "010.0.0.1",
            "10.0.0.0/-1",
            "::/129",
            "localhost",
            "10.0.0.*",
            "10.0.0.0/255.0.0.0",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_and_truth_may_stand_in_quotation_marks() {
        assert_eq!(number(&Json::Integer(-3)), Ok(Number::Fixed(-3)));
        assert_eq!(number(&Json::Text("100000000001".into())), Ok(Number::Fixed(100_000_000_001)));
        assert_eq!(number(&Json::Text("${uin}".into())), Ok(Number::Variable(Variable::Uin)));
        for value in
            [Json::Fraction, Json::Bool(true), Json::Null, Json::Text("1.0".into()), Json::Text("1${uin}".into())]
        {
            assert!(number(&value).is_err(), "{value:?}");
        }
        assert_eq!(boolean(&Json::Text("True".into())), Ok(true));
        assert_eq!(boolean(&Json::Bool(false)), Ok(false));
        for value in [Json::Integer(1), Json::Text("yes".into()), Json::Null] {
            assert!(boolean(&value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn a_tag_is_a_key_and_a_value() {
        assert!(tag(&Json::Text("env&prod".into())).is_ok());
        assert!(tag(&Json::Text("env&".into())).is_ok());
        for text in ["env", "&prod", ""] {
            assert!(tag(&Json::Text(text.into())).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in any::<String>()) {
            let value = Json::Text(text);
            let _ = (date(&value), network(&value), number(&value), boolean(&value), tag(&value));
        }

        #[test]
        fn a_date_survives_its_text(unix in 0i64..253_402_300_799) {
            let t = time::OffsetDateTime::from_unix_timestamp(unix).expect("a year of four digits");
            let text = format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
                t.year(), u8::from(t.month()), t.day(), t.hour(), t.minute(), t.second()
            );
            prop_assert_eq!(seconds(&text), Some(unix));
        }
    }
}
