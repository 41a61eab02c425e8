//! Merging the invalidations of a batch (pure).
//!
//! What this is: [`coalesce`], which finds the orders in a batch that say it all, and the way back
//! from their outcomes to one outcome for each invalidation.
//!
//! Invariant: every invalidation of the batch is represented by one that forgets at least as much
//! and stands at the same position of the log or a later one. The position matters to a node that
//! fences by it: a copy fetched between two purges of a URL is older than the second only.

use std::collections::HashMap;

use crate::invalidation::Invalidation;
use crate::target::{CachePrefix, CacheUrl, HostName, Mode, Scheme, Target, prefix_covers};

/// A batch without repetitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coalesced {
    /// Positions in the batch of the invalidations to send, ascending.
    pub distinct: Vec<usize>,
    /// For each invalidation of the batch, its representative: an index into `distinct`.
    pub stands_for: Vec<usize>,
}

impl Coalesced {
    /// A batch that is sent as it is, with all its repetitions.
    #[must_use]
    pub fn each(batch: &[Invalidation]) -> Self {
        let all: Vec<usize> = (0..batch.len()).collect();
        Self { distinct: all.clone(), stands_for: all }
    }
}

/// Merges invalidations of one target, and drops those of URLs at or below a directory of the same scheme
/// that is purged later. `Delete` stands for `Expire` too, never the other way round.
///
/// So a directory may stand for URLs: a node that refuses it must be told of those by themselves.
#[must_use]
pub fn coalesce(batch: &[Invalidation]) -> Coalesced {
    let mut newest: HashMap<&Target, Newest> = HashMap::with_capacity(batch.len());
    for (at, invalidation) in batch.iter().enumerate() {
        newest.entry(invalidation.target.as_ref()).or_default().note(batch, at);
    }
    let of_its_target = |at: usize| newest.get(batch[at].target.as_ref()).map_or(at, |it| it.representative(batch, at));
    let mut sent: Vec<usize> = (0..batch.len()).map(of_its_target).collect();
    for (url, directory) in covered(batch, &sent) {
        sent[url] = directory;
    }
    // Two steps at most: to the one of its own target, and from there to a directory.
    let sent: Vec<usize> = sent.iter().map(|at| sent[*at]).collect();
    let mut distinct = sent.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let place = |at: &usize| distinct.partition_point(|it| it < at);
    Coalesced { stands_for: sent.iter().map(place).collect(), distinct }
}

/// Positions in the batch of the newest invalidations of one target.
#[derive(Clone, Copy, Default)]
struct Newest {
    delete: Option<usize>,
    expire: Option<usize>,
}

impl Newest {
    fn note(&mut self, batch: &[Invalidation], at: usize) {
        let place = match batch[at].mode {
            Mode::Delete => &mut self.delete,
            Mode::Expire => &mut self.expire,
        };
        if place.is_none_or(|known| batch[at].seq > batch[known].seq) {
            *place = Some(at);
        }
    }

    fn representative(self, batch: &[Invalidation], at: usize) -> usize {
        let stands = |candidate: &usize| is_no_weaker(&batch[*candidate], &batch[at]);
        self.delete.filter(stands).or(self.expire.filter(stands)).unwrap_or(at)
    }
}

/// Whether an invalidation has at least the strength of `one` and is not before it. What they name
/// is not compared.
fn is_no_weaker(it: &Invalidation, one: &Invalidation) -> bool {
    let mode = match it.mode {
        Mode::Delete => true,
        Mode::Expire => one.mode == Mode::Expire,
    };
    mode && it.seq >= one.seq
}

/// What is purged of one host: directories before URLs of the same path.
#[derive(Clone, Copy)]
enum Named<'a> {
    Directory(&'a CachePrefix),
    Url(&'a CacheUrl),
}

/// One invalidation: the first spelling of its path, what it names, its position in the batch.
type Ordered<'a> = (String, Named<'a>, usize);

/// The URLs among `sent` for which a directory among them stands, each with that directory.
fn covered(batch: &[Invalidation], sent: &[usize]) -> Vec<(usize, usize)> {
    // By scheme too: where the rules of a domain tell schemes apart, a directory of one leaves the other.
    let mut hosts: HashMap<(Scheme, &HostName, Option<u16>), Vec<Ordered<'_>>> = HashMap::new();
    let own = || sent.iter().enumerate().filter(|(at, representative)| at == *representative).map(|(at, _)| at);
    for at in own() {
        if let Target::Prefix(it) = batch[at].target.as_ref() {
            let host = hosts.entry((it.scheme(), it.host(), it.port())).or_default();
            host.push((it.encoded_path().into_owned(), Named::Directory(it), at));
        }
    }
    // The common batch names no directory.
    if hosts.is_empty() {
        return Vec::new();
    }
    for at in own() {
        if let Target::Url(it) = batch[at].target.as_ref()
            && let Some(host) = hosts.get_mut(&(it.scheme(), it.host(), it.port()))
        {
            host.push((it.encoded_path().into_owned(), Named::Url(it), at));
        }
    }
    hosts.into_values().flat_map(|host| covered_of_host(batch, host)).collect()
}

