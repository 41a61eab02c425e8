//! Auditing: what a client sees after a purge was done.
//!
//! What this is: the judgement of one look from outside (pure), when looks are repeated, and the port that looks. What
//! this is not: part of a task's status, which rests on receipts alone; nor a proof (`crate::proof`), which makes its own
//! object before the first purge.
//!
//! Invariant: `Older` is said only if the copy is too old under every rounding and difference of clocks that is tolerated,
//! and `Younger` only if it is young enough under each; what lies between is `Untold`.
//!
//! A copy is dated by the `Age` field (RFC 9111 section 5.1). The apparent age of section 4.2.3, from `Date`, compares the
//! origin's clock with another one; it is used only for caches that send no `Age`.
//!
//! A fetch that crossed a purge looks young, for a copy's age counts from when its answer came. Such a copy is found by its
//! version instead ([`replaced`]): the origin itself says that it had changed the content before the acceptance, and the node
//! serves what was there before.

use std::time::Duration;

use async_trait::async_trait;

use crate::area::Area;
use crate::clock::UnixMillis;
use crate::invalidation::Seq;
use crate::receipt::Reason;
use crate::target::CacheUrl;
use crate::topology::{NodeId, NodeKind};

/// Looks at objects through one node, as its clients would.
#[async_trait]
pub trait Outside: Send + Sync {
    /// Fetches a URL and tells how its answer is dated, and which version it is.
    ///
    /// # Errors
    /// Why there was no answer.
    async fn look(&self, url: &CacheUrl, accepts: Accepts<'_>) -> Result<Seen, Reason>;
}

/// Which content codings a look takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts<'a> {
    /// It does not say.
    Unsaid,
    /// Those in this field.
    These(&'a Codings),
}

/// The value of an `Accept-Encoding` field, as some client sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codings(Box<str>);

impl Codings {
    /// Takes a field's value: 1 to 64 printable ASCII characters.
    #[must_use]
    pub fn new(value: &str) -> Option<Self> {
        let fits = (1..=64).contains(&value.len()) && value.bytes().all(|it| (b' '..=b'~').contains(&it));
        fits.then(|| Self(value.into()))
    }

    /// The value.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether the content depends on the codings that are taken (`Vary`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Varies {
    /// It does not.
    No,
    /// It does, so there is a copy for each way to ask.
    ByCoding,
}

/// What an answer tells of the age and the version of its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The HTTP status.
    pub status: u16,
    /// `Age`, in seconds.
    pub age: Option<u64>,
    /// `Date`.
    pub date: Option<UnixMillis>,
    /// `Last-Modified`.
    pub modified: Option<UnixMillis>,
    /// `ETag`, without the mark of a weak one; what is too long or not printable is left out.
    pub tag: Option<Box<str>>,
    /// Whether there are others for other codings.
    pub varies: Varies,
    /// When the request was sent.
    pub asked: UnixMillis,
    /// When the head of the answer had come.
    pub answered: UnixMillis,
}

/// How a kind of node dates what it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dated {
    /// Each stored copy has an `Age`, counted on the node's clock; an answer without one was fetched for this request.
    ByAge,
    /// The same, but the node lets an origin whose `Date` is older make its copies older (RFC 9111 section 4.2.3).
    ByApparentAge,
    /// No `Age`; `Date` is the origin's if the node's configuration passes it on, else it is always now.
    ByDate,
}

impl Dated {
    /// That of a kind, as measured with the samples in docs/caches.
    #[must_use]
    pub const fn of(kind: NodeKind) -> Self {
        match kind {
            NodeKind::Varnish | NodeKind::Edge => Self::ByAge,
            NodeKind::Squid | NodeKind::SquidAgent | NodeKind::TrafficServer => Self::ByApparentAge,
            NodeKind::Nginx | NodeKind::NginxAgent => Self::ByDate,
        }
    }
}

/// What is not taken for a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// Ages and dates are whole seconds, each cut off or rounded by whoever wrote it.
    pub rounding: Duration,
    /// How far an origin's clock may be off this one.
    pub clock_skew: Duration,
}

