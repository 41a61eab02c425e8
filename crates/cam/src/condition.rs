//! The `condition` of a statement: operators, keys, values; all clauses must hold.
//!
//! | | |
//! |---|---|
//! | several values of one key | one is enough. For a negative operator (`_not_equal`) it is the other way round: the request's value must differ from every one of them, since "differs from one or from the other" is true of everything |
//! | several keys, several operators | all must hold |
//! | the request does not have the key | the clause does not hold, be it positive or negative; with `_if_exist` it holds. `null_equal` alone asks for just that: `true` for absent, `false` for present |
//! | the request has several values (`qcs:resource_tag`) | `for_any_value:` one of them must pass, `for_all_value:` each of them; without qualifier one must be equal, or, for a negative operator, none may be. No tags at all is an absent key |
//! | qualifier on a key with one value | changes nothing |
//!
//! Which keys may be compared how: `qcs:ip` by `ip_…`; `qcs:current_time` by `date_…`; `qcs:uin` and `qcs:owner_uin` as text or number; `qcs:resource_tag`
//! as text `key&value`; `mfa` as number 1 or 0, as text `1` or `0` and as truth. `null_equal` takes any key. Every other pair could only ever fail, and a
//! deny that never holds is a trap, so it is refused when the policy is parsed.

mod operator;
mod value;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::error::{Place, Problem};
use crate::evaluate::{Context, Mfa, Tag};
use crate::json::Json;
use crate::template::Template;

use operator::{Absent, Case, Comparison, Many, Qualified, Sense};
pub(crate) use operator::{Key, Operator};
use value::Number;

/// What must be so for a statement to apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Condition {
    clauses: Box<[Clause]>,
}

/// One operator on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    /// The operator as written, less blanks.
    pub(crate) label: Box<str>,
    absent: Absent,
    many: Many,
    test: Test,
}

/// A comparison with the values of the policy. Each variant has the keys that it can be made with, and no others.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Text {
        key: TextKey,
        sense: Sense,
        case: Case,
        values: Box<[Template]>,
    },
    Number {
        key: NumberKey,
        comparison: Comparison,
        values: Box<[Number]>,
    },
    /// Of `qcs:current_time`, in Unix seconds.
    Date {
        comparison: Comparison,
        values: Box<[i64]>,
    },
    /// Of `qcs:ip`.
    Address {
        sense: Sense,
        values: Box<[IpNet]>,
    },
    /// Of `mfa`.
    Bool {
        values: Box<[bool]>,
    },
    /// Whether the key is absent.
    Null {
        key: Key,
        values: Box<[bool]>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextKey {
    Uin,
    OwnerUin,
    ResourceTag,
    Mfa,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NumberKey {
    Uin,
    OwnerUin,
    Mfa,
}

/// How a clause about the resource's tags is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tags {
    /// By the tags in the context: the request names one resource.
    Given,
    /// It holds: some resource may have such tags.
    MayHold,
    /// It does not hold: some resource may lack such tags.
    MayFail,
}

/// What came of a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    Yes,
    No,
    /// The request does not have the key.
    KeyAbsent,
}

impl Condition {
    /// Reads the object `{operator: {key: values}}` of a statement.
    pub(crate) fn parse(value: &Json, statement: usize) -> Result<Self, (Place, Problem)> {
        let here = || Place::Condition { statement, clause: None };
        let at = |clause: String| Place::Condition { statement, clause: Some(clause) };
        let wrong = || Problem::Type { what: "condition", wants: "an object of operators" };
        let operators = object(value).ok_or_else(|| (here(), wrong()))?;
        let mut clauses: Vec<Clause> = Vec::new();
        for (name, keys) in operators {
            let operator = Qualified::parse(name).map_err(|problem| (here(), problem))?;
            let label = operator.label();
            if clauses.iter().any(|clause| *clause.label == *label) {
                return Err((here(), Problem::Twice(label)));
            }
            let keys = object(keys)
                .ok_or_else(|| (at(label.clone()), Problem::Type { what: "it", wants: "an object of keys" }))?;
            if keys.is_empty() {
                return Err((at(label), Problem::Empty("it")));
            }
            let first = clauses.len();
            for (key, values) in keys {
                let key = Key::parse(key).map_err(|problem| (at(label.clone()), problem))?;
                if clauses.iter().skip(first).any(|clause| clause.key() == key) {
                    return Err((at(label), Problem::Twice(key.name().to_owned())));
                }
                let clause = Clause::parse(operator, key, values);
                clauses.push(clause.map_err(|problem| (at(format!("{label} on {}", key.name())), problem))?);
            }
        }
        Ok(Self { clauses: clauses.into() })
    }

