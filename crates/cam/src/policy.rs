//! A policy document, from its JSON to types.
//!
//! Strict: element names are exact, unknown ones, `principal` and repeated ones are refused, and so is each part that could match nothing by its form.
//! Lenient only where the documents are: a single value may stand without brackets, and blanks around the names in a condition are dropped. An
//! empty `condition` is none.

use std::fmt::{self, Display};

use crate::action::ActionPattern;
use crate::condition::{Condition, Tags};
use crate::error::{Place, PolicyError, Problem};
use crate::evaluate::Context;
use crate::json::{self, Json};
use crate::limits::{MAX_BYTES, MAX_CHARACTERS};
use crate::resource::{Asked, ResourcePattern};
use crate::shown::Shown;
use crate::trace::Why;

/// What a statement does to the requests that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// They are allowed, unless another statement denies them.
    Allow,
    /// They are denied, whatever another statement says.
    Deny,
}

impl Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// A parsed policy: at least one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    statements: Box<[Statement]>,
}

/// One entry of `statement`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    effect: Effect,
    actions: Box<[ActionPattern]>,
    resources: Box<[ResourcePattern]>,
    condition: Condition,
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// Longer than [`MAX_CHARACTERS`] without blanks or [`MAX_BYTES`] with them, not JSON, or not a policy of version 2.0 for a user. The text names the place.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        within_limits(text)?;
        let root = json::parse(text)?;
        Self::read(root).map_err(|(place, problem)| PolicyError::Wrong { place, problem })
    }

    /// Its statements, in the order of the document.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    fn read(root: Json) -> Result<Self, (Place, Problem)> {
        let at = |problem| (Place::Policy, problem);
        let [version, statements] = elements(root, "a policy", ["version", "statement"]).map_err(at)?;
        let version = version.ok_or(at(Problem::Missing("version")))?;
        if version != Json::Text("2.0".to_owned()) {
            return Err(at(Problem::Version));
        }
        let statements = one_or_many(statements.ok_or(at(Problem::Missing("statement")))?);
        if statements.is_empty() {
            return Err(at(Problem::Empty("statement")));
        }
        let statements = statements.into_iter().zip(1..).map(|(statement, number)| Statement::read(statement, number));
        Ok(Self { statements: statements.collect::<Result<_, _>>()? })
    }
}

impl Statement {
    /// Allow or deny.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Its actions, in the order of the document; one of them must match.
    #[must_use]
    pub fn actions(&self) -> &[ActionPattern] {
        &self.actions
    }

    /// Its resources, in the order of the document; one of them must match.
    #[must_use]
    pub fn resources(&self) -> &[ResourcePattern] {
        &self.resources
    }

    fn read(statement: Json, number: usize) -> Result<Self, (Place, Problem)> {
        let at = |problem| (Place::Statement(number), problem);
        let names = ["effect", "action", "resource", "condition"];
        let [effect, action, resource, condition] = elements(statement, "a statement", names).map_err(at)?;
        let effect = match effect.ok_or(at(Problem::Missing("effect")))? {
            Json::Text(text) if text == "allow" => Effect::Allow,
            Json::Text(text) if text == "deny" => Effect::Deny,
            Json::Text(text) => return Err(at(Problem::Effect(Shown(&text).to_string()))),
            Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Fraction | Json::List(_) | Json::Object(_) => {
                return Err(at(Problem::Type { what: "effect", wants: "the text allow or deny" }));
            }
        };
        let actions = texts(action, "action", number, ActionPattern::parse)?;
        let resources = texts(resource, "resource", number, ResourcePattern::parse)?;
        let condition =
            condition.map_or_else(|| Ok(Condition::default()), |condition| Condition::parse(&condition, number))?;
        Ok(Self { effect, actions, resources, condition })
    }

    /// Whether the request is what this statement is about, or the first reason why not.
    pub(crate) fn consider(&self, asked: &Asked, context: &Context<'_>) -> Why<'_> {
        if !self.names(asked) {
            return Why::Action;
        }
        if !self.resources.iter().any(|pattern| pattern.matches(asked, context)) {
            return Why::Resource;
        }
        match self.condition.failing(context, Tags::Given) {
            None => Why::Matched,
            Some((clause, held)) => Why::of_clause(clause, held),
        }
    }

    pub(crate) fn names(&self, asked: &Asked) -> bool {
        self.actions.iter().any(|pattern| pattern.matches(asked.action()))
    }

    /// Whether there may be a resource for which this statement applies to the action.
    pub(crate) fn applies_to_something(&self, asked: &Asked, context: &Context<'_>) -> bool {
        self.resources.iter().any(|pattern| pattern.is_something(asked, context))
            && self.condition.failing(context, Tags::MayHold).is_none()
    }

    /// Whether this statement applies to the action for each and every resource.
    pub(crate) fn applies_to_everything(&self, asked: &Asked, context: &Context<'_>) -> bool {
        self.resources.iter().any(|pattern| pattern.is_everything(asked, context))
            && self.condition.failing(context, Tags::MayFail).is_none()
    }
}

fn within_limits(text: &str) -> Result<(), PolicyError> {
    if text.len() > MAX_BYTES {
        return Err(PolicyError::TooManyBytes(text.len()));
    }
    let characters = text.chars().filter(|c| !c.is_whitespace()).count();
    if characters > MAX_CHARACTERS { Err(PolicyError::TooLong(characters)) } else { Ok(()) }
}

/// The members of an object by their names; none else may be there, and none twice.
fn elements<const N: usize>(
    object: Json,
    what: &'static str,
    names: [&'static str; N],
) -> Result<[Option<Json>; N], Problem> {
    let Json::Object(members) = object else {
        return Err(Problem::Type { what, wants: "a JSON object" });
    };
    let mut found = [const { None }; N];
    for (name, value) in members {
        let slot = found.iter_mut().zip(names).find(|(_, known)| *known == name).map(|(slot, _)| slot);
        match slot {
            Some(slot) if slot.is_none() => *slot = Some(value),
            Some(_) => return Err(Problem::Twice(name)),
            None if name == "principal" => return Err(Problem::Principal),
            None => {
                return Err(Problem::UnknownElement { name: Shown(&name).to_string(), known: names.join(", ") });
            }
        }
    }
    Ok(found)
}

/// A single value may stand without brackets.
fn one_or_many(value: Json) -> Vec<Json> {
    match value {
        Json::List(list) => list,
        one @ (Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Fraction | Json::Text(_) | Json::Object(_)) => {
            vec![one]
        }
    }
}

/// The texts of `action` or `resource`, each read.
fn texts<T>(
    value: Option<Json>,
    element: &'static str,
    statement: usize,
    read: impl Fn(&str) -> Result<T, Problem>,
) -> Result<Box<[T]>, (Place, Problem)> {
    let at = |problem| (Place::Statement(statement), problem);
    let list = one_or_many(value.ok_or(at(Problem::Missing(element)))?);
    if list.is_empty() {
        return Err(at(Problem::Empty(element)));
    }
    let one = |(value, entry): (Json, usize)| match value {
        Json::Text(text) => read(&text).map_err(|problem| (Place::Entry { statement, element, entry }, problem)),
        Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Fraction | Json::List(_) | Json::Object(_) => {
            Err(at(Problem::Type { what: element, wants: "a text or a list of texts" }))
        }
    };
    list.into_iter().zip(1..).map(one).collect()
}