/// What a look says of the promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The copy is younger than the acceptance of the purge.
    Younger,
    /// The copy is older: the promise is broken.
    Older,
    /// The node had no copy: the answer was fetched for this look.
    NoCopy,
    /// It cannot be told.
    Untold,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Younger, Self::Older, Self::NoCopy, Self::Untold];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Younger => "younger",
            Self::Older => "older",
            Self::NoCopy => "nocopy",
            Self::Untold => "untold",
        }
    }

    /// That of several copies of one URL together: of two that differ the graver one, and no copy is the least. One that
    /// cannot be told keeps the others from being taken for the whole.
    #[must_use]
    pub const fn gravity(self) -> u8 {
        match self {
            Self::NoCopy => 0,
            Self::Younger => 1,
            Self::Untold => 2,
            Self::Older => 3,
        }
    }
}

/// One look, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Through which node.
    pub node: NodeId,
    /// The log in which the purge stands.
    pub area: Area,
    /// Its position there.
    pub seq: Seq,
    /// When.
    pub at: UnixMillis,
    /// What it says.
    pub verdict: Verdict,
    /// What that rests on, for people.
    pub why: Reason,
}

/// Judges an answer that was seen after a purge was done that had been accepted at `accepted_at`.
#[must_use]
pub fn judge(seen: &Seen, accepted_at: UnixMillis, dated: Dated, tolerance: Tolerance) -> (Verdict, String) {
    if seen.status >= 500 {
        return (Verdict::Untold, format!("it answered {}", seen.status));
    }
    let span = match dated {
        Dated::ByAge => tolerance.rounding,
        Dated::ByApparentAge | Dated::ByDate => tolerance.rounding.saturating_add(tolerance.clock_skew),
    };
    match (dated, seen.age, seen.date) {
        (_, Some(age), _) => {
            let age_span = Duration::from_secs(age);
            // The cache wrote the age some time between the request and the answer.
            let earliest = seen.asked.before(age_span.saturating_add(span));
            let latest = after(seen.answered.before(age_span), span);
            compare(earliest, latest, accepted_at, &format!("Age: {age}"))
        }
        (Dated::ByAge | Dated::ByApparentAge, None, _) => {
            (Verdict::NoCopy, "no Age: it was fetched for this look".to_owned())
        }
        (Dated::ByDate, None, Some(date)) => {
            if after(date, tolerance.rounding) >= seen.asked {
                let why = "no Age, and its Date is now: fetched just now, or the node's own Date";
                return (Verdict::Untold, why.to_owned());
            }
            let why = format!("Date: {} s before the answer", date.until(seen.answered).as_secs());
            compare(date.before(span), after(date, span), accepted_at, &why)
        }
        (Dated::ByDate, None, None) => (Verdict::Untold, "neither Age nor Date".to_owned()),
    }
}

/// Whether a node serves what its origin had replaced before the acceptance, and how that is known. `origin` is the
/// origin's own answer, asked for after the node's.
///
/// The origin says that its content was last changed before the acceptance, and the node's copy was last changed earlier
/// still: so it left the origin before that change. This holds where `Last-Modified` tells when content was changed *there*,
/// and one origin answers: not where it is set back by a copy of older files, or differs among machines.
#[must_use]
pub fn replaced(node: &Seen, origin: &Seen, accepted_at: UnixMillis, tolerance: Tolerance) -> Option<String> {
    let (Some(held), Some(changed)) = (node.modified, origin.modified) else { return None };
    // An error page has no version; what has the same tag is the same, whatever is said of its time.
    let comparable = node.status == 200 && origin.status == 200 && (node.tag.is_none() || node.tag != origin.tag);
    let latest = after(changed, tolerance.rounding.saturating_add(tolerance.clock_skew));
    let is_replaced = comparable && held < changed && latest <= accepted_at;
    is_replaced.then(|| {
        let (by, ago) = (held.until(changed).as_secs(), changed.until(accepted_at).as_secs());
        format!("Last-Modified {by} s before the origin's, which is {ago} s before the acceptance: an older version")
    })
}

/// What follows if the content left the origin between these two moments.
fn compare(earliest: UnixMillis, latest: UnixMillis, accepted_at: UnixMillis, why: &str) -> (Verdict, String) {
    if latest < accepted_at {
        let by = latest.until(accepted_at).as_millis();
        (Verdict::Older, format!("{why}: older than the acceptance by at least {by} ms"))
    } else if earliest >= accepted_at {
        (Verdict::Younger, why.to_owned())
    } else {
        (Verdict::Untold, format!("{why}: too close to the acceptance for whole seconds"))
    }
}

