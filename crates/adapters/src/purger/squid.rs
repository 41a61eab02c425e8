//! Squid 5 with the sample configuration (`docs/caches/squid.conf`).
//!
//! What this is: `PURGE` to the traffic port: `200` when a copy was removed, `404` when there was none;
//! where the node has an HTCP port, the same by HTCP CLR ([`htcp`]), which costs Squid half as much. What
//! this is not: a way to remove variants. Squid removes one of them and says 200, so the sample
//! configuration keeps nothing that varies. Directories, hosts and everything need the agent.
//!
//! Invariant: an answer that Squid did not make itself is never taken for a success. It never hands a
//! PURGE on, and its own answers carry `Mime-Version` and, unless they refuse, no body; those of
//! whoever else listens there do not.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use catharsis_core::abilities::{Abilities, Ability};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::keys::{KeyForms, RulesOf};
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Reason, Refusal, Unreachable};
use catharsis_core::target::{Mode, Target};

use self::htcp::{Htcp, URL_BYTES_MAX};
use super::address::{HttpLimits, NodeAddress};
use super::answer::{Answer, Marked};
use super::http::{Asked, Dialect, HttpEngine, Requests, by_status, merge, probe};

pub mod htcp;

/// Tells one Squid.
#[derive(Debug)]
pub struct SquidPurger {
    engine: HttpEngine<Squid>,
    htcp: Option<Fast>,
}

struct Fast {
    htcp: Htcp,
    rules: Arc<dyn RulesOf>,
}

impl std::fmt::Debug for Fast {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.htcp.fmt(f)
    }
}

impl SquidPurger {
    /// A purger of the Squid whose traffic port is at this address. Connects when first used.
    #[must_use]
    pub const fn new(address: NodeAddress, limits: HttpLimits, rules: Arc<dyn RulesOf>) -> Self {
        Self { engine: HttpEngine::new(address, limits, rules, Squid), htcp: None }
    }

    /// The same, but by HTCP to this port where a URL fits into it.
    #[must_use]
    pub fn with_htcp(mut self, address: NodeAddress, limits: HttpLimits, rules: Arc<dyn RulesOf>) -> Self {
        self.htcp = Some(Fast { htcp: Htcp::new(address, limits), rules });
        self
    }
}

#[async_trait]
impl Purger for SquidPurger {
    fn abilities(&self) -> Abilities {
        Abilities {
            url: Ability::Delete,
            prefix: Ability::Missing,
            host: Ability::Missing,
            everything: Ability::Missing,
            tag: Ability::Missing,
        }
    }

    async fn apply(&self, batch: &[Invalidation]) -> Vec<Outcome> {
        match &self.htcp {
            None => self.engine.apply(batch).await,
            Some(fast) => {
                let (datagrams, rest) = fast.split(batch);
                let (cleared, purged) =
                    tokio::join!(fast.htcp.clear(&datagrams.urls), async { self.engine.apply(&rest).await });
                datagrams.in_order(&cleared, purged)
            }
        }
    }

    async fn everything(&self, _upto: Seq) -> Outcome {
        Outcome::Refused(Refusal::Unsupported)
    }

    async fn answers(&self) -> bool {
        probe(&self.engine).await
    }
}

/// A batch, divided by how it is sent.
#[derive(Default)]
struct Divided {
    urls: Vec<String>,
    /// For each invalidation how many of `urls` are its forms; none of those that go by HTTP.
    forms: Vec<usize>,
}

impl Fast {
    fn split(&self, batch: &[Invalidation]) -> (Divided, Vec<Invalidation>) {
        let mut divided = Divided::default();
        let mut rest = Vec::new();
        for invalidation in batch {
            let urls = match invalidation.target.as_ref() {
                Target::Url(url) => urls(&self.rules.rules_of(url.host()).forms(url)),
                Target::Prefix(_) | Target::Everything => Vec::new(),
            };
            // All forms or none, so that one outcome comes of one way.
            let fit = urls.iter().all(|url| url.len() <= URL_BYTES_MAX);
            let urls = if fit { urls } else { Vec::new() };
            if urls.is_empty() {
                rest.push(invalidation.clone());
            }
            divided.forms.push(urls.len());
            divided.urls.extend(urls);
        }
        (divided, rest)
    }
}

