//! What every store with its log, and every purger, must do.
//!
//! What this is: one function for each rule; [`store_conformance!`](crate::store_conformance) makes
//! a test of each. What this is not: tests of one implementation's inside.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::area::{Area, AreaSet};
use catharsis_core::clock::UnixMillis;
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::ports::{Log, Membership, Purger, Store};
use catharsis_core::push::ports::PushStore;
use catharsis_core::receipt::{Outcome, Receipt, Settled};
use catharsis_core::target::{CacheUrl, Encode, Mode, Target};
use catharsis_core::task::TaskId;
use catharsis_core::topology::{FenceStrength, Node};

use crate::client::{Fetched, Source};

mod audits;
mod beside;
mod history;
mod nodes;
mod pushes;
mod tasks;

pub use self::audits::*;
pub use self::beside::*;
pub use self::history::*;
pub use self::nodes::*;
pub use self::pushes::*;
pub use self::tasks::*;

const MAINLAND: AreaSet = AreaSet::One(Area::Mainland);
const OVERSEAS: AreaSet = AreaSet::One(Area::Overseas);

/// A store with its log and its side for prefetches.
#[derive(Clone)]
pub struct Pair {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its log.
    pub log: Arc<dyn Log>,
    /// Its other side, for prefetches.
    pub pushes: Arc<dyn PushStore>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

/// How the suite gets the stores that it tests.
#[async_trait]
pub trait Fixture: Send {
    /// An empty store.
    async fn open(&mut self) -> Pair;
    /// The same store after an orderly end and a new start.
    async fn reopen(&mut self) -> Pair;
    /// Forgets tasks accepted before this.
    async fn prune(&mut self, before: UnixMillis);
}

/// Makes a test of each rule for stores. The argument makes a new [`Fixture`].
#[macro_export]
macro_rules! store_conformance {
    ($fixture:expr) => {
        $crate::store_conformance!(@each $fixture;
            accepted_task_is_read_back_as_it_was,
            positions_are_gapless_in_each_area,
            reader_that_waits_is_woken_and_finds_the_task,
            quota_is_charged_whole_or_not_at_all,
            quota_is_never_exceeded_by_calls_at_once,
            repeated_task_id_is_refused_and_costs_nothing,
            claim_is_kept_once_for_a_day,
            claims_at_once_make_one_task,
            notice_is_due_when_its_task_has_ended,
            notice_is_told_until_it_is_confirmed_or_given_up,
            records_change_whole_and_only_on_top_of_the_newest,
            directories_and_their_mode_are_read_back,
            new_node_begins_at_the_head_and_must_join_unless_the_log_is_empty,
            new_node_begins_where_the_slowest_of_its_area_is,
            node_that_has_forgotten_everything_is_a_member,
            drained_node_does_not_count_until_it_has_returned,
            node_whose_lease_has_ended_does_not_count_until_it_has_returned,
            new_node_begins_at_those_that_count_only,
            node_that_was_taken_out_is_new_when_it_comes_again_and_its_receipts_stay,
            node_that_moves_to_another_shield_begins_anew_and_counts_as_before,
            receipt_moves_the_cursor_once_however_often_it_comes,
            receipt_that_leaves_a_gap_is_an_error,
            receipts_are_found_by_the_positions_they_cover,
            audits_are_kept_once_and_go_with_their_positions,
            refused_item_fails_and_no_other,
            history_agrees_with_the_plainest_store,
            hostile_filters_find_nothing_and_break_nothing,
            other_account_sees_nothing,
            prefetch_is_open_at_each_node_until_that_ends_it,
            edge_fetches_only_what_its_shield_has_ended,
            prefetch_remembers_the_head_that_it_follows,
            prefetch_quota_is_used_to_the_last_unit_and_not_beyond,
            token_is_one_for_purges_and_prefetches,
            playlist_is_expanded_as_far_as_the_quota_goes_and_once,
            prefetch_history_agrees_with_the_plainest_store,
            prefetches_survive_a_restart_and_are_pruned,
            everything_survives_a_restart,
            pruned_log_says_so_and_goes_on
        );
    };
    (@each $fixture:expr; $($rule:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                $crate::conformance::$rule(&mut $fixture).await;
            }
        )+
    };
}

fn urls_of(batch: &[Invalidation]) -> Vec<String> {
    let text = |invalidation: &Invalidation| match invalidation.target.as_ref() {
        Target::Url(url) => url.to_string(),
        Target::Prefix(prefix) => prefix.to_string(),
        Target::Everything => "everything".to_owned(),
    };
    batch.iter().map(text).collect()
}

async fn submit(pair: &Pair, plan: catharsis_core::plan::Plan) -> TaskId {
    let id = plan.task.id.clone();
    pair.store.submit(plan).await.expect("within the quota");
    id
}

fn receipt(node: &Node, after: u64, outcomes: Vec<Settled>) -> Receipt {
    Receipt {
        node: node.id.clone(),
        area: node.area,
        after: Seq(after),
        outcomes,
        fence: FenceStrength::Bounded,
        waited: Duration::from_secs(45),
        attempts: 3,
        at: UnixMillis(1_700_000_100_000 + after),
    }
}

async fn cursor(pair: &Pair, node: &Node) -> (Seq, Membership) {
    let node = Arc::new(node.clone());
    let cursors = pair.store.cursors(&[node]).await.expect("readable");
    (cursors[0].seq, cursors[0].membership)
}

/// An invalidation of one URL, at a position.
///
/// # Panics
/// When it is no valid URL.
#[must_use]
pub fn invalidation(seq: u64, url: &str) -> Invalidation {
    let url = CacheUrl::parse(url, Encode::AsSubmitted).expect("a test's URL is valid");
    Invalidation {
        seq: Seq(seq),
        task: TaskId::new(UnixMillis(0), seq),
        target: Target::Url(url).into(),
        mode: Mode::Delete,
        accepted_at: UnixMillis(0),
    }
}

/// Whether the one outcome is that there was a copy, counted or not.
fn had_a_copy(outcomes: &[Outcome]) -> bool {
    matches!(outcomes, [Outcome::Applied | Outcome::AppliedTo(_)])
}

/// A purger purges: miss, hit, purge, miss; and says so when there is nothing.
///
/// `fetch` asks the cache for the URL, as a client would.
///
/// # Panics
/// When it does not.
pub async fn assert_purges<F>(purger: &dyn Purger, url: &str, mut fetch: impl FnMut() -> F)
where
    F: Future<Output = Fetched>,
{
    assert_eq!(fetch().await.source(), Source::Miss, "{url}: at first");
    assert_eq!(fetch().await.source(), Source::Hit, "{url}: kept");
    let purge = [invalidation(1, url)];
    assert!(had_a_copy(&purger.apply(&purge).await), "{url}: purge");
    assert_eq!(fetch().await.source(), Source::Miss, "{url}: gone");
    assert!(had_a_copy(&purger.apply(&purge).await), "{url}: again");
    // Not the same URL once more: Varnish counts a purged object until its expiry thread has taken it
    // away, so a purge right behind another may be told "Purged 1" again. Nothing is served from it.
    let never_kept = [invalidation(2, &format!("{url}?never-kept"))];
    assert_eq!(purger.apply(&never_kept).await, [Outcome::Absent], "{url}: nothing there");
}
