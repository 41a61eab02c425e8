//! Varnish Cache 7.1 or newer with the sample VCL (`docs/caches/varnish.vcl`).
//!
//! What this is: the `PURGE` of that VCL. For a URL `200 Purged N` when N variants were removed, with
//! `X-Catharsis-Mode: expire` `200 Expired N` when they were marked stale, `404` when there was none.
//! With `X-Catharsis-Scope: directories` a ban of all keys that an expression matches, `200 Banned
//! directories`; with `everything` a ban of all objects, `200 Banned`.
//!
//! What this is not: fair to each order by itself. URLs go at once; directories wait for the pace of bans
//! and are sent together, for the number of bans is what they cost the cache.
//!
//! Invariant: an answer that this VCL does not give is never taken for a success. Without it
//! Varnish hands an unknown method to the origin, whose 200 or 404 says nothing about the cache:
//! such an answer lacks the reason phrase, and the `X-Varnish` field of what Varnish makes itself.

mod ban;
mod list;
mod management;
mod pace;

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use catharsis_core::abilities::{Abilities, Ability};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::keys::{KeyForms, RulesOf};
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Reason, Unreachable};
use catharsis_core::target::{CachePrefix, Mode, Target};
use tokio::time::{Instant, sleep_until};

use self::ban::Ban;
use self::list::BanList;
use self::pace::Pace;
use super::address::{HttpLimits, NodeAddress};
use super::answer::{Answer, Marked};
use super::http::{Asked, Dialect, HttpEngine, Requests, by_status, merge, not_tried, probe};

pub use self::list::Gauge;
pub use self::management::Management;

/// A host that cannot exist (RFC 6761 section 6.4): HTTP/1.1 wants one where none is meant.
const NO_HOST: &str = "catharsis.invalid";

/// Tells one Varnish.
#[derive(Debug)]
pub struct VarnishPurger {
    engine: HttpEngine<Varnish>,
    pace: Pace,
    list: Option<BanList>,
}

impl VarnishPurger {
    /// A purger of the Varnish that takes purges at this address. Connects when first used.
    #[must_use]
    pub fn new(address: NodeAddress, limits: HttpLimits, rules: Arc<dyn RulesOf>) -> Self {
        Self { engine: HttpEngine::new(address, limits, rules, Varnish), pace: Pace::default(), list: None }
    }

    /// With a cap: while its list holds `bans_max` bans or more, or its length cannot be seen through the
    /// management port, no directory is purged. `gauge` hears of each length that was seen.
    #[must_use]
    pub fn with_cap(self, management: Management, bans_max: u64, gauge: Gauge) -> Self {
        Self { list: Some(BanList::new(management, bans_max, gauge)), ..self }
    }

    /// Forgets directories: an outcome for each, in their order.
    async fn directories(&self, directories: &[&CachePrefix], deadline: Instant) -> Vec<Outcome> {
        let rules: Vec<_> = directories.iter().map(|directory| self.engine.rules.rules_of(directory.host())).collect();
        let forms: Vec<KeyForms<'_>> =
            directories.iter().zip(&rules).map(|(directory, rules)| rules.directory_forms(directory)).collect();
        let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); directories.len()];
        let mut ended = None;
        for ban in ban::merge(&forms) {
            let outcome = match &ended {
                None => self.ban(&ban, deadline).await,
                Some(why) => Outcome::Unreachable(Unreachable::clone(why)),
            };
            if let Outcome::Unreachable(why) = &outcome {
                ended = ended.or_else(|| ends_all(why));
            }
            for at in ban.directories {
                outcomes[at].push(outcome.clone());
            }
        }
        outcomes.iter().map(|of_bans| merge(of_bans)).collect()
    }

    /// Sends one ban when its turn has come.
    async fn ban(&self, ban: &Ban, deadline: Instant) -> Outcome {
        let Some(turn) = self.pace.turn(Instant::now(), deadline) else {
            return Outcome::Unreachable(Unreachable::Busy(Reason::new(
                "too many long directories at once: it is not their turn yet",
            )));
        };
        sleep_until(turn).await;
        if let Some(list) = &self.list
            && let Err(why) = list.room().await
        {
            return Outcome::Unreachable(why);
        }
        let mut requests = Requests::default();
        let scope = "X-Catharsis-Scope: directories\r\n";
        requests.purge(&format!("/?{}", ban.pattern), NO_HOST, scope, Asked::Directories);
        only(self.engine.send(&requests).await)
    }
}

