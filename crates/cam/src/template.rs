//! Text with policy variables: `${uin}`, the caller, and `${owner_uin}`, the caller's root account.
//!
//! They may stand in the last segment of a resource and in the values of a condition. What they are replaced with is digits, so it can never act as a
//! wildcard. The documented third one, `${app_id}`, names a number that accounts do not have here; it is refused like any unknown one.

use std::borrow::Cow;

use crate::error::Problem;
use crate::evaluate::Context;
use crate::shown::Shown;

/// One of the variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variable {
    Uin,
    OwnerUin,
}

impl Variable {
    pub(crate) fn of(self, context: &Context<'_>) -> u64 {
        match self {
            Self::Uin => context.uin,
            Self::OwnerUin => context.owner_uin,
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "uin" => Some(Self::Uin),
            "owner_uin" => Some(Self::OwnerUin),
            _ => None,
        }
    }
}

/// A text with its variables found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    /// The text up to the first variable; the whole of it where there is none.
    start: Box<str>,
    /// Each variable with the text after it.
    rest: Box<[(Variable, Box<str>)]>,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let mut pieces = text.split("${");
        let start = pieces.next().unwrap_or_default().into();
        let rest = pieces.map(piece).collect::<Result<_, _>>()?;
        Ok(Self { start, rest })
    }

    /// The same, its text in lower case.
    pub(crate) fn to_lower(&self) -> Self {
        let lower = |text: &str| text.to_ascii_lowercase().into();
        let rest = self.rest.iter().map(|(variable, after)| (*variable, lower(after))).collect();
        Self { start: lower(&self.start), rest }
    }

    /// The variable, where the text is nothing else.
    pub(crate) fn lone(&self) -> Option<Variable> {
        match &*self.rest {
            [(variable, after)] if self.start.is_empty() && after.is_empty() => Some(*variable),
            _ => None,
        }
    }

    /// The text if it has no variable.
    pub(crate) fn plain(&self) -> Option<&str> {
        self.rest.is_empty().then_some(&*self.start)
    }

    /// The text for this caller; copied only where there is a variable.
    pub(crate) fn expand(&self, context: &Context<'_>) -> Cow<'_, str> {
        if let Some(plain) = self.plain() {
            return Cow::Borrowed(plain);
        }
        let mut text = self.start.to_string();
        for (variable, after) in &self.rest {
            text.push_str(&variable.of(context).to_string());
            text.push_str(after);
        }
        Cow::Owned(text)
    }
}

/// What follows a `${`: the name, `}`, and text.
fn piece(text: &str) -> Result<(Variable, Box<str>), Problem> {
    let (name, after) = text.split_once('}').unwrap_or((text, ""));
    let known = Variable::named(name).filter(|_| text.len() > name.len());
    known.map(|variable| (variable, after.into())).ok_or_else(|| Problem::Variable(Shown(name).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::context;

    fn expanded(text: &str) -> String {
        let context = Context { uin: 7, owner_uin: 100, ..context() };
        Template::parse(text).expect("a template").expand(&context).into_owned()
    }

    #[test]
    fn variables_are_replaced_by_the_caller() {
        assert_eq!(expanded("plain $ { } $uin"), "plain $ { } $uin");
        assert_eq!(expanded("${uin}"), "7");
        assert_eq!(expanded("domain/u${uin}.${owner_uin}.com"), "domain/u7.100.com");
    }

    #[test]
    fn an_unknown_or_open_variable_is_refused() {
        for text in ["${app_id}", "${Uin}", "${ uin }", "${}", "${uin", "a${", "${${uin}}"] {
            assert!(matches!(Template::parse(text), Err(Problem::Variable(_))), "{text}");
        }
    }
}
