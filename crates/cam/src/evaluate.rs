//! The evaluation: everything is denied by default, one matching deny outweighs every allow, and one matching allow is enough.
//!
//! The order of policies and statements does not change the result, only which statement is named: the first deny, else the first allow.

use std::fmt::{self, Display};
use std::net::IpAddr;

use crate::policy::{Effect, Policy};
use crate::resource::{Asked, Description, Resource};
use crate::shown::Shown;
use crate::trace::Why;

/// What surrounds a request: the values of the condition keys and of the variables.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// `qcs:ip`: where the request came from. `None` where it came from nowhere, as an internal one.
    pub ip: Option<IpAddr>,
    /// `qcs:current_time`: when the request was received, Unix seconds.
    pub now: i64,
    /// `qcs:uin` and `${uin}`: the sub-account that calls.
    pub uin: u64,
    /// `qcs:owner_uin` and `${owner_uin}`: its root account. The policies are of this account too, so an empty account in a resource means it.
    pub owner_uin: u64,
    /// `mfa`.
    pub mfa: Mfa,
    /// `qcs:resource_tag`: the tags of the resource that the request names; empty for none.
    pub resource_tags: &'a [Tag<'a>],
}

/// Whether the caller proved a second factor. As text and number it is 1 or 0, as truth true or false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mfa {
    /// The request cannot tell, as one that is signed with a key pair: the key `mfa` is absent from it.
    Unknown,
    /// Not proved.
    NotPassed,
    /// Proved.
    Passed,
}

/// One tag of a resource; conditions write it `key&value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'a> {
    /// The tag's key.
    pub key: &'a str,
    /// The tag's value.
    pub value: &'a str,
}

/// What is to be done to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// The action with its service, `cdn:PurgeUrlsCache`.
    pub action: &'a str,
    /// What it acts on. For a batch, each domain is a request of its own.
    pub resource: Resource<'a>,
}

impl<'a> Request<'a> {
    /// The service of the action; the second segment of a resource is compared with it.
    pub(crate) fn service(self) -> &'a str {
        self.action.split_once(':').map_or("", |(service, _)| service)
    }
}

impl Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let description = Description { service: self.service(), resource: self.resource };
        write!(f, "{} on {description}", Shown(self.action))
    }
}

/// A statement by its policy's name and its place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementRef<'a> {
    /// Name of the policy, as given to [`evaluate`].
    pub policy: &'a str,
    /// Number of the statement in the policy, from 1.
    pub statement: usize,
}

impl Display for StatementRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement {} of policy `{}`", self.statement, Shown(self.policy))
    }
}

/// What was decided, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// A statement allows it and none denies it.
    Allowed(StatementRef<'a>),
    /// A statement denies it.
    Denied(StatementRef<'a>),
    /// No statement is about it, so it is denied.
    NoMatch {
        /// Number of policies looked at.
        policies: usize,
    },
}

/// A request with its verdict. Its text is for people: `denied: statement 2 of policy …`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Decision<'a> {
    /// What was asked.
    pub request: Request<'a>,
    /// What was decided.
    pub verdict: Verdict<'a>,
}

impl<'a> Decision<'a> {
    /// Whether the request may go on.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        match self.verdict {
            Verdict::Allowed(_) => true,
            Verdict::Denied(_) | Verdict::NoMatch { .. } => false,
        }
    }

    /// The statement that decided and its effect; `None` where none matched.
    #[must_use]
    pub fn decided_by(&self) -> Option<(StatementRef<'a>, Effect)> {
        match self.verdict {
            Verdict::Allowed(statement) => Some((statement, Effect::Allow)),
            Verdict::Denied(statement) => Some((statement, Effect::Deny)),
            Verdict::NoMatch { .. } => None,
        }
    }
}