/// What to say of the bans behind one that failed, when trying them would be in vain. A ban that the
/// cache cannot carry out must not hold up the others.
fn ends_all(why: &Unreachable) -> Option<Unreachable> {
    match why {
        Unreachable::Connect(_) | Unreachable::Timeout | Unreachable::Closed => Some(not_tried()),
        Unreachable::Denied { .. } | Unreachable::Busy(_) => Some(why.clone()),
        Unreachable::Failed { .. } | Unreachable::Protocol(_) | Unreachable::Reported(_) | Unreachable::Unproven(_) => {
            None
        }
    }
}

/// The outcome of the only request that was sent.
fn only(outcomes: Vec<Outcome>) -> Outcome {
    outcomes.into_iter().next().unwrap_or(Outcome::Unreachable(Unreachable::Closed))
}

#[async_trait]
impl Purger for VarnishPurger {
    fn abilities(&self) -> Abilities {
        Abilities {
            url: Ability::DeleteOrExpire,
            prefix: Ability::Delete,
            host: Ability::Delete,
            everything: Ability::Delete,
            tag: Ability::Missing,
        }
    }

    async fn apply(&self, batch: &[Invalidation]) -> Vec<Outcome> {
        let deadline = Instant::now() + self.engine.limits.batch;
        let (mut now, mut directories) = (Vec::new(), Vec::new());
        for invalidation in batch {
            match invalidation.target.as_ref() {
                Target::Prefix(directory) => directories.push(directory),
                Target::Url(_) | Target::Everything => now.push(invalidation),
            }
        }
        // A purge of one kind only takes away what one of the other would have taken, so their order
        // makes no difference; URLs go first because they need not wait for a turn.
        let mut of_now = self.engine.apply(now).await.into_iter();
        let mut of_directories = self.directories(&directories, deadline).await.into_iter();
        let outcome = |invalidation: &Invalidation| match invalidation.target.as_ref() {
            Target::Prefix(_) => of_directories.next(),
            Target::Url(_) | Target::Everything => of_now.next(),
        };
        let lost = || Outcome::Unreachable(Unreachable::Closed);
        batch.iter().map(outcome).map(|outcome| outcome.unwrap_or_else(lost)).collect()
    }

    async fn everything(&self, _upto: Seq) -> Outcome {
        let mut requests = Requests::default();
        self.engine.dialect.everything(&mut requests);
        only(self.engine.send(&requests).await)
    }

    async fn answers(&self) -> bool {
        probe(&self.engine).await
    }
}

/// How many objects of a URL an answer speaks of; that of a ban speaks of none.
fn copies(reason: &str) -> Option<NonZeroU32> {
    let count = reason.strip_prefix("Purged ").or_else(|| reason.strip_prefix("Expired "))?;
    count.parse().ok()
}

#[derive(Debug)]
struct Varnish;

impl Dialect for Varnish {
    const MARK: &'static str = "x-varnish";

    fn url(&self, requests: &mut Requests, forms: &KeyForms<'_>, mode: Mode) {
        match mode {
            Mode::Delete => requests.purge_forms(forms, "", Asked::Url),
            Mode::Expire => requests.purge_forms(forms, "X-Catharsis-Mode: expire\r\n", Asked::Stale),
        }
    }

    fn everything(&self, requests: &mut Requests) {
        requests.purge("/", NO_HOST, "X-Catharsis-Scope: everything\r\n", Asked::Everything);
    }

