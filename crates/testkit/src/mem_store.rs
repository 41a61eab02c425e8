//! A store in memory.
//!
//! What this is: the plainest thing that keeps the port's word: one lock, no short cuts. So it serves as the oracle for
//! the real stores, and as the store of simulations, where it outlives the workers that "crash". Not: durable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::area::{Area, PerArea};
use catharsis_core::audit::Audit;
use catharsis_core::beginning::cursor_now;
use catharsis_core::clock::UnixMillis;
use catharsis_core::duty::Duty;
use catharsis_core::error::{ChangeError, StoreError, SubmitError};
use catharsis_core::history::{HistoryFilter, HistoryPage, HistoryQuery, HostScope, ItemRow, Keyword, TaskRecord};
use catharsis_core::invalidation::Seq;
use catharsis_core::level::Level;
use catharsis_core::limits::CLIENT_TOKEN_KEPT;
use catharsis_core::notice::{Notice, Told, Undelivered};
use catharsis_core::plan::{Claim, Plan, Toll};
use catharsis_core::ports::{Cursor, Membership, Store};
use catharsis_core::quota::{PerKind, QuotaDay, QuotaExceeded, check_quota};
use catharsis_core::receipt::{Receipt, Settled};
use catharsis_core::record::{Change, Record, RecordKey, Records};
use catharsis_core::status::{Refusals, StatusView};
use catharsis_core::target::CacheUrl;
use catharsis_core::task::{AccountId, TaskId};
use catharsis_core::topology::{Node, NodeId, Stay};
use tokio::sync::watch;

use crate::mem_log::MemLog;
use crate::mem_push::MemPush;

/// A store in memory. Clones share what they hold.
#[derive(Clone, Debug, Default)]
pub struct MemStore {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    state: Mutex<State>,
    pub(crate) heads: PerArea<Level<Seq>>,
    pub(crate) push_version: watch::Sender<u64>,
}

impl Default for Inner {
    fn default() -> Self {
        let heads = PerArea::from_fn(|_| Level::new(Seq::ZERO));
        Self { state: Mutex::default(), heads, push_version: watch::Sender::new(0) }
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) tasks: Vec<TaskRecord>,
    pub(crate) floors: PerArea<Seq>,
    pub(crate) used: HashMap<(AccountId, QuotaDay), PerKind<PerArea<u32>>>,
    pub(crate) pushes: Vec<MemPush>,
    claims: HashMap<(AccountId, Box<str>), Kept>,
    records: BTreeMap<RecordKey, Record>,
    generation: u64,
    notices: Vec<MemNotice>,
    cursors: HashMap<(NodeId, Area), Cursor>,
    /// How many names of stays were drawn.
    stays: u64,
    receipts: Vec<Receipt>,
    audits: Vec<Audit>,
}

/// What was accepted under a token.
#[derive(Debug)]
struct Kept {
    digest: [u8; 32],
    task: TaskId,
    at: UnixMillis,
}

#[derive(Debug)]
struct MemNotice {
    undelivered: Undelivered,
    accepted_at: UnixMillis,
    last: PerArea<Seq>,
}

impl State {
    pub(crate) fn claimed(
        &self,
        account: AccountId,
        claim: &Claim,
        since: UnixMillis,
    ) -> Result<Option<TaskId>, SubmitError> {
        match self.claims.get(&(account, claim.token.clone())).filter(|kept| kept.at >= since) {
            None => Ok(None),
            Some(kept) if kept.digest == claim.digest => Ok(Some(kept.task.clone())),
            Some(kept) => Err(SubmitError::TokenReused(kept.task.clone())),
        }
    }

    pub(crate) fn keep_claim(&mut self, account: AccountId, claim: &Claim, task: &TaskId, at: UnixMillis) {
        let kept = Kept { digest: claim.digest, task: task.clone(), at };
        self.claims.insert((account, claim.token.clone()), kept);
    }

    pub(crate) fn afford(&self, account: AccountId, toll: &Toll) -> Result<(), QuotaExceeded> {
        let used = self.used.get(&(account, toll.day)).copied().unwrap_or_default();
        check_quota(toll.kind, used.get(toll.kind), &toll.charge, &toll.quota)
    }