impl Divided {
    fn in_order(self, mut cleared: &[Outcome], purged: Vec<Outcome>) -> Vec<Outcome> {
        let mut purged = purged.into_iter();
        let next = |count: usize| {
            if count == 0 {
                return purged.next().unwrap_or(Outcome::Unreachable(Unreachable::Closed));
            }
            let (forms, rest) = cleared.split_at(count.min(cleared.len()));
            cleared = rest;
            merge(forms)
        };
        self.forms.into_iter().map(next).collect()
    }
}

/// The names under which Squid keeps what came in over plain HTTP.
fn urls(forms: &KeyForms<'_>) -> Vec<String> {
    with_https_port(forms).iter().map(|(host, target)| format!("http://{host}{target}")).collect()
}

/// The same forms, at port 443 too where they are at none: Squid, which takes all that comes in for http, leaves
/// out 80 only, so a client that writes the port of https gets a copy of its own.
fn with_https_port<'a>(forms: &'a KeyForms<'_>) -> KeyForms<'a> {
    let mut hosts: Vec<Cow<'a, str>> = Vec::with_capacity(2 * forms.hosts.len());
    for host in &forms.hosts {
        let (name, port) = host.split_once(':').map_or((host.as_ref(), None), |(name, port)| (name, Some(port)));
        let of_key = match port {
            None | Some("80" | "443") => vec![Cow::Borrowed(name), Cow::Owned(format!("{name}:443"))],
            Some(_) => vec![Cow::Borrowed(host.as_ref())],
        };
        hosts.extend(of_key);
    }
    let mut seen = HashSet::new();
    hosts.retain(|host| seen.insert(host.clone()));
    let targets = forms.targets.iter().map(|target| Cow::Borrowed(target.as_ref())).collect();
    KeyForms { hosts, targets, scheme: forms.scheme }
}

#[derive(Debug)]
struct Squid;

impl Dialect for Squid {
    const MARK: &'static str = "mime-version";

    fn url(&self, requests: &mut Requests, forms: &KeyForms<'_>, _mode: Mode) {
        requests.purge_forms(&with_https_port(forms), "", Asked::Url);
    }

    fn everything(&self, _requests: &mut Requests) {
        // Squid has no such request.
    }

    fn outcome(&self, _asked: Asked, answer: &Answer<'_>) -> Outcome {
        let outcome = by_status(answer.status);
        let own = answer.marked == Marked::Yes && answer.body.is_empty();
        match outcome {
            Outcome::Applied | Outcome::Absent if !own => {
                Outcome::Unreachable(Unreachable::Protocol(Reason::new(&format!(
                    "{} {}: not an answer of Squid itself; is this its port (docs/caches/squid.conf)?",
                    answer.status, answer.reason
                ))))
            }
            Outcome::Applied
            | Outcome::AppliedTo(_)
            | Outcome::Absent
            | Outcome::Refused(_)
            | Outcome::Unreachable(_) => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_of_somebody_else_is_never_a_success() {
        let odd = |outcome: &Outcome| matches!(outcome, Outcome::Unreachable(Unreachable::Protocol(_)));
        let outcome = |status, marked, body: &'static [u8]| {
            Squid.outcome(Asked::Url, &Answer { status, reason: "", marked, body: Cow::Borrowed(body) })
        };
        assert_eq!(outcome(200, Marked::Yes, b""), Outcome::Applied);
        assert_eq!(outcome(404, Marked::Yes, b""), Outcome::Absent);
        for (status, marked, body) in [
            (200, Marked::No, &b""[..]),
            (404, Marked::No, b""),
            (200, Marked::Yes, b"page"),
            (404, Marked::Yes, b"page"),
        ] {
            assert!(odd(&outcome(status, marked, body)), "{status} {marked:?}");
        }
        let denied = Outcome::Unreachable(Unreachable::Denied { status: 403 });
        assert_eq!(outcome(403, Marked::Yes, b"page"), denied);
    }
}
