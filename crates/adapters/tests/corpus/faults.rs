//! Purgers that do their work badly, to show that the run catches them.

use async_trait::async_trait;
use catharsis_core::abilities::Abilities;
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::ports::Purger;
use catharsis_core::receipt::Outcome;
use catharsis_core::target::{CachePrefix, Encode, Target};
use catharsis_testkit::corpus::run::{Finding, Seen, run};
use catharsis_testkit::corpus::{Answer, NumberingOrigin, Pair, Place, Scope, pairs};

use crate::edge;

/// What is told to the true purger in the place of what was ordered.
type Change = fn(&Invalidation) -> Option<Invalidation>;

/// A purger that tells another something else, and says that all was done.
struct Faulty {
    to: Box<dyn Purger>,
    change: Change,
}

#[async_trait]
impl Purger for Faulty {
    fn abilities(&self) -> Abilities {
        self.to.abilities()
    }

    async fn apply(&self, batch: &[Invalidation]) -> Vec<Outcome> {
        let changed: Vec<Invalidation> = batch.iter().filter_map(self.change).collect();
        self.to.apply(&changed).await;
        vec![Outcome::Applied; batch.len()]
    }

    async fn everything(&self, upto: Seq) -> Outcome {
        self.to.everything(upto).await
    }

    async fn answers(&self) -> bool {
        self.to.answers().await
    }
}

/// The pairs that may be run together, each with what was found once this fault was planted in the edge.
async fn findings(change: Change) -> Vec<(Pair, Finding)> {
    let pairs: Vec<Pair> = pairs().into_iter().filter(|pair| pair.place == Place::Among).collect();
    let origin = NumberingOrigin::start().await;
    let mut started = edge::start(&origin).await;
    let to = started.cache.purger;
    started.cache.purger = Box::new(Faulty { to, change });
    let report = run(&started.cache, &origin, &pairs).await;
    assert!(!report.wrong(&pairs).is_empty(), "the fault was not seen");
    pairs.into_iter().zip(report.findings).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_purger_that_purges_nothing_is_found_out_by_each_copy_that_should_go() {
    for (pair, finding) in findings(|_| None).await {
        let expect = match pair.answer {
            Answer::Same => Finding::Wrong(Seen::Kept),
            Answer::Differs => Finding::Right,
        };
        assert_eq!(finding, expect, "line {}", pair.line);
    }
}

/// The directory of the pair, `/cN/`.
fn whole_directory(one: &Invalidation) -> Option<Invalidation> {
    let Target::Url(url) = one.target.as_ref() else { return Some(one.clone()) };
    let path = url.encoded_path();
    let end = path[1..].find('/').map_or(path.len(), |at| at + 2);
    let directory = format!("{}://{}{}", url.scheme().as_str(), url.host_header(), &path[..end]);
    let directory = CachePrefix::parse(&directory, Encode::AsSubmitted).expect("a part of a URL");
    Some(Invalidation { target: Target::Prefix(directory).into(), ..one.clone() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_purger_that_purges_a_directory_for_a_url_is_found_out_by_what_lies_beside() {
    let findings = findings(whole_directory).await;
    let wrong = findings.iter().filter(|(_, finding)| *finding == Finding::Wrong(Seen::Gone)).count();
    for (pair, finding) in &findings {
        let right = *finding == Finding::Right;
        assert!(right || (pair.scope, pair.answer) == (Scope::Url, Answer::Differs), "line {}", pair.line);
    }
    assert!(wrong >= 100, "{wrong}");
}