    pub(crate) fn charge(&mut self, account: AccountId, toll: &Toll) {
        let entry = self.used.entry((account, toll.day)).or_default().get_mut(toll.kind);
        for area in Area::ALL {
            *entry.get_mut(area) += *toll.charge.get(area);
        }
    }

    fn keep_beside(&mut self, plan: &Plan, heads: &PerArea<Seq>, counts: &PerArea<u64>) {
        let task = &plan.task;
        if let Some(claim) = &plan.claim {
            self.keep_claim(task.account, claim, &task.id, task.accepted_at);
        }
        for endpoint in &plan.notify {
            let notice =
                Notice { task: task.id.clone(), account: task.account, endpoint: endpoint.clone(), attempts: 0 };
            self.notices.push(MemNotice {
                undelivered: Undelivered { notice, again: Some(task.accepted_at), why: "".into() },
                accepted_at: task.accepted_at,
                last: PerArea::from_fn(|area| if *counts.get(area) > 0 { *heads.get(area) } else { Seq::ZERO }),
            });
        }
    }

    fn notice(&mut self, notice: &Notice) -> Option<usize> {
        let same = |it: &MemNotice| {
            let known = &it.undelivered.notice;
            known.task == notice.task && known.account == notice.account && known.endpoint == notice.endpoint
        };
        self.notices.iter().position(same)
    }
}

impl MemStore {
    /// An empty store and its log.
    #[must_use]
    pub fn new() -> (Self, MemLog) {
        let store = Self::default();
        let log = MemLog::of(&store);
        (store, log)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node's cursor, without creating one.
    #[must_use]
    pub fn cursor(&self, node: &NodeId, area: Area) -> Option<Cursor> {
        self.state().cursors.get(&(node.clone(), area)).cloned()
    }

    /// All receipts, oldest first.
    #[must_use]
    pub fn all_receipts(&self) -> Vec<Receipt> {
        self.state().receipts.clone()
    }

    /// Forgets the oldest tasks up to the first that was accepted at or after `before`, but never
    /// the newest; their part of the log is then truncated.
    pub fn prune(&self, before: UnixMillis) {
        let mut state = self.state();
        let old = |record: &TaskRecord| record.task.accepted_at < before;
        let keep_from =
            state.tasks.iter().take_while(|record| old(record)).count().min(state.tasks.len().saturating_sub(1));
        let gone: Vec<TaskRecord> = state.tasks.drain(..keep_from).collect();
        for record in &gone {
            for area in Area::ALL {
                if let Some((last, _)) = record.positions(area).last() {
                    let floor = state.floors.get_mut(area);
                    *floor = last.max(*floor);
                }
            }
        }
        let floors = state.floors;
        state.receipts.retain(|receipt| receipt.cursor() > *floors.get(receipt.area));
        state.audits.retain(|audit| audit.seq > *floors.get(audit.area));
        state.pushes.retain(|push| push.accepted_at >= before);
        let day = QuotaDay::of(before);
        state.used.retain(|(_, used_on), _| *used_on >= day);
    }
}

#[async_trait]
impl Store for MemStore {
    async fn submit(&self, plan: Plan) -> Result<TaskId, SubmitError> {
        let id;
        let heads = {
            let mut state = self.state();
            if let Some(claim) = &plan.claim {
                let since = plan.task.accepted_at.before(CLIENT_TOKEN_KEPT);
                if let Some(first) = state.claimed(plan.task.account, claim, since)? {
                    return Ok(first);
                }
            }
            state.afford(plan.task.account, &plan.toll)?;
            if state.tasks.iter().any(|old| old.task.id == plan.task.id) {
                return Err(StoreError::Io("a task with this id exists already".to_owned()).into());
            }
            let heads = PerArea::from_fn(|area| *self.inner.heads.get(area).borrow());
            let count = |area: Area| {
                let there = plan.task.items.iter().filter(|item| item.areas.contains(area));
                there.count() as u64
            };
            let first = PerArea::from_fn(|area| (count(area) > 0).then(|| heads.get(area).plus(1)));
            let heads = PerArea::from_fn(|area| heads.get(area).plus(count(area)));
            state.charge(plan.task.account, &plan.toll);
            let counts = PerArea::from_fn(count);
            state.keep_beside(&plan, &heads, &counts);
            id = plan.task.id.clone();
            state.tasks.push(TaskRecord { task: plan.task, first });
            // Announced under the lock: the next submission counts on from here.
            for area in Area::ALL {
                self.inner.heads.get(area).send_modify(|head| *head = *heads.get(area));
            }
            heads
        };
        debug_assert!(heads.mainland.0 + heads.overseas.0 > 0, "a task has an item");
        Ok(id)
    }