fn after(at: UnixMillis, span: Duration) -> UnixMillis {
    UnixMillis(at.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}

/// A position behind `after`, up to `upto`, by chance; `None` when there is none.
#[must_use]
pub fn pick(after: Seq, upto: Seq, random: u64) -> Option<Seq> {
    let choice = random.checked_rem(upto.distance_from(after))?;
    Some(after.plus(choice + 1))
}

/// How many nines of the looks that could be judged kept the promise: the negative decimal logarithm of the share that
/// did not. Where none broke it, as if the next one would: `n` looks without a fault claim no more than `log10(n + 1)`.
#[must_use]
pub fn nines(judged: u64, older: u64) -> f64 {
    // Counts beyond 2^53 would take longer than anything runs.
    let (judged, older) = (judged as f64, older as f64);
    // Of all looks a fault, not a nine is kept; never "-0".
    if older > 0.0 { (judged / older).log10().max(0.0) } else { (judged + 1.0).log10() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: UnixMillis = UnixMillis(1_700_000_000_000);
    const TOLERANCE: Tolerance = Tolerance { rounding: Duration::from_secs(2), clock_skew: Duration::from_secs(5) };

    /// An answer that came within 10 ms, so long after the acceptance.
    fn seen(after_ms: u64, age: Option<u64>, date_after_ms: Option<i64>) -> Seen {
        let at = |after: i64| UnixMillis(ACCEPTED.0.checked_add_signed(after).expect("small"));
        let asked = UnixMillis(ACCEPTED.0 + after_ms);
        let answered = UnixMillis(asked.0 + 10);
        let (date, varies) = (date_after_ms.map(at), Varies::No);
        Seen { status: 200, age, date, modified: None, tag: None, varies, asked, answered }
    }

    fn check(dated: Dated, seen: &Seen, expect: Verdict) {
        assert_eq!(judge(seen, ACCEPTED, dated, TOLERANCE).0, expect, "{seen:?}");
    }

    #[test]
    fn age_tells_whether_a_copy_is_older_than_the_acceptance() {
        let by_age = |after_ms, age, expect| check(Dated::ByAge, &seen(after_ms, age, Some(-90_000)), expect);
        by_age(60_000, Some(10), Verdict::Younger);
        by_age(60_000, Some(58), Verdict::Younger);
        by_age(60_000, Some(59), Verdict::Untold);
        by_age(60_000, Some(62), Verdict::Untold);
        by_age(60_000, Some(63), Verdict::Older);
        by_age(60_000, Some(u64::MAX), Verdict::Older);
        by_age(100, Some(0), Verdict::Untold);
        by_age(60_000, None, Verdict::NoCopy);
    }

    #[test]
    fn age_that_the_clock_of_an_origin_had_a_part_in_is_given_its_skew() {
        let by_age = |age, expect| check(Dated::ByApparentAge, &seen(60_000, Some(age), None), expect);
        by_age(53, Verdict::Younger);
        by_age(54, Verdict::Untold);
        by_age(67, Verdict::Untold);
        by_age(68, Verdict::Older);
    }

    #[test]
    fn date_tells_only_where_it_is_not_now() {
        let by_date = |after_ms, date, expect| check(Dated::ByDate, &seen(after_ms, None, date), expect);
        by_date(60_000, Some(59_000), Verdict::Untold);
        by_date(60_000, Some(70_000), Verdict::Untold);
        by_date(60_000, Some(20_000), Verdict::Younger);
        by_date(60_000, Some(6_000), Verdict::Untold);
        by_date(60_000, Some(-7_000), Verdict::Untold);
        by_date(60_000, Some(-7_001), Verdict::Older);
        by_date(60_000, None, Verdict::Untold);
        check(Dated::ByDate, &seen(60_000, Some(68), Some(59_000)), Verdict::Older);
    }

    #[test]
    fn failure_of_the_origin_tells_nothing() {
        check(Dated::ByAge, &Seen { status: 503, ..seen(60_000, Some(90), None) }, Verdict::Untold);
        check(Dated::ByAge, &Seen { status: 404, ..seen(60_000, Some(90), None) }, Verdict::Older);
    }

    /// A young copy that was last changed so many seconds before the acceptance, and what the origin says later.
    fn check_version(held: Option<u64>, changed: Option<u64>, tags: (Option<&str>, Option<&str>), expect: bool) {
        let version = |before: Option<u64>, tag: Option<&str>| {
            let modified = before.map(|before| UnixMillis(ACCEPTED.0 - before * 1_000));
            Seen { modified, tag: tag.map(Into::into), ..seen(60_000, Some(1), None) }
        };
        let (node, origin) = (version(held, tags.0), version(changed, tags.1));
        assert_eq!(replaced(&node, &origin, ACCEPTED, TOLERANCE).is_some(), expect, "{held:?} {changed:?} {tags:?}");
    }

    #[test]
    fn version_that_the_origin_had_replaced_before_the_acceptance_is_old_however_young_its_copy() {
        check_version(Some(100), Some(10), (None, None), true);
        check_version(Some(11), Some(10), (Some("a"), Some("b")), true);
        check_version(Some(11), Some(10), (None, Some("b")), true);
        check_version(Some(100), Some(7), (None, None), true);
    }

    #[test]
    fn version_is_not_taken_for_old_where_that_is_not_certain() {
        // The change may have come after the acceptance, by the origin's clock or for whole seconds.
        check_version(Some(100), Some(6), (None, None), false);
        check_version(Some(100), Some(0), (None, None), false);
        // The same version; a newer one than the origin tells, which was set back.
        check_version(Some(10), Some(10), (Some("a"), Some("b")), false);
        check_version(Some(10), Some(100), (None, None), false);
        check_version(Some(100), Some(10), (Some("a"), Some("a")), false);
        check_version(None, Some(10), (Some("a"), Some("b")), false);
        check_version(Some(100), None, (Some("a"), Some("b")), false);
        let (old, now) = (UnixMillis(ACCEPTED.0 - 100_000), UnixMillis(ACCEPTED.0 - 10_000));
        let [node, origin] = [old, now].map(|it| Seen { modified: Some(it), ..seen(60_000, Some(1), None) });
        for (of_node, of_origin) in [(404, 200), (200, 404), (200, 304)] {
            let node = Seen { status: of_node, ..node.clone() };
            let origin = Seen { status: of_origin, ..origin.clone() };
            assert_eq!(replaced(&node, &origin, ACCEPTED, TOLERANCE), None, "{of_node} {of_origin}");
        }
    }

    #[test]
    fn gravest_word_of_several_copies_counts() {
        let mut words = Verdict::ALL;
        words.sort_by_key(|it| it.gravity());
        assert_eq!(words, [Verdict::NoCopy, Verdict::Younger, Verdict::Untold, Verdict::Older]);
    }

    #[test]
    fn no_way_of_writing_whole_seconds_is_taken_for_a_fault_and_none_hides_one() {
        // Whatever the true moments are, in steps of 130 ms; the cache cuts off, rounds or rounds up.
        for asked_ms in (0..20_000u64).step_by(1_000) {
            for fetched_ms in (-10_000..=i64::try_from(asked_ms).expect("small")).step_by(130) {
                let age_ms = u64::try_from(i64::try_from(asked_ms).expect("small") - fetched_ms).expect("not negative");
                for age in [age_ms / 1_000, (age_ms + 500) / 1_000, age_ms.div_ceil(1_000)] {
                    let (verdict, _) = judge(&seen(asked_ms, Some(age), None), ACCEPTED, Dated::ByAge, TOLERANCE);
                    assert!(verdict != Verdict::Older || fetched_ms < 0, "{asked_ms} {fetched_ms} {age}");
                    assert!(verdict != Verdict::Younger || fetched_ms >= 0, "{asked_ms} {fetched_ms} {age}");
                    assert!(verdict == Verdict::Older || fetched_ms > -4_000, "{asked_ms} {fetched_ms} {age}");
                }
            }
        }
    }

    #[test]
    fn position_is_picked_among_those_that_are_new() {
        assert_eq!(pick(Seq(4), Seq(4), 7), None);
        assert_eq!(
            (0..3).map(|random| pick(Seq(4), Seq(7), random)).collect::<Vec<_>>(),
            [5, 6, 7].map(|it| Some(Seq(it)))
        );
    }

    #[test]
    fn nines_claim_no_more_than_was_looked_at() {
        let shown = |judged, older| format!("{:.2}", nines(judged, older));
        assert_eq!([shown(0, 0), shown(9, 0), shown(999, 0)], ["0.00", "1.00", "3.00"]);
        assert_eq!([shown(1_000, 1), shown(10, 10)], ["3.00", "0.00"]);
    }
}
