//! The names of a condition: operators with their ending and qualifier, and keys.
//!
//! Names are compared exactly; blanks around them are dropped, as the documents' own samples have them (`" date_greater_than "`, `"qcs:ip "`).

use crate::error::Problem;
use crate::shown::Shown;

/// How two ordered values are compared: the request's on the left, the policy's on the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

/// Whether equality is asked for, or its absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sense {
    Equal,
    NotEqual,
}

/// Whether the case of letters counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Counts,
    Ignored,
}

/// A documented operator. `binary_equal` is described as the equality of texts in which case counts, so it is that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Text(Sense, Case),
    Date(Comparison),
    Address(Sense),
    Number(Comparison),
    Bool,
    Null,
}

use Comparison::{Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual};

const OPERATORS: [(&str, Operator); 21] = [
    ("string_equal", Operator::Text(Sense::Equal, Case::Counts)),
    ("string_not_equal", Operator::Text(Sense::NotEqual, Case::Counts)),
    ("string_equal_ignore_case", Operator::Text(Sense::Equal, Case::Ignored)),
    ("string_not_equal_ignore_case", Operator::Text(Sense::NotEqual, Case::Ignored)),
    ("binary_equal", Operator::Text(Sense::Equal, Case::Counts)),
    ("date_equal", Operator::Date(Equal)),
    ("date_not_equal", Operator::Date(NotEqual)),
    ("date_greater_than", Operator::Date(Greater)),
    ("date_greater_than_equal", Operator::Date(GreaterEqual)),
    ("date_less_than", Operator::Date(Less)),
    ("date_less_than_equal", Operator::Date(LessEqual)),
    ("ip_equal", Operator::Address(Sense::Equal)),
    ("ip_not_equal", Operator::Address(Sense::NotEqual)),
    ("numeric_equal", Operator::Number(Equal)),
    ("numeric_not_equal", Operator::Number(NotEqual)),
    ("numeric_greater_than", Operator::Number(Greater)),
    ("numeric_greater_than_equal", Operator::Number(GreaterEqual)),
    ("numeric_less_than", Operator::Number(Less)),
    ("numeric_less_than_equal", Operator::Number(LessEqual)),
    ("bool_equal", Operator::Bool),
    ("null_equal", Operator::Null),
];

impl Operator {
    /// The names of all operators.
    pub(crate) fn list() -> String {
        OPERATORS.map(|(name, _)| name).join(", ")
    }

    /// What it compares, for messages.
    pub(crate) fn compares(self) -> &'static str {
        match self {
            Self::Text(..) => "texts",
            Self::Date(_) => "dates",
            Self::Address(_) => "addresses",
            Self::Number(_) => "numbers",
            Self::Bool => "true and false",
            Self::Null => "existence",
        }
    }
}

/// What the request knows and a condition may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Ip,
    CurrentTime,
    Uin,
    OwnerUin,
    ResourceTag,
    Mfa,
}

const KEYS: [Key; 6] = [Key::Ip, Key::CurrentTime, Key::Uin, Key::OwnerUin, Key::ResourceTag, Key::Mfa];

impl Key {
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let name = text.trim();
        let found = KEYS.into_iter().find(|key| key.name() == name);
        found.ok_or_else(|| Problem::UnknownKey(Shown(name).to_string()))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ip => "qcs:ip",
            Self::CurrentTime => "qcs:current_time",
            Self::Uin => "qcs:uin",
            Self::OwnerUin => "qcs:owner_uin",
            Self::ResourceTag => "qcs:resource_tag",
            Self::Mfa => "mfa",
        }
    }

    /// What it is, for messages.
    pub(crate) fn is(self) -> &'static str {
        match self {
            Self::Ip => "an address",
            Self::CurrentTime => "a date",
            Self::Uin | Self::OwnerUin => "a number or text of digits",
            Self::ResourceTag => "a list of texts, key&value",
            Self::Mfa => "1 or 0, true or false",
        }
    }

    /// The names of all keys.
    pub(crate) fn list() -> String {
        KEYS.map(Self::name).join(", ")
    }
}

/// What an absent key does to a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It does not hold: the rule.
    Fails,
    /// It holds: `_if_exist`.
    Holds,
}

/// How the several values that a request may have for one key count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Many {
    /// No qualifier.
    Plain,
    /// `for_any_value:`.
    Any,
    /// `for_all_value:`.
    All,
}

/// An operator with its ending and qualifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Qualified {
    pub(crate) operator: Operator,
    pub(crate) absent: Absent,
    pub(crate) many: Many,
    name: &'static str,
}

impl Qualified {
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let whole = text.trim();
        let (many, rest) = match (whole.strip_prefix("for_any_value:"), whole.strip_prefix("for_all_value:")) {
            (Some(rest), _) => (Many::Any, rest.trim_start()),
            (None, Some(rest)) => (Many::All, rest.trim_start()),
            (None, None) => (Many::Plain, whole),
        };
        let (absent, bare) =
            rest.strip_suffix("_if_exist").map_or((Absent::Fails, rest), |bare| (Absent::Holds, bare.trim_end()));
        let found = OPERATORS.into_iter().find(|(name, _)| *name == bare);
        let (name, operator) = found.ok_or_else(|| Problem::UnknownOperator(Shown(whole).to_string()))?;
        if operator == Operator::Null && (many != Many::Plain || absent != Absent::Fails) {
            return Err(Problem::NullQualified);
        }
        Ok(Self { operator, absent, many, name })
    }

    /// The operator as a policy should write it.
    pub(crate) fn label(self) -> String {
        let many = match self.many {
            Many::Plain => "",
            Many::Any => "for_any_value:",
            Many::All => "for_all_value:",
        };
        let absent = match self.absent {
            Absent::Fails => "",
            Absent::Holds => "_if_exist",
        };
        format!("{many}{}{absent}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_around_names_are_dropped() {
        for (written, label) in [
            (" date_greater_than ", "date_greater_than"),
            ("date_equal ", "date_equal"),
            (" for_any_value: string_equal_if_exist", "for_any_value:string_equal_if_exist"),
            ("for_all_value:ip_not_equal", "for_all_value:ip_not_equal"),
        ] {
            assert_eq!(Qualified::parse(written).map(Qualified::label).as_deref(), Ok(label));
        }
        assert_eq!(Key::parse("qcs:ip "), Ok(Key::Ip));
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        for text in
            ["", "ip_like", "IP_EQUAL", "_if_exist", "ip_equal_if_exists", "for_any_values:ip_equal", "ip equal"]
        {
            let text = Qualified::parse(text).expect_err(text).to_string();
            assert!(text.contains("string_equal, string_not_equal,") && text.contains("null_equal"), "{text}");
        }
        let text = Key::parse("qcs:IP").expect_err("case counts").to_string();
        let known = "qcs:ip, qcs:current_time, qcs:uin, qcs:owner_uin, qcs:resource_tag, mfa";
        assert_eq!(text, format!("`qcs:IP` is no key; there are {known}"));
    }

    #[test]
    fn null_equal_is_never_qualified() {
        for text in ["null_equal_if_exist", "for_any_value:null_equal", "for_all_value:null_equal"] {
            assert_eq!(Qualified::parse(text), Err(Problem::NullQualified), "{text}");
        }
    }
}
