//! The run of all pairs against one cache.
//!
//! What this is: fetch until kept, purge the other URL, fetch again, for all pairs at once where none
//! disturbs another; then the comparison with what must be. What this is not: sure of a cache's own
//! `X-Cache`; whether an answer is a copy is told by the number that the origin gave it.
//!
//! Invariant: each pair ends with one [`Finding`]; one that is not [`Finding::Right`] is excused by name or
//! wrong, and an excuse that nothing needs is wrong too.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use catharsis_core::abilities::Ability;
use catharsis_core::clock::UnixMillis;
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::ports::Purger;
use catharsis_core::receipt::Outcome;
use catharsis_core::target::{Mode, Scheme};
use catharsis_core::task::TaskId;
use http::Method;

use super::client::{Ask, RANGE, Told, ask_all};
use super::origin::VARY;
use super::{Answer, By, NumberingOrigin, Pair, Place, Scope};

/// Purges of one call: what a relay tells a node at once at most.
const BATCH: usize = 512;

/// Times that a URL is asked for until it is kept, at least. nginx hands out a whole answer before its copy can be
/// used, so the second may be too early.
const FETCHES_MIN: usize = 6;

/// A cache under test.
pub struct UnderTest {
    /// Its name in the table.
    pub name: &'static str,
    /// Where clients come in.
    pub traffic: SocketAddr,
    /// Who purges it.
    pub purger: Box<dyn Purger>,
    /// What cannot be shown there, and why.
    pub excuses: &'static [Excuse],
    /// How long it may go on to fetch anew what was purged before it keeps it again.
    pub settles: Duration,
}

impl std::fmt::Debug for UnderTest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnderTest").field("name", &self.name).field("traffic", &self.traffic).finish_non_exhaustive()
    }
}

/// What is not shown at a kind of cache.
#[derive(Clone, Copy, Debug)]
pub struct Excuse {
    /// What happens instead.
    pub instead: Instead,
    /// Of which pairs.
    pub of: fn(&Pair) -> bool,
    /// Why, as operators read it.
    pub why: &'static str,
}

/// What happens instead of what the answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// Nothing is kept of it, so nothing is to be purged.
    NotKept,
    /// The cache takes both URLs for one, though they differ: the copy goes with the other.
    Shared,
    /// The purge is refused by name.
    Refused,
    /// The pair is not run.
    NotRun,
}

/// What was seen of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The copy is gone.
    Gone,
    /// The copy, or another from before the purge, is still served.
    Kept,
    /// The purge was refused by name, and the copy is still served.
    Refused,
    /// There was no copy.
    NotKept(String),
    /// The purge had no outcome that is an answer, or one that does not fit what was seen.
    Odd(String),
}

/// What is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is as it must be.
    Right,
    /// It is not, with a reason that is told.
    Excused(Instead, &'static str),
    /// It is not.
    Wrong(Seen),
}