    /// The first clause that does not hold, and why.
    pub(crate) fn failing(&self, context: &Context<'_>, tags: Tags) -> Option<(&Clause, Held)> {
        self.clauses.iter().find_map(|clause| match clause.check(context, tags) {
            Held::Yes => None,
            held @ (Held::No | Held::KeyAbsent) => Some((clause, held)),
        })
    }
}

impl Clause {
    fn parse(operator: Qualified, key: Key, values: &Json) -> Result<Self, Problem> {
        let values = match values {
            Json::List(list) => list.as_slice(),
            one
            @ (Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Fraction | Json::Text(_) | Json::Object(_)) => {
                std::slice::from_ref(one)
            }
        };
        if values.is_empty() {
            return Err(Problem::Empty("its list of values"));
        }
        let test = Test::parse(operator.operator, key, values)?;
        Ok(Self { label: operator.label().into(), absent: operator.absent, many: operator.many, test })
    }

    pub(crate) fn key(&self) -> Key {
        match &self.test {
            Test::Text { key, .. } => match key {
                TextKey::Uin => Key::Uin,
                TextKey::OwnerUin => Key::OwnerUin,
                TextKey::ResourceTag => Key::ResourceTag,
                TextKey::Mfa => Key::Mfa,
            },
            Test::Number { key, .. } => match key {
                NumberKey::Uin => Key::Uin,
                NumberKey::OwnerUin => Key::OwnerUin,
                NumberKey::Mfa => Key::Mfa,
            },
            Test::Date { .. } => Key::CurrentTime,
            Test::Address { .. } => Key::Ip,
            Test::Bool { .. } => Key::Mfa,
            Test::Null { key, .. } => *key,
        }
    }

    fn check(&self, context: &Context<'_>, tags: Tags) -> Held {
        match (self.key(), tags) {
            (Key::ResourceTag, Tags::MayHold) => return Held::Yes,
            (Key::ResourceTag, Tags::MayFail) => return Held::No,
            (Key::ResourceTag, Tags::Given) => {}
            (Key::Ip | Key::CurrentTime | Key::Uin | Key::OwnerUin | Key::Mfa, _) => {}
        }
        match (self.test.holds(self.many, context), self.absent) {
            (Some(true), _) | (None, Absent::Holds) => Held::Yes,
            (Some(false), _) => Held::No,
            (None, Absent::Fails) => Held::KeyAbsent,
        }
    }
}

impl Test {
    fn parse(operator: Operator, key: Key, values: &[Json]) -> Result<Self, Problem> {
        let mismatch = || Problem::WrongOperator { compares: operator.compares(), key: key.name(), is: key.is() };
        match operator {
            Operator::Text(sense, case) => {
                let key = TextKey::of(key).ok_or_else(mismatch)?;
                let read = match key {
                    TextKey::ResourceTag => value::tag,
                    TextKey::Uin | TextKey::OwnerUin | TextKey::Mfa => value::text,
                };
                all(values, read).map(|values| Self::Text { key, sense, case, values })
            }
            Operator::Number(comparison) => {
                let key = NumberKey::of(key).ok_or_else(mismatch)?;
                all(values, value::number).map(|values| Self::Number { key, comparison, values })
            }
            Operator::Date(comparison) if key == Key::CurrentTime => {
                all(values, value::date).map(|values| Self::Date { comparison, values })
            }
            Operator::Address(sense) if key == Key::Ip => {
                all(values, value::network).map(|values| Self::Address { sense, values })
            }
            Operator::Bool if key == Key::Mfa => all(values, value::boolean).map(|values| Self::Bool { values }),
            Operator::Null => all(values, value::boolean).map(|values| Self::Null { key, values }),
            Operator::Date(_) | Operator::Address(_) | Operator::Bool => Err(mismatch()),
        }
    }

    /// `None` where the request does not have the key.
    fn holds(&self, many: Many, context: &Context<'_>) -> Option<bool> {
        match self {
            Self::Text { key, sense, case, values } => texts(*key, many, *sense, *case, values, context),
            Self::Number { key, comparison, values } => {
                let given = match key {
                    NumberKey::Uin => i128::from(context.uin),
                    NumberKey::OwnerUin => i128::from(context.owner_uin),
                    NumberKey::Mfa => i128::from(context.mfa.passed()?),
                };
                let values = values.iter().map(|value| match value {
                    Number::Fixed(number) => *number,
                    Number::Variable(variable) => variable.of(context).into(),
                });
                Some(comparison.holds(given, values))
            }
            Self::Date { comparison, values } => Some(comparison.holds(context.now, values.iter().copied())),
            Self::Address { sense, values } => {
                // A client of IPv4 on a socket of both kinds shows as ::ffff:a.b.c.d.
                let given = context.ip.as_ref().map(IpAddr::to_canonical)?;
                Some(sense.of(values.iter().any(|network| network.contains(&given))))
            }
            Self::Bool { values } => context.mfa.passed().map(|passed| values.contains(&passed)),
            Self::Null { key, values } => Some(values.contains(&key.is_absent(context))),
        }
    }
}