    fn outcome(&self, asked: Asked, answer: &Answer<'_>) -> Outcome {
        let outcome = by_status(answer.status);
        let expected = match (&outcome, asked) {
            (Outcome::Applied, Asked::Url) => answer.reason.starts_with("Purged"),
            // A VCL that does not know the mode removes what it was asked to mark, which does no less.
            (Outcome::Applied, Asked::Stale) => {
                answer.reason.starts_with("Expired") || answer.reason.starts_with("Purged")
            }
            (Outcome::Applied, Asked::Directories) => answer.reason == "Banned directories",
            (Outcome::Applied, Asked::Everything) => answer.reason == "Banned",
            (Outcome::Absent, Asked::Url | Asked::Stale) => answer.marked == Marked::Yes,
            (Outcome::Absent, Asked::Directories | Asked::Everything) => false,
            // The request stands for many directories: none of them is to blame, and none may be lost.
            (Outcome::Refused(_), Asked::Directories) => {
                return Outcome::Unreachable(Unreachable::Failed { status: answer.status });
            }
            (Outcome::AppliedTo(_) | Outcome::Refused(_) | Outcome::Unreachable(_), _) => true,
        };
        if expected {
            copies(answer.reason).filter(|_| outcome == Outcome::Applied).map_or(outcome, Outcome::AppliedTo)
        } else {
            Outcome::Unreachable(Unreachable::Protocol(Reason::new(&format!(
                "{} {}: not an answer of the purge VCL (docs/caches/varnish.vcl); is it loaded?",
                answer.status, answer.reason
            ))))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn check(status: u16, reason: &str, marked: Marked, asked: Asked, expect: fn(&Outcome) -> bool) {
        let answer = Answer { status, reason, marked, body: Cow::Borrowed(b"") };
        let outcome = Varnish.outcome(asked, &answer);
        assert!(expect(&outcome), "{status} {reason} {asked:?}: {outcome:?}");
    }

    #[test]
    fn answer_of_an_origin_is_never_a_success() {
        let applied = |outcome: &Outcome| *outcome == Outcome::Applied;
        let absent = |outcome: &Outcome| *outcome == Outcome::Absent;
        let odd = |outcome: &Outcome| matches!(outcome, Outcome::Unreachable(Unreachable::Protocol(_)));
        check(200, "Purged 2", Marked::Yes, Asked::Url, |outcome| *outcome == Outcome::counted(2));
        check(200, "OK", Marked::Yes, Asked::Url, odd);
        check(204, "No Content", Marked::No, Asked::Url, odd);
        check(404, "Not Found", Marked::Yes, Asked::Url, absent);
        check(404, "Not Found", Marked::No, Asked::Url, odd);
        check(200, "Banned", Marked::Yes, Asked::Everything, applied);
        check(200, "Purged 1", Marked::Yes, Asked::Everything, odd);
        check(200, "Banned directories", Marked::Yes, Asked::Everything, odd);
        check(200, "Banned directories", Marked::Yes, Asked::Directories, applied);
        check(200, "Banned", Marked::Yes, Asked::Directories, odd);
        check(404, "Not Found", Marked::Yes, Asked::Directories, odd);
        check(404, "Not Found", Marked::Yes, Asked::Everything, odd);
    }

    #[test]
    fn copy_marked_stale_never_passes_for_a_deleted_one() {
        let one = |outcome: &Outcome| *outcome == Outcome::counted(1);
        let odd = |outcome: &Outcome| matches!(outcome, Outcome::Unreachable(Unreachable::Protocol(_)));
        check(200, "Expired 1", Marked::Yes, Asked::Stale, one);
        check(200, "Purged 1", Marked::Yes, Asked::Stale, one);
        check(200, "Expired 1", Marked::Yes, Asked::Url, odd);
    }

    #[test]
    fn copies_are_told_as_varnish_counted_them_or_not_at_all() {
        let outcome = |reason: &str, asked| {
            Varnish.outcome(asked, &Answer { status: 200, reason, marked: Marked::Yes, body: Cow::Borrowed(b"") })
        };
        assert_eq!(outcome("Purged 12", Asked::Url), Outcome::counted(12));
        // An older VCL, one that was written anew, and a number that is none.
        for reason in ["Purged", "Purged 3 objects", "Purged 0", "Purged -1", "Purged 99999999999"] {
            assert_eq!(outcome(reason, Asked::Url), Outcome::Applied, "{reason}");
        }
        assert_eq!(outcome("Banned", Asked::Everything), Outcome::Applied);
    }

    #[test]
    fn request_that_stands_for_many_directories_loses_none() {
        let failed = |outcome: &Outcome| matches!(outcome, Outcome::Unreachable(Unreachable::Failed { .. }));
        let denied = |outcome: &Outcome| matches!(outcome, Outcome::Unreachable(Unreachable::Denied { .. }));
        for status in [400, 414, 431, 500] {
            check(status, "x", Marked::Yes, Asked::Directories, failed);
        }
        check(501, "Not Implemented", Marked::Yes, Asked::Directories, denied);
    }
}