    async fn claimed(
        &self,
        account: AccountId,
        claim: &Claim,
        since: UnixMillis,
    ) -> Result<Option<TaskId>, SubmitError> {
        self.state().claimed(account, claim, since)
    }

    async fn records(&self) -> Result<Records, StoreError> {
        let state = self.state();
        Ok(Records { generation: state.generation, all: state.records.values().cloned().collect() })
    }

    async fn change(&self, generation: u64, changes: Vec<Change>) -> Result<u64, ChangeError> {
        let mut state = self.state();
        if state.generation != generation {
            return Err(ChangeError::Outdated);
        }
        for change in changes {
            match change {
                Change::Put(record) => state.records.insert(record.key.clone(), record),
                Change::Delete(key) => state.records.remove(&key),
            };
        }
        state.generation += 1;
        Ok(state.generation)
    }

    async fn notices_due(&self, view: StatusView, max: u32) -> Result<Vec<Notice>, StoreError> {
        let state = self.state();
        let overdue = view.now.before(view.fail_after);
        let ended = |it: &&MemNotice| {
            Area::ALL.into_iter().all(|area| it.last.get(area) <= view.watermark.get(area)) || it.accepted_at < overdue
        };
        let due = |it: &MemNotice| it.undelivered.again.filter(|at| *at <= view.now);
        let mut found: Vec<_> =
            state.notices.iter().filter(ended).filter_map(|it| Some((due(it)?, &it.undelivered.notice))).collect();
        found.sort_by_key(|(at, _)| *at);
        Ok(found.into_iter().take(max as usize).map(|(_, notice)| notice.clone()).collect())
    }

    async fn told(&self, notice: &Notice, told: Told) -> Result<(), StoreError> {
        let mut state = self.state();
        let Some(place) = state.notice(notice) else { return Ok(()) };
        let (again, why) = match told {
            Told::Confirmed => {
                state.notices.remove(place);
                return Ok(());
            }
            Told::Again { at, why } => (Some(at), why),
            Told::GaveUp { why } => (None, why),
        };
        let notice = Notice { attempts: notice.attempts + 1, ..notice.clone() };
        state.notices[place].undelivered = Undelivered { notice, again, why };
        Ok(())
    }

    async fn undelivered(&self, account: AccountId, endpoint: &str, max: u32) -> Result<Vec<Undelivered>, StoreError> {
        let state = self.state();
        let wanted = |it: &&Undelivered| {
            it.notice.account == account && *it.notice.endpoint == *endpoint && it.notice.attempts > 0
        };
        let all = state.notices.iter().rev().map(|it| &it.undelivered);
        Ok(all.filter(wanted).take(max as usize).cloned().collect())
    }

    async fn quota_used(&self, account: AccountId, day: QuotaDay) -> Result<PerKind<PerArea<u32>>, StoreError> {
        let state = self.state();
        Ok(state.used.get(&(account, day)).copied().unwrap_or_default())
    }

    async fn history(&self, query: HistoryQuery) -> Result<HistoryPage, StoreError> {
        let state = self.state();
        let refused: HashSet<(Area, Seq)> = refusals(&state.receipts);
        let mut newest_first: Vec<&TaskRecord> = state.tasks.iter().rev().collect();
        // Stable: tasks of one moment stay newest first.
        newest_first.sort_by_key(|record| std::cmp::Reverse(record.task.accepted_at));
        let rows: Vec<ItemRow> = newest_first
            .into_iter()
            .filter(|record| keeps_task(&query.filter, record))
            .flat_map(|record| rows(&query, record, &refused))
            .collect();
        let offset = usize::try_from(query.offset).unwrap_or(usize::MAX);
        Ok(HistoryPage {
            total: rows.len() as u64,
            rows: rows.into_iter().skip(offset).take(query.limit as usize).collect(),
        })
    }