fn texts(
    key: TextKey,
    many: Many,
    sense: Sense,
    case: Case,
    values: &[Template],
    context: &Context<'_>,
) -> Option<bool> {
    let one =
        |given: &str| Some(sense.of(values.iter().any(|value| equal(&value.expand(context), given.chars(), case))));
    match key {
        TextKey::Uin => one(&context.uin.to_string()),
        TextKey::OwnerUin => one(&context.owner_uin.to_string()),
        TextKey::Mfa => one(if context.mfa.passed()? { "1" } else { "0" }),
        TextKey::ResourceTag if context.resource_tags.is_empty() => None,
        TextKey::ResourceTag => {
            let mut tags = context.resource_tags.iter();
            let listed = |tag: &Tag<'_>| {
                let whole = || tag.key.chars().chain(['&']).chain(tag.value.chars());
                values.iter().any(|value| equal(&value.expand(context), whole(), case))
            };
            Some(match (many, sense) {
                (Many::Plain | Many::Any, Sense::Equal) => tags.any(listed),
                (Many::Plain, Sense::NotEqual) => !tags.any(listed),
                (Many::Any, Sense::NotEqual) => tags.any(|tag| !listed(tag)),
                (Many::All, Sense::Equal) => tags.all(listed),
                (Many::All, Sense::NotEqual) => tags.all(|tag| !listed(tag)),
            })
        }
    }
}

fn equal(value: &str, given: impl Iterator<Item = char>, case: Case) -> bool {
    match case {
        Case::Counts => given.eq(value.chars()),
        Case::Ignored => given.flat_map(char::to_lowercase).eq(value.chars().flat_map(char::to_lowercase)),
    }
}

impl Comparison {
    fn holds<T: Ord + Copy>(self, given: T, mut values: impl Iterator<Item = T>) -> bool {
        match self {
            Self::Equal => values.any(|value| given == value),
            Self::NotEqual => values.all(|value| given != value),
            Self::Greater => values.any(|value| given > value),
            Self::GreaterEqual => values.any(|value| given >= value),
            Self::Less => values.any(|value| given < value),
            Self::LessEqual => values.any(|value| given <= value),
        }
    }
}

impl Sense {
    /// The answer, given whether one of the values is equal.
    fn of(self, equal: bool) -> bool {
        match self {
            Self::Equal => equal,
            Self::NotEqual => !equal,
        }
    }
}

impl Mfa {
    fn passed(self) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::NotPassed => Some(false),
            Self::Passed => Some(true),
        }
    }
}

impl Key {
    fn is_absent(self, context: &Context<'_>) -> bool {
        match self {
            Self::Ip => context.ip.is_none(),
            Self::CurrentTime | Self::Uin | Self::OwnerUin => false,
            Self::ResourceTag => context.resource_tags.is_empty(),
            Self::Mfa => context.mfa == Mfa::Unknown,
        }
    }
}

impl TextKey {
    fn of(key: Key) -> Option<Self> {
        match key {
            Key::Uin => Some(Self::Uin),
            Key::OwnerUin => Some(Self::OwnerUin),
            Key::ResourceTag => Some(Self::ResourceTag),
            Key::Mfa => Some(Self::Mfa),
            Key::Ip | Key::CurrentTime => None,
        }
    }
}

impl NumberKey {
    fn of(key: Key) -> Option<Self> {
        match key {
            Key::Uin => Some(Self::Uin),
            Key::OwnerUin => Some(Self::OwnerUin),
            Key::Mfa => Some(Self::Mfa),
            Key::Ip | Key::CurrentTime | Key::ResourceTag => None,
        }
    }
}

fn all<T>(values: &[Json], read: impl Fn(&Json) -> Result<T, Problem>) -> Result<Box<[T]>, Problem> {
    values.iter().map(read).collect()
}

fn object(value: &Json) -> Option<&[(String, Json)]> {
    match value {
        Json::Object(members) => Some(members),
        Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Fraction | Json::Text(_) | Json::List(_) => None,
    }
}

#[cfg(test)]
mod tests;
