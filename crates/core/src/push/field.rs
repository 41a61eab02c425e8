//! Header fields that a caller gives to the fetches.
//!
//! What this is: the parser of `Headers` and `UserAgent`. Invariant: what it yields may stand in an
//! HTTP/1.1 request as it is, frames no message, names no host and asks for the whole of the URL.

use std::sync::Arc;

use crate::limits::{PUSH_FIELD_NAME_BYTES_MAX, PUSH_FIELD_VALUE_BYTES_MAX, PUSH_FIELDS_MAX};

/// Fields that are not the caller's to give, in lower case. Those that frame a message or belong to one
/// connection (RFC 9110 section 7.6.1), that name the host, and that ask for less than the whole.
const RESERVED: [&str; 19] = [
    "host",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "upgrade",
    "expect",
    "user-agent",
    "range",
    "if-range",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
];

/// Why a field cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidField {
    /// More fields than one call may hold.
    #[error("{count} fields, the limit is {PUSH_FIELDS_MAX}")]
    TooMany {
        /// Fields given.
        count: usize,
    },
    /// An empty name, one that is too long, or one that is no token (RFC 9110 section 5.6.2).
    #[error("field {index}: the name must be of 1 to {PUSH_FIELD_NAME_BYTES_MAX} letters, digits and !#$%&'*+-.^_`|~")]
    Name {
        /// Position in the list.
        index: usize,
    },
    /// A value that is too long or holds more than printable ASCII, blanks and tabs.
    #[error("field {index}: the value must be of at most {PUSH_FIELD_VALUE_BYTES_MAX} printable ASCII characters")]
    Value {
        /// Position in the list.
        index: usize,
    },
    /// A field that frames the message, names the host or asks for a part.
    #[error("field {index}: `{name}` cannot be given")]
    Reserved {
        /// Position in the list.
        index: usize,
        /// Its name.
        name: &'static str,
    },
    /// A `User-Agent` that cannot be sent.
    #[error("the user agent must be of 1 to {PUSH_FIELD_VALUE_BYTES_MAX} printable ASCII characters")]
    UserAgent,
}

/// A header field that may be sent as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushField {
    name: Box<str>,
    value: Box<str>,
}

impl PushField {
    fn parse(index: usize, name: &str, value: &str) -> Result<Self, InvalidField> {
        if !(1..=PUSH_FIELD_NAME_BYTES_MAX).contains(&name.len()) || !name.bytes().all(is_token) {
            return Err(InvalidField::Name { index });
        }
        if let Some(name) = RESERVED.into_iter().find(|reserved| reserved.eq_ignore_ascii_case(name)) {
            return Err(InvalidField::Reserved { index, name });
        }
        let value = value.trim_matches([' ', '\t']);
        if value.len() > PUSH_FIELD_VALUE_BYTES_MAX || !value.bytes().all(is_value) {
            return Err(InvalidField::Value { index });
        }
        Ok(Self { name: name.into(), value: value.into() })
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &str {
        &self.name
    }

    /// The value, without blanks around it.
    #[must_use]
    pub const fn value(&self) -> &str {
        &self.value
    }
}

/// The fields of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushFields(Arc<[PushField]>);

impl PushFields {
    /// Takes names and values.
    ///
    /// # Errors
    /// [`InvalidField`], naming the position of the first that cannot be sent.
    pub fn parse<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, InvalidField> {
        let mut kept = Vec::new();
        let mut count = 0;
        for (index, (name, value)) in fields.into_iter().enumerate() {
            count += 1;
            if count <= PUSH_FIELDS_MAX {
                kept.push(PushField::parse(index, name, value)?);
            }
        }
        if count > PUSH_FIELDS_MAX { Err(InvalidField::TooMany { count }) } else { Ok(Self(kept.into())) }
    }

    /// The fields, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &PushField> {
        self.0.iter()
    }
}

/// The `User-Agent` of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent(Box<str>);

impl UserAgent {
    /// Takes a text.
    ///
    /// # Errors
    /// [`InvalidField::UserAgent`] when it is empty, too long or not printable.
    pub fn parse(text: &str) -> Result<Self, InvalidField> {
        let text = text.trim_matches([' ', '\t']);
        let fits = (1..=PUSH_FIELD_VALUE_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_value);
        if fits { Ok(Self(text.into())) } else { Err(InvalidField::UserAgent) }
    }

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for UserAgent {
    /// `TencentCdn`, the contract's default.
    fn default() -> Self {
        Self("TencentCdn".into())
    }
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

const fn is_value(byte: u8) -> bool {
    byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(name: &str, value: &str) -> Result<PushFields, InvalidField> {
        PushFields::parse([("X-First", "1"), (name, value)])
    }

    #[test]
    fn field_that_frames_the_message_or_asks_for_a_part_is_refused() {
        for name in ["Host", "content-LENGTH", "Transfer-Encoding", "Connection", "Range", "If-None-Match"] {
            assert!(matches!(one(name, "x"), Err(InvalidField::Reserved { index: 1, .. })), "{name}");
        }
        assert_eq!(one("", "x"), Err(InvalidField::Name { index: 1 }));
        assert_eq!(one("A b", "x"), Err(InvalidField::Name { index: 1 }));
        assert_eq!(one("A:b", "x"), Err(InvalidField::Name { index: 1 }));
        assert_eq!(one(&"a".repeat(129), "x"), Err(InvalidField::Name { index: 1 }));
        assert_eq!(one("A", "x\r\nHost: b"), Err(InvalidField::Value { index: 1 }));
        assert_eq!(one("A", &"a".repeat(1_025)), Err(InvalidField::Value { index: 1 }));
        assert!(one(&"a".repeat(128), &"a".repeat(1_024)).is_ok());
    }

    #[test]
    fn call_has_at_most_twenty_fields() {
        let fields = |count: usize| PushFields::parse(std::iter::repeat_n(("A", "b"), count));
        assert_eq!(fields(20).map(|fields| fields.iter().count()), Ok(20));
        assert_eq!(fields(21), Err(InvalidField::TooMany { count: 21 }));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_fits_a_header_section(name in "\\PC{0,20}|[\\x00-\\x7f]{0,20}", value in "[\\x00-\\x{ff}]{0,20}") {
            if let Ok(fields) = one(&name, &value) {
                for field in fields.iter() {
                    prop_assert!(!field.name().is_empty() && field.name().bytes().all(|b| b.is_ascii_graphic() && b != b':'));
                    prop_assert!(field.value().bytes().all(|b| b.is_ascii_graphic() || b == b' ' || b == b'\t'));
                }
            }
            if let Ok(agent) = UserAgent::parse(&value) {
                prop_assert!(agent.as_str().bytes().all(|b| b.is_ascii_graphic() || b == b' ' || b == b'\t'));
            }
        }
    }
}