    async fn task(&self, account: AccountId, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        let state = self.state();
        let found = state.tasks.iter().find(|record| record.task.account == account && record.task.id == *id);
        Ok(found.cloned())
    }

    async fn account_of(&self, id: &TaskId) -> Result<Option<AccountId>, StoreError> {
        let state = self.state();
        let found = state.tasks.iter().find(|record| record.task.id == *id);
        Ok(found.map(|record| record.task.account))
    }

    async fn receipts(&self, area: Area, first: Seq, last: Seq) -> Result<Vec<Receipt>, StoreError> {
        let state = self.state();
        let covers = |receipt: &&Receipt| receipt.area == area && receipt.after < last && receipt.cursor() >= first;
        let mut found: Vec<Receipt> = state.receipts.iter().filter(covers).cloned().collect();
        found.sort_by_key(|receipt| (receipt.at, receipt.after, receipt.node.clone()));
        Ok(found)
    }

    async fn keep_audit(&self, audit: Audit) -> Result<(), StoreError> {
        let mut state = self.state();
        let place = |it: &Audit| (it.area, it.seq, it.node.clone(), it.at);
        if !state.audits.iter().any(|kept| place(kept) == place(&audit)) {
            state.audits.push(audit);
        }
        Ok(())
    }

    async fn audits(&self, area: Area, first: Seq, last: Seq) -> Result<Vec<Audit>, StoreError> {
        let state = self.state();
        let asked = |audit: &&Audit| audit.area == area && (first..=last).contains(&audit.seq);
        let mut found: Vec<Audit> = state.audits.iter().filter(asked).cloned().collect();
        found.sort_by_key(|audit| (audit.at, audit.seq, audit.node.clone()));
        Ok(found)
    }

    async fn cursors(&self, nodes: &[Arc<Node>]) -> Result<Vec<Cursor>, StoreError> {
        let mut state = self.state();
        let known: Vec<Option<Cursor>> =
            nodes.iter().map(|node| state.cursors.get(&(node.id.clone(), node.area)).cloned()).collect();
        let mut cursors = Vec::with_capacity(nodes.len());
        for (node, cursor) in nodes.iter().zip(&known) {
            let others =
                nodes.iter().zip(&known).filter_map(|(it, known)| known.as_ref().filter(|_| it.area == node.area));
            let head = *self.inner.heads.get(node.area).borrow();
            state.stays += 1;
            cursors.push(cursor_now(node, cursor.as_ref(), others, head, Stay(state.stays)));
            state.cursors.extend(cursors.last().map(|now| ((node.id.clone(), node.area), now.clone())));
        }
        Ok(cursors)
    }

    async fn forget_others(&self, nodes: &[Arc<Node>]) -> Result<Vec<NodeId>, StoreError> {
        let mut state = self.state();
        let stays = |(id, area): &(NodeId, Area)| nodes.iter().any(|node| node.id == *id && node.area == *area);
        let gone: Vec<_> = state.cursors.keys().filter(|key| !stays(key)).cloned().collect();
        for key in &gone {
            state.cursors.remove(key);
        }
        Ok(gone.into_iter().map(|(id, _)| id).collect())
    }

    async fn returned(&self, node: &NodeId, area: Area) -> Result<(), StoreError> {
        if let Some(cursor) = self.state().cursors.get_mut(&(node.clone(), area)) {
            cursor.duty = Duty::Counts;
        }
        Ok(())
    }

    async fn leased(&self, node: &NodeId, area: Area, lease: Option<Duration>) -> Result<(), StoreError> {
        if let Some(cursor) = self.state().cursors.get_mut(&(node.clone(), area)) {
            cursor.lease = lease;
        }
        Ok(())
    }