/// How a cache did.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name.
    pub name: &'static str,
    /// What its purger says that it can do, by scope.
    pub abilities: [(&'static str, Ability); 5],
    /// Of each pair, in their order.
    pub findings: Vec<Finding>,
    /// Reasons that no pair needed.
    pub unused: Vec<&'static str>,
}

impl Report {
    /// What is wrong, a line each; empty when nothing is.
    #[must_use]
    pub fn wrong(&self, pairs: &[Pair]) -> Vec<String> {
        let line = |(pair, finding): (&Pair, &Finding)| match finding {
            Finding::Right | Finding::Excused(..) => None,
            Finding::Wrong(seen) => Some(format!(
                "{}: line {} [{}] {:?} is {seen:?}: {:?} {} -> {:?} ({})",
                self.name, pair.line, pair.rule, pair.answer, pair.scope, pair.purged, pair.fetched, pair.why
            )),
        };
        let unused = self.unused.iter().map(|why| format!("{}: no pair needs the exception: {why}", self.name));
        pairs.iter().zip(&self.findings).filter_map(line).chain(unused).collect()
    }
}

/// Runs all pairs against a cache in front of this origin.
pub async fn run(cache: &UnderTest, origin: &NumberingOrigin, pairs: &[Pair]) -> Report {
    let mut seen: Vec<Option<Seen>> = vec![None; pairs.len()];
    let not_run = |pair: &Pair| cache.excuses.iter().find(|it| it.instead == Instead::NotRun && (it.of)(pair));
    let run: Vec<usize> = (0..pairs.len()).filter(|at| not_run(&pairs[*at]).is_none()).collect();
    let (among, alone): (Vec<usize>, Vec<usize>) = run.iter().partition(|at| pairs[**at].place == Place::Among);
    let mut upto = Seq(0);
    for group in std::iter::once(among).chain(alone.into_iter().map(|at| vec![at])) {
        let members: Vec<&Pair> = group.iter().map(|at| &pairs[*at]).collect();
        for (at, it) in group.iter().zip(run_group(cache, origin, &members, &mut upto).await) {
            seen[*at] = Some(it);
        }
    }
    let refuses = cache.purger.abilities().prefix == Ability::Missing;
    let finding = |(pair, seen): (&Pair, Option<Seen>)| match (seen, not_run(pair)) {
        (Some(seen), _) => judge(cache, pair, seen, refuses),
        (None, Some(excuse)) => Finding::Excused(Instead::NotRun, excuse.why),
        (None, None) => Finding::Wrong(Seen::Odd("it was left out".to_owned())),
    };
    let findings: Vec<Finding> = pairs.iter().zip(seen).map(finding).collect();
    let used = |why| findings.iter().any(|it| matches!(it, Finding::Excused(_, used) if *used == why));
    Report {
        name: cache.name,
        abilities: cache.purger.abilities().by_scope(),
        unused: cache.excuses.iter().map(|it| it.why).filter(|why| !used(*why)).collect(),
        findings,
    }
}

/// Why a cache refuses directories.
const NO_DIRECTORIES: &str = "it knows no purge of a directory, and its purger says so";

fn judge(cache: &UnderTest, pair: &Pair, seen: Seen, refuses_directories: bool) -> Finding {
    let instead = match (&seen, pair.answer) {
        (Seen::Gone, Answer::Same) | (Seen::Kept, Answer::Differs) => return Finding::Right,
        (Seen::Gone, Answer::Differs) => Instead::Shared,
        (Seen::NotKept(_), _) => Instead::NotKept,
        (Seen::Refused, _) if pair.scope == Scope::Directory && refuses_directories => {
            return Finding::Excused(Instead::Refused, NO_DIRECTORIES);
        }
        (Seen::Refused, _) => Instead::Refused,
        (Seen::Kept, Answer::Same) | (Seen::Odd(_), _) => return Finding::Wrong(seen),
    };
    let excuse = cache.excuses.iter().find(|it| it.instead == instead && (it.of)(pair));
    excuse.map_or(Finding::Wrong(seen), |it| Finding::Excused(instead, it.why))
}

/// Runs pairs of which none disturbs another. Positions rise from one group to the next: an edge takes none twice.
async fn run_group(cache: &UnderTest, origin: &NumberingOrigin, pairs: &[&Pair], upto: &mut Seq) -> Vec<Seen> {
    let first: Vec<Vec<Ask>> = pairs.iter().map(|pair| prelude(pair)).collect();
    ask_all(cache.traffic, first).await;
    let kept = keep(cache, pairs).await;

    let first_after = origin.next();
    let mut outcomes = Vec::with_capacity(pairs.len());
    let batch: Vec<Invalidation> = pairs.iter().zip(upto.0 + 1..).map(|(pair, seq)| invalidation(pair, seq)).collect();
    *upto = batch.last().map_or(*upto, |last| last.seq);
    for part in batch.chunks(BATCH) {
        outcomes.extend(cache.purger.apply(part).await);
    }

    // Twice: a variant that was left behind can come back once its URL was fetched anew.
    let after = ask_all(cache.traffic, lists(pairs)).await;
    let again = ask_all(cache.traffic, lists(pairs)).await;
    let all = kept.into_iter().zip(outcomes).zip(after.into_iter().zip(again));
    all.map(|((kept, outcome), (after, again))| see(kept, &outcome, first_after, after.into_iter().chain(again)))
        .collect()
}

/// Asks for everything until it is kept: for each pair, whether all of it is, or why not.
async fn keep(cache: &UnderTest, pairs: &[&Pair]) -> Vec<Result<(), String>> {
    let mut kept: Vec<Result<(), String>> = vec![Err(String::new()); pairs.len()];
    let mut before: Vec<Vec<Told>> = vec![Vec::new(); pairs.len()];
    let deadline = Instant::now() + cache.settles;
    let mut fetches = 0;
    while fetches < FETCHES_MIN || Instant::now() < deadline {
        fetches += 1;
        let left: Vec<usize> = (0..pairs.len()).filter(|at| kept[*at].is_err()).collect();
        if left.is_empty() {
            break;
        }
        let asked: Vec<&Pair> = left.iter().map(|at| pairs[*at]).collect();
        for (at, told) in left.iter().zip(ask_all(cache.traffic, lists(&asked)).await) {
            let copies = told == before[*at] && told.iter().all(Result::is_ok);
            kept[*at] = if copies { Ok(()) } else { Err(format!("{told:?}")) };
            before[*at] = told;
        }
    }
    kept
}

fn see(kept: Result<(), String>, outcome: &Outcome, first_after: u64, after: impl Iterator<Item = Told>) -> Seen {
    match outcome {
        Outcome::Unreachable(_) => return Seen::Odd(format!("{outcome:?}")),
        Outcome::Applied | Outcome::AppliedTo(_) | Outcome::Absent | Outcome::Refused(_) => {}
    }
    if let Err(why) = kept {
        return Seen::NotKept(why);
    }
    let answers: Result<Vec<u64>, String> = after.collect();
    let Ok(answers) = answers else { return Seen::Odd(format!("asked again: {answers:?}")) };
    let old = answers.iter().filter(|serial| **serial < first_after).count();
    match (outcome, old) {
        (Outcome::Refused(_), old) if old == answers.len() => Seen::Refused,
        (Outcome::Refused(_), _) => Seen::Odd(format!("{outcome:?}, but copies went")),
        (_, 0) => Seen::Gone,
        (_, old) if old == answers.len() => Seen::Kept,
        (_, old) => Seen::Odd(format!("{old} of {} answers are old copies", answers.len())),
    }
}

fn invalidation(pair: &Pair, seq: u64) -> Invalidation {
    Invalidation {
        seq: Seq(seq),
        task: TaskId::new(UnixMillis(0), seq),
        target: pair.target().into(),
        mode: Mode::Delete,
        accepted_at: UnixMillis(0),
    }
}

/// The requests by which the copies of pairs are made and looked for.
fn lists(pairs: &[&Pair]) -> Vec<Vec<Ask>> {
    let method = |by| match by {
        By::Head => Method::HEAD,
        By::Get | By::HeadFirst | By::RangeFirst | By::Range => Method::GET,
    };
    let field = |by| match by {
        By::Range => Some(("range", RANGE)),
        By::Get | By::HeadFirst | By::Head | By::RangeFirst => None,
    };
    pairs.iter().map(|pair| asks(pair, &method(pair.by), field(pair.by))).collect()
}

/// The requests that come before.
fn prelude(pair: &Pair) -> Vec<Ask> {
    match pair.by {
        By::Get | By::Head | By::Range => Vec::new(),
        By::HeadFirst => asks(pair, &Method::HEAD, None),
        By::RangeFirst => asks(pair, &Method::GET, Some(("range", RANGE))),
    }
}

/// One request for each variant.
fn asks(pair: &Pair, method: &Method, field: Option<(&'static str, &'static str)>) -> Vec<Ask> {
    let mut fields: Vec<(&'static str, &'static str)> = field.into_iter().collect();
    if pair.fetched.scheme == Scheme::Https {
        fields.push(("x-forwarded-proto", "https"));
    }
    let ask = |more: &[(&'static str, &'static str)]| Ask {
        method: method.clone(),
        host: pair.fetched.host.clone(),
        target: pair.fetched.target.clone(),
        fields: fields.iter().chain(more).copied().collect(),
    };
    let Some(variants) = &pair.variants else { return vec![ask(&[])] };
    variants.values.iter().map(|value| ask(&[(VARY, variants.field), (variants.field, *value)])).collect()
}
