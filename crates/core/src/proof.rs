//! Proving that a node carries out purges.
//!
//! What this is: the walk of one proof (miss, hit, purge, miss) on an object that is made for it, and
//! what each result means for the node's worker. What this is not: a fence, or an audit of tasks.
//!
//! Invariant: a node that says that it purged and serves the old copy on is not told anything else: its
//! cursor stays where it is, for each receipt from it would be a lie.

use std::fmt;

use async_trait::async_trait;

use crate::ports::Purger;
use crate::receipt::{Outcome, Reason, Refusal, Unreachable};
use crate::target::CacheUrl;

/// Fetches probe objects through one node, as its clients would.
#[async_trait]
pub trait Prober: Send + Sync {
    /// The URL of an object that nobody has asked for before. Its origin answers each request with another
    /// body and lets caches keep it for a while.
    fn object(&self, random: u64) -> CacheUrl;

    /// Fetches it through the node; its body.
    ///
    /// # Errors
    /// Why there was no whole body.
    async fn fetch(&self, url: &CacheUrl) -> Result<Box<str>, Reason>;
}

/// What came of a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The copy was kept, purged and gone.
    Proven,
    /// It could not be tried; what it serves is not known to be wrong.
    Untried(Untried),
    /// It was tried and failed.
    Failed(Failed),
    /// The node could not be told to purge.
    Unreachable(Unreachable),
}

/// Why a proof could not be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untried {
    /// This kind of node cannot be told anything outside of the log.
    Kind,
    /// The object could not be fetched through it.
    NotFetched(Reason),
    /// Two requests in a row were answered by the origin: nothing was kept that could be purged.
    NotKept,
    /// It refused to purge the object.
    Refused(Refusal),
}

/// How a node failed its proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It said that there was no copy while it served one: purges name another key than clients do.
    Missed,
    /// It said that it had purged, and served the old copy on.
    Ignored,
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proven => f.write_str("proven"),
            Self::Untried(Untried::Kind) => f.write_str("not tried: this kind of node proves itself"),
            Self::Untried(Untried::NotFetched(why)) => {
                write!(f, "not tried: the probe object cannot be fetched through the node: {}", why.as_str())
            }
            Self::Untried(Untried::NotKept) => {
                f.write_str("not tried: the node keeps no copy of the probe object, or `traffic` leads to several nodes")
            }
            Self::Untried(Untried::Refused(why)) => write!(f, "not tried: the probe's purge was refused: {why}"),
            Self::Failed(Failed::Missed) => {
                f.write_str("failed: the node purges under another key than clients fetch; compare its configuration with docs/caches")
            }
            Self::Failed(Failed::Ignored) => f.write_str(
                "failed: the node says that it purged and serves the old copy on; compare its configuration with docs/caches",
            ),
            Self::Unreachable(why) => write!(f, "not tried: {why}"),
        }
    }
}

/// Miss, hit, purge, miss.
pub async fn prove(purger: &dyn Purger, prober: &dyn Prober, url: &CacheUrl) -> Proof {
    let not_fetched = |why| Proof::Untried(Untried::NotFetched(why));
    let first = match prober.fetch(url).await {
        Ok(body) => body,
        Err(why) => return not_fetched(why),
    };
    match prober.fetch(url).await {
        Ok(body) if body == first => {}
        Ok(_) => return Proof::Untried(Untried::NotKept),
        Err(why) => return not_fetched(why),
    }
    let said = match purger.purge_probe(url).await {
        None => return Proof::Untried(Untried::Kind),
        Some(Outcome::Unreachable(why)) => return Proof::Unreachable(why),
        Some(Outcome::Refused(why)) => return Proof::Untried(Untried::Refused(why)),
        Some(Outcome::Applied | Outcome::AppliedTo(_)) => Failed::Ignored,
        Some(Outcome::Absent) => Failed::Missed,
    };
    match prober.fetch(url).await {
        Ok(body) if body == first => Proof::Failed(said),
        // "Absent" of a copy that is gone now: it fell out of the cache by itself, or the node counts so.
        Ok(_) => Proof::Proven,
        Err(why) => not_fetched(why),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::abilities::{Abilities, Ability};
    use crate::invalidation::{Invalidation, Seq};
    use crate::target::Encode;

    /// A cache of one object, and the origin before it.
    struct Stage {
        kept: Mutex<Option<u64>>,
        served: Mutex<u64>,
        keeps: bool,
        forgets: bool,
        says: Outcome,
    }

    #[async_trait]
    impl Prober for Stage {
        fn object(&self, random: u64) -> CacheUrl {
            CacheUrl::parse(&format!("http://probe.invalid/{random}"), Encode::AsSubmitted).expect("a valid URL")
        }

        async fn fetch(&self, _url: &CacheUrl) -> Result<Box<str>, Reason> {
            let mut kept = self.kept.lock().expect("not poisoned");
            let body = kept.unwrap_or_else(|| {
                let mut served = self.served.lock().expect("not poisoned");
                *served += 1;
                *served
            });
            if self.keeps {
                *kept = Some(body);
            }
            Ok(body.to_string().into())
        }
    }

    #[async_trait]
    impl Purger for Stage {
        fn abilities(&self) -> Abilities {
            let none = Ability::Missing;
            Abilities { url: Ability::Delete, prefix: none, host: none, everything: none, tag: none }
        }

        async fn apply(&self, batch: &[Invalidation]) -> Vec<Outcome> {
            if self.forgets {
                *self.kept.lock().expect("not poisoned") = None;
            }
            vec![self.says.clone(); batch.len()]
        }

        async fn everything(&self, _upto: Seq) -> Outcome {
            Outcome::Refused(Refusal::Unsupported)
        }

        async fn answers(&self) -> bool {
            true
        }
    }

    async fn check(keeps: bool, forgets: bool, says: Outcome, expect: Proof) {
        let stage = Stage { kept: Mutex::default(), served: Mutex::default(), keeps, forgets, says };
        assert_eq!(prove(&stage, &stage, &stage.object(1)).await, expect);
    }

    #[tokio::test]
    async fn node_is_believed_only_when_the_copy_is_gone() {
        check(true, true, Outcome::Applied, Proof::Proven).await;
        check(true, false, Outcome::Applied, Proof::Failed(Failed::Ignored)).await;
        check(true, false, Outcome::Absent, Proof::Failed(Failed::Missed)).await;
        check(false, true, Outcome::Absent, Proof::Untried(Untried::NotKept)).await;
        check(
            true,
            true,
            Outcome::Refused(Refusal::Unsupported),
            Proof::Untried(Untried::Refused(Refusal::Unsupported)),
        )
        .await;
        let denied = Unreachable::Denied { status: 403 };
        check(true, true, Outcome::Unreachable(denied.clone()), Proof::Unreachable(denied)).await;
    }
}
