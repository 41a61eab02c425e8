//! Why a decision came out as it did: each statement with the first thing in it that did not match.
//!
//! The same functions decide and explain, so an explanation cannot differ from the decision.

use std::fmt::{self, Display};

use crate::condition::{Clause, Held};
use crate::evaluate::{Context, Decision, Request, StatementRef, Weighed};
use crate::policy::{Effect, Policy};
use crate::resource::Asked;

/// A decision with every statement that was considered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace<'a> {
    /// The same as [`evaluate`](crate::evaluate) gives.
    pub decision: Decision<'a>,
    /// Each statement of each policy, in order.
    pub statements: Vec<Considered<'a>>,
}

/// One statement, considered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Considered<'a> {
    /// Which one.
    pub statement: StatementRef<'a>,
    /// What it would do.
    pub effect: Effect,
    /// Whether it matches, and if not, why.
    pub why: Why<'a>,
}

/// Whether a statement matches a request; if not, the first reason in the order action, resource, condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why<'a> {
    /// It matches.
    Matched,
    /// None of its actions is the request's.
    Action,
    /// None of its resources describes the request's.
    Resource,
    /// A clause of its condition does not hold.
    Condition {
        /// The operator, `ip_equal`.
        operator: &'a str,
        /// The key, `qcs:ip`.
        key: &'static str,
    },
    /// A clause of its condition asks for a key that the request does not have.
    KeyAbsent {
        /// The operator, `numeric_equal`.
        operator: &'a str,
        /// The key, `mfa`.
        key: &'static str,
    },
}

impl<'a> Why<'a> {
    pub(crate) fn of_clause(clause: &'a Clause, held: Held) -> Self {
        let (operator, key) = (&*clause.label, clause.key().name());
        match held {
            Held::Yes => Self::Matched,
            Held::No => Self::Condition { operator, key },
            Held::KeyAbsent => Self::KeyAbsent { operator, key },
        }
    }
}

impl Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matched => f.write_str("matches"),
            Self::Action => f.write_str("does not match: its actions do not name this one"),
            Self::Resource => f.write_str("does not match: its resources do not describe this one"),
            Self::Condition { operator, key } => {
                write!(f, "does not match: its condition {operator} on {key} does not hold")
            }
            Self::KeyAbsent { operator, key } => {
                write!(f, "does not match: its condition {operator} asks for {key}, which this request does not have")
            }
        }
    }
}

impl Display for Considered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {}", self.statement, self.effect, self.why)
    }
}

/// The decision, then a line for each statement.
impl Display for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.decision)?;
        self.statements.iter().try_for_each(|considered| write!(f, "\n  {considered}"))
    }
}

/// Decides like [`evaluate`](crate::evaluate), but looks at every statement and keeps why it did or did not match.
#[must_use]
pub fn trace<'a>(
    policies: impl IntoIterator<Item = (&'a str, &'a Policy)>,
    request: Request<'a>,
    context: &Context<'_>,
) -> Trace<'a> {
    let asked = Asked::new(request);
    let mut weighed = Weighed::default();
    let mut statements = Vec::new();
    for (policy, document) in policies {
        weighed.policies += 1;
        for (statement, number) in document.statements().iter().zip(1..) {
            let considered = Considered {
                statement: StatementRef { policy, statement: number },
                effect: statement.effect(),
                why: statement.consider(&asked, context),
            };
            if considered.why == Why::Matched {
                weighed.add(considered.statement, considered.effect);
            }
            statements.push(considered);
        }
    }
    Trace { decision: weighed.decide(request), statements }
}
