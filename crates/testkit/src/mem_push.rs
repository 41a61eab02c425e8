//! Prefetches in the store in memory.
//!
//! What this is: the port `PushStore` of [`MemStore`], as plain as its other half: the oracle of the real
//! stores. What this is not: durable, or quick.

use std::sync::Arc;

use async_trait::async_trait;
use catharsis_core::area::{Area, AreaSet, PerArea};
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::{StoreError, SubmitError};
use catharsis_core::invalidation::Seq;
use catharsis_core::limits::CLIENT_TOKEN_KEPT;
use catharsis_core::push::ports::{PushPage, PushQuery, PushRow, PushStore};
use catharsis_core::push::status::Tally;
use catharsis_core::push::{EndedFetch, FetchEnd, Found, How, OpenFetch, PushItemId, PushPlan};
use catharsis_core::quota::QuotaKind;
use catharsis_core::target::CacheUrl;
use catharsis_core::task::{AccountId, TaskId};
use catharsis_core::topology::NodeId;

use crate::mem_store::{MemStore, State};

/// A task with its items and their fetches.
#[derive(Clone, Debug)]
pub(crate) struct MemPush {
    id: TaskId,
    account: AccountId,
    pub(crate) accepted_at: UnixMillis,
    heads: PerArea<Seq>,
    how: Arc<How>,
    items: Vec<MemItem>,
}

#[derive(Clone, Debug)]
struct MemItem {
    id: PushItemId,
    url: Box<str>,
    areas: AreaSet,
    level: u8,
    fetches: Vec<MemFetch>,
}

#[derive(Clone, Debug)]
struct MemFetch {
    area: Area,
    node: NodeId,
    shield: Option<NodeId>,
    ended: Option<(FetchEnd, UnixMillis)>,
}

impl MemItem {
    fn is_open_at(&self, node: &NodeId) -> bool {
        self.fetches.iter().any(|fetch| fetch.node == *node && fetch.ended.is_none())
    }

    /// The node's fetch, if it may begin.
    fn waiting(&self, node: &NodeId) -> Option<&MemFetch> {
        let fetch = self.fetches.iter().find(|fetch| fetch.node == *node && fetch.ended.is_none())?;
        let above = fetch.shield.as_ref().is_some_and(|shield| self.is_open_at(shield));
        (!above).then_some(fetch)
    }

    fn tally(&self) -> Tally {
        let served = |area: &Area| self.fetches.iter().any(|fetch| fetch.area == *area);
        let without = self.areas.iter().filter(|area| !served(area)).count();
        let mut tally = Tally { without_node: u32::try_from(without).expect("two at most"), ..Tally::default() };
        for fetch in &self.fetches {
            match &fetch.ended {
                None => tally.open += 1,
                Some((end, _)) => tally.count(end),
            }
        }
        tally
    }

    fn why(&self) -> Option<Box<str>> {
        let mut reasons: Vec<(&NodeId, String)> = self.fetches.iter().filter_map(reason).collect();
        reasons.sort();
        reasons.into_iter().next().map(|(_, why)| why.into())
    }
}

fn reason(fetch: &MemFetch) -> Option<(&NodeId, String)> {
    let (end, _) = fetch.ended.as_ref()?;
    end.reason().map(|why| (&fetch.node, format!("{}: {why}", fetch.node)))
}

impl State {
    fn next_push_item(&self) -> u64 {
        let newest = self.pushes.iter().flat_map(|push| &push.items).map(|item| item.id.0).max();
        newest.unwrap_or(0) + 1
    }

    /// Appends what the quota allows and charges it.
    fn append(&mut self, task: usize, parent: &MemItem, found: Found) {
        let account = self.pushes[task].account;
        for url in found.urls {
            if self.pushes[task].items.iter().any(|item| item.url == url) {
                continue;
            }
            let used = self.used.entry((account, found.day)).or_default().get_mut(QuotaKind::Push);
            if parent.areas.iter().any(|area| used.get(area) >= found.quota.get(area)) {
                return;
            }
            parent.areas.iter().for_each(|area| *used.get_mut(area) += 1);
            let fetches = parent.fetches.iter().map(|fetch| MemFetch { ended: None, ..fetch.clone() }).collect();
            let id = PushItemId(self.next_push_item());
            let item = MemItem { id, url, areas: parent.areas, level: parent.level + 1, fetches };
            self.pushes[task].items.push(item);
        }
    }
}