impl Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = self.request;
        match self.verdict {
            Verdict::Allowed(statement) => write!(f, "allowed: {statement} allows {request}"),
            Verdict::Denied(statement) => write!(f, "denied: {statement} denies {request}"),
            Verdict::NoMatch { policies } => {
                let noun = if policies == 1 { "policy" } else { "policies" };
                write!(f, "denied: no statement of {policies} {noun} matches {request}")?;
                match request.resource {
                    // Users do not understand "resource (*) has no permission".
                    Resource::Any => {
                        f.write_str(" (the action names no domain, so only a statement with resource * can allow it)")
                    }
                    Resource::Domain { .. } => Ok(()),
                }
            }
        }
    }
}

/// Decides one request by all policies of its caller, each with its name. A root account is not to be asked about: it may do everything it owns.
///
/// Allocates only for a condition on `qcs:uin` or `qcs:owner_uin` as text, for variables, and for names longer than a host can be.
pub fn evaluate<'a>(
    policies: impl IntoIterator<Item = (&'a str, &'a Policy)>,
    request: Request<'a>,
    context: &Context<'_>,
) -> Decision<'a> {
    let asked = Asked::new(request);
    let mut weighed = Weighed::default();
    for (policy, document) in policies {
        weighed.policies += 1;
        for (statement, number) in document.statements().iter().zip(1..) {
            if statement.consider(&asked, context) == Why::Matched {
                weighed.add(StatementRef { policy, statement: number }, statement.effect());
                if weighed.denied.is_some() {
                    return weighed.decide(request);
                }
            }
        }
    }
    weighed.decide(request)
}

/// Whether the caller may perform the action on some resource at all: an allow is about the action, its condition holds, and no deny whose condition
/// holds is about everything (resource `*`). Tells a caller without any policy for an action from one whose policies are for other domains.
///
/// `context.resource_tags` are not looked at, since no resource is named: a condition on them counts as met in an allow and as unmet in a deny.
pub fn allows_somewhere<'a>(
    policies: impl IntoIterator<Item = (&'a str, &'a Policy)>,
    action: &str,
    context: &Context<'_>,
) -> bool {
    let asked = Asked::new(Request { action, resource: Resource::Any });
    let mut allowed = false;
    let statements = policies.into_iter().flat_map(|(_, policy)| policy.statements());
    for statement in statements.filter(|statement| statement.names(&asked)) {
        match statement.effect() {
            Effect::Allow => allowed = allowed || statement.applies_to_something(&asked, context),
            Effect::Deny if statement.applies_to_everything(&asked, context) => return false,
            Effect::Deny => {}
        }
    }
    allowed
}

/// What the statements seen so far come to.
#[derive(Debug, Default)]
pub(crate) struct Weighed<'a> {
    pub(crate) policies: usize,
    allowed: Option<StatementRef<'a>>,
    denied: Option<StatementRef<'a>>,
}

impl<'a> Weighed<'a> {
    /// Adds a statement that matches.
    pub(crate) fn add(&mut self, statement: StatementRef<'a>, effect: Effect) {
        match effect {
            Effect::Allow => self.allowed.get_or_insert(statement),
            Effect::Deny => self.denied.get_or_insert(statement),
        };
    }

    pub(crate) fn decide(&self, request: Request<'a>) -> Decision<'a> {
        let verdict = match (self.denied, self.allowed) {
            (Some(statement), _) => Verdict::Denied(statement),
            (None, Some(statement)) => Verdict::Allowed(statement),
            (None, None) => Verdict::NoMatch { policies: self.policies },
        };
        Decision { request, verdict }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    //! Surroundings for the tests of other modules.

    use super::*;

    /// A sub-account at noon, from a documentation address.
    pub(crate) fn context() -> Context<'static> {
        Context {
            ip: Some(IpAddr::from([192, 0, 2, 1])),
            now: 1_795_521_600,
            uin: 100_000_000_007,
            owner_uin: 100_000_000_001,
            mfa: Mfa::Unknown,
            resource_tags: &[],
        }
    }
}