/// In the order of their bytes, all paths that begin with a directory follow it without a gap. So
/// one walk finds them, with the directories on a stack that the present path begins with.
fn covered_of_host(batch: &[Invalidation], mut host: Vec<Ordered<'_>>) -> Vec<(usize, usize)> {
    host.sort_by(|(a, a_named, _), (b, b_named, _)| {
        let rank = |named: &Named<'_>| match named {
            Named::Directory(_) => 0,
            Named::Url(_) => 1,
        };
        (a, rank(a_named)).cmp(&(b, rank(b_named)))
    });
    let mut found = Vec::new();
    let mut open: Vec<(&str, &CachePrefix, usize)> = Vec::new();
    for (path, named, at) in &host {
        while open.last().is_some_and(|(start, ..)| !path.starts_with(start)) {
            open.pop();
        }
        match named {
            Named::Directory(directory) => open.push((path, directory, *at)),
            Named::Url(url) => {
                let stands = |(start, directory, order): &&(&str, &CachePrefix, usize)| {
                    // The first spellings tell it cheaply; only `covers` knows of raw ones.
                    is_no_weaker(&batch[*order], &batch[*at]) && prefix_covers(start, path) && directory.covers(url)
                };
                found.extend(open.iter().find(stands).map(|(.., order)| (*at, *order)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::UnixMillis;
    use crate::invalidation::Seq;
    use crate::target::Encode;
    use crate::task::TaskId;

    fn invalidation(seq: u64, target: Target, mode: Mode) -> Invalidation {
        let task = TaskId::new(UnixMillis(0), 0);
        Invalidation { seq: Seq(seq), task, target: Arc::new(target), mode, accepted_at: UnixMillis(0) }
    }

    fn url(text: &str) -> Target {
        Target::Url(CacheUrl::parse(text, Encode::AsSubmitted).expect("a valid URL"))
    }

    fn prefix(text: &str) -> Target {
        Target::Prefix(CachePrefix::parse(text, Encode::AsSubmitted).expect("a valid directory"))
    }

    /// The positions sent of a batch whose positions in the log are 1, 2, ...
    fn sent(batch: &[(Target, Mode)]) -> Vec<usize> {
        let one = |((target, mode), seq): (&(Target, Mode), u64)| invalidation(seq, target.clone(), *mode);
        coalesce(&batch.iter().zip(1..).map(one).collect::<Vec<_>>()).distinct
    }

    #[test]
    fn directory_stands_for_earlier_urls_below_it_only() {
        use Mode::{Delete, Expire};
        let (below, beside) = (url("http://a.test/img/x?q"), url("http://a.test/img2"));
        let directory = prefix("http://a.test/img");
        assert_eq!(sent(&[(below.clone(), Delete), (beside, Delete), (directory.clone(), Delete)]), [1, 2]);
        assert_eq!(sent(&[(below.clone(), Expire), (directory.clone(), Delete)]), [1]);
        assert_eq!(sent(&[(below.clone(), Expire), (directory.clone(), Expire)]), [1]);
        assert_eq!(sent(&[(below.clone(), Delete), (directory.clone(), Expire)]), [0, 1], "weaker");
        assert_eq!(sent(&[(directory.clone(), Delete), (below, Delete)]), [0, 1], "before it");
        assert_eq!(sent(&[(url("http://a.test:8080/img"), Delete), (directory.clone(), Delete)]), [0, 1]);
        assert_eq!(sent(&[(url("http://b.test/img"), Delete), (directory.clone(), Delete)]), [0, 1]);
        assert_eq!(sent(&[(url("https://a.test/img/x"), Delete), (directory, Delete)]), [0, 1], "another scheme");
    }

    #[test]
    fn later_purge_of_a_url_is_not_merged_into_an_earlier_one() {
        use Mode::{Delete, Expire};
        let one = url("http://a.test/");
        assert_eq!(sent(&[(one.clone(), Expire), (one.clone(), Expire)]), [1]);
        assert_eq!(sent(&[(one.clone(), Expire), (one.clone(), Delete)]), [1]);
        assert_eq!(sent(&[(one.clone(), Delete), (one, Expire)]), [0, 1]);
    }

    fn target() -> impl Strategy<Value = Target> {
        let host = prop_oneof![4 => Just("a.test"), 1 => Just("b.test"), 1 => Just("a.test:8080")];
        let path = (host, "(/[ab中]{0,2}){1,3}").prop_map(|(host, path)| format!("http://{host}{path}"));
        prop_oneof![
            4 => (path.clone(), "(\\?[a/]{0,2})?").prop_map(|(path, query)| url(&format!("{path}{query}"))),
            2 => path.prop_map(|path| prefix(&path)),
            1 => Just(Target::Everything),
        ]
    }

    /// Whether whatever `one` forgets `it` forgets too, and no earlier.
    fn does_for(it: &Invalidation, one: &Invalidation) -> bool {
        let names_it = it.target == one.target
            || matches!((&*it.target, &*one.target), (Target::Prefix(it), Target::Url(one)) if it.covers(one));
        names_it && it.seq >= one.seq && (it.mode == Mode::Delete || one.mode == Mode::Expire)
    }

    proptest! {
        #[test]
        fn every_invalidation_is_represented_by_an_equal_or_stronger_one(
            list in prop::collection::vec((target(), any::<bool>(), 1u64..30), 0..40)
        ) {
            let mode = |delete: bool| if delete { Mode::Delete } else { Mode::Expire };
            let batch: Vec<_> =
                list.into_iter().map(|(target, delete, seq)| invalidation(seq, target, mode(delete))).collect();
            let merged = coalesce(&batch);
            prop_assert_eq!(merged.stands_for.len(), batch.len());
            prop_assert!(merged.distinct.is_sorted_by(|a, b| a < b));
            for (one, place) in batch.iter().zip(&merged.stands_for) {
                prop_assert!(does_for(&batch[merged.distinct[*place]], one));
            }
            // Nothing is sent for which another one that is sent would do.
            for at in &merged.distinct {
                let needless = |other: &&usize| *other != at && does_for(&batch[**other], &batch[*at]);
                prop_assert!(!merged.distinct.iter().any(|other| needless(&other)));
            }
            let used: HashSet<_> = merged.stands_for.iter().collect();
            prop_assert_eq!(used.len(), merged.distinct.len());
        }
    }
}