#[async_trait]
impl PushStore for MemStore {
    async fn submit_push(&self, plan: PushPlan) -> Result<TaskId, SubmitError> {
        let id = {
            let mut state = self.state();
            let task = &plan.task;
            if let Some(claim) = &plan.claim {
                let since = task.accepted_at.before(CLIENT_TOKEN_KEPT);
                if let Some(first) = state.claimed(task.account, claim, since)? {
                    return Ok(first);
                }
            }
            state.afford(task.account, &plan.toll)?;
            if state.pushes.iter().any(|old| old.id == task.id) {
                return Err(StoreError::Io("a task with this id exists already".to_owned()).into());
            }
            state.charge(task.account, &plan.toll);
            if let Some(claim) = &plan.claim {
                state.keep_claim(task.account, claim, &task.id, task.accepted_at);
            }
            let first = state.next_push_item();
            let items = task.items.iter().zip(first..).map(|(item, id)| {
                let fetch = |(area, expected): (Area, &catharsis_core::push::Expected)| MemFetch {
                    area,
                    node: expected.node.clone(),
                    shield: expected.shield.clone(),
                    ended: None,
                };
                MemItem {
                    id: PushItemId(id),
                    url: item.url.clone(),
                    areas: item.areas,
                    level: item.level,
                    fetches: plan.expected_of(item).map(fetch).collect(),
                }
            });
            let push = MemPush {
                id: task.id.clone(),
                account: task.account,
                accepted_at: task.accepted_at,
                heads: PerArea::from_fn(|area| *self.inner.heads.get(area).borrow()),
                how: Arc::clone(&task.how),
                items: items.collect(),
            };
            state.pushes.push(push);
            task.id.clone()
        };
        self.inner.push_version.send_modify(|version| *version += 1);
        Ok(id)
    }

    fn push_version(&self) -> u64 {
        *self.inner.push_version.borrow()
    }

    async fn push_beyond(&self, after: u64) {
        let mut versions = self.inner.push_version.subscribe();
        let moved = versions.wait_for(|version| *version > after).await;
        assert!(moved.is_ok(), "the sender lives in the store, which lives in self");
    }

    async fn open_fetches(
        &self,
        node: &NodeId,
        without: &[AccountId],
        max: usize,
    ) -> Result<Vec<OpenFetch>, StoreError> {
        let state = self.state();
        let mut open = Vec::new();
        for push in state.pushes.iter().filter(|push| !without.contains(&push.account)) {
            for item in &push.items {
                let Some(fetch) = item.waiting(node) else { continue };
                open.push(OpenFetch {
                    item: item.id,
                    task: push.id.clone(),
                    account: push.account,
                    accepted_at: push.accepted_at,
                    head: *push.heads.get(fetch.area),
                    how: Arc::clone(&push.how),
                    url: item.url.clone(),
                    areas: item.areas,
                    level: item.level,
                });
            }
        }
        open.sort_by_key(|fetch| fetch.item);
        open.truncate(max);
        Ok(open)
    }

    async fn end_fetch(&self, ended: EndedFetch) -> Result<(), StoreError> {
        {
            let mut state = self.state();
            let has = |push: &MemPush| push.items.iter().position(|item| item.id == ended.item);
            let Some((task, place)) = state.pushes.iter().enumerate().find_map(|(task, push)| Some((task, has(push)?)))
            else {
                return Ok(());
            };
            let fetches = &mut state.pushes[task].items[place].fetches;
            let Some(fetch) = fetches.iter_mut().find(|fetch| fetch.node == ended.node && fetch.ended.is_none()) else {
                return Ok(());
            };
            fetch.ended = Some((ended.end, ended.at));
            if let Some(found) = ended.found {
                let parent = state.pushes[task].items[place].clone();
                state.append(task, &parent, found);
            }
        }
        self.inner.push_version.send_modify(|version| *version += 1);
        Ok(())
    }

    async fn pushes(&self, query: PushQuery) -> Result<PushPage, StoreError> {
        let state = self.state();
        let filter = &query.filter;
        let mut newest_first: Vec<&MemPush> = state.pushes.iter().rev().collect();
        // Stable: tasks of one moment stay newest first.
        newest_first.sort_by_key(|push| std::cmp::Reverse(push.accepted_at));
        let keeps = |push: &&&MemPush| {
            push.account == filter.account
                && filter.task.as_ref().is_none_or(|id| *id == push.id)
                && filter.from.is_none_or(|from| push.accepted_at >= from)
                && filter.to.is_none_or(|to| push.accepted_at <= to)
        };
        let all = newest_first.iter().filter(keeps).flat_map(|push| rows(&query, push));
        let rows: Vec<PushRow> = all.collect();
        let offset = usize::try_from(query.offset).unwrap_or(usize::MAX);
        Ok(PushPage {
            total: rows.len() as u64,
            rows: rows.into_iter().skip(offset).take(query.limit as usize).collect(),
        })
    }
}

fn rows(query: &PushQuery, push: &MemPush) -> Vec<PushRow> {
    let row = |item: &MemItem| {
        let url = CacheUrl::parse(&item.url, push.how.encode).expect("a planned item is valid");
        let tally = item.tally();
        let row = PushRow {
            task: push.id.clone(),
            url: item.url.clone(),
            status: tally.status(push.accepted_at, &query.view),
            percent: tally.percent(),
            accepted_at: push.accepted_at,
            areas: item.areas,
            updated_at: item.fetches.iter().filter_map(|fetch| fetch.ended.as_ref().map(|(_, at)| *at)).max(),
            why: item.why(),
        };
        let fits = query.filter.keeps_areas(item.areas)
            && query.filter.keeps_url(&item.url, url.host().as_str())
            && query.filter.status.is_none_or(|wanted| wanted == row.status);
        fits.then_some(row)
    };
    push.items.iter().filter_map(row).collect()
}