    async fn lapsed(&self, node: &NodeId, area: Area) -> Result<(), StoreError> {
        if let Some(cursor) = self.state().cursors.get_mut(&(node.clone(), area)) {
            cursor.duty = cursor.duty.lapsed();
        }
        Ok(())
    }

    async fn joined(&self, node: &NodeId, area: Area, cursor: Seq) -> Result<(), StoreError> {
        let mut state = self.state();
        let entry = state.cursors.entry((node.clone(), area)).or_insert_with(|| unknown(node));
        entry.seq = entry.seq.max(cursor);
        entry.membership = Membership::Member;
        Ok(())
    }

    async fn advance(&self, receipt: Receipt) -> Result<(), StoreError> {
        let mut state = self.state();
        let key = (receipt.node.clone(), receipt.area);
        let entry = state.cursors.entry(key).or_insert_with(|| unknown(&receipt.node));
        if receipt.after < entry.seq {
            return Ok(());
        }
        if receipt.after > entry.seq {
            return Err(StoreError::Corrupt("a receipt leaves a gap".to_owned()));
        }
        entry.seq = receipt.cursor();
        entry.last_receipt = Some(receipt.at);
        state.receipts.push(receipt);
        Ok(())
    }
}

/// The cursor of a node that nobody asked for before.
fn unknown(node: &NodeId) -> Cursor {
    Cursor {
        node: node.clone(),
        seq: Seq::ZERO,
        membership: Membership::Joining,
        duty: Duty::Counts,
        last_receipt: None,
        lease: None,
        shield: None,
        stay: None,
    }
}

fn refusals(receipts: &[Receipt]) -> HashSet<(Area, Seq)> {
    let of = |receipt: &Receipt| {
        let (area, after) = (receipt.area, receipt.after);
        let refused = receipt
            .outcomes
            .iter()
            .zip(1u64..)
            .filter(|(outcome, _)| matches!(outcome, Settled::Refused(_)))
            .map(|(_, place)| (area, after.plus(place)));
        refused.collect::<Vec<_>>()
    };
    receipts.iter().flat_map(of).collect()
}

fn keeps_task(filter: &HistoryFilter, record: &TaskRecord) -> bool {
    let task = &record.task;
    task.account == filter.account
        && filter.task.as_ref().is_none_or(|id| *id == task.id)
        && filter.kind.is_none_or(|kind| kind == task.kind)
        && filter.from.is_none_or(|from| task.accepted_at >= from)
        && filter.to.is_none_or(|to| task.accepted_at <= to)
}

fn rows(query: &HistoryQuery, record: &TaskRecord, refused: &HashSet<(Area, Seq)>) -> Vec<ItemRow> {
    let mut positions: Vec<Vec<(Area, Seq)>> = vec![Vec::new(); record.task.items.len()];
    for area in Area::ALL {
        for (seq, index) in record.positions(area) {
            positions[index].push((area, seq));
        }
    }
    let mut rows = Vec::new();
    for (item, positions) in record.task.items.iter().zip(positions) {
        let fits_area = query.filter.areas.is_none_or(|wanted| wanted.keeps(item.areas));
        let fits_host = query.filter.hosts == HostScope::All
            || CacheUrl::parse(&item.url, record.task.encode)
                .is_ok_and(|url| query.filter.hosts.allows(url.host().as_str()));
        let fits_keyword = query.filter.keyword.as_ref().is_none_or(|wanted| match wanted {
            Keyword::Host(host) => CacheUrl::parse(&item.url, record.task.encode).is_ok_and(|url| url.host() == host),
            Keyword::Url(url) => *url == item.url,
        });
        let refusals =
            if positions.iter().any(|place| refused.contains(place)) { Refusals::Some } else { Refusals::None };
        let status = query.view.item(positions, record.task.accepted_at, refusals);
        if fits_area && fits_host && fits_keyword && query.filter.status.is_none_or(|wanted| wanted == status) {
            rows.push(ItemRow {
                task: record.task.id.clone(),
                kind: record.task.kind,
                mode: record.task.mode,
                url: item.url.clone(),
                status,
                accepted_at: record.task.accepted_at,
            });
        }
    }
    rows
}
