//! Who judges a simulation.
//!
//! What this is: the promise, as a user could check it. It knows what the origin answered when a task was accepted, what
//! is shown `done`, and what is read; nothing of logs, receipts or fences. Broken is: a read that began after an item of
//! its page was shown `done`, at a node of its area that serves, and that brought an older version; and an item that was
//! `done` and is not any more. What this is not: an observer of the relay; that is [`crate::watched`].
//!
//! A node serves from when it is shown `ok`, as docs/operations.md asks of operators. One that joins must not bring back
//! what was done since it came. One whose lease has ended serves nothing old either, if what it asks instead does not.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use catharsis_core::area::{Area, AreaSet, PerArea};
use catharsis_core::board::Board;
use catharsis_core::duty::Duty;
use catharsis_core::history::ItemRow;
use catharsis_core::invalidation::Seq;
use catharsis_core::ports::Membership;
use catharsis_core::service::PurgeService;
use catharsis_core::status::ItemStatus;
use catharsis_core::task::TaskId;
use catharsis_core::topology::{Node, NodeId};

use super::history_of;
use super::pages::{Page, Version};

/// An item of an accepted task: which pages it names, and what the origin answered for each at acceptance.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) areas: AreaSet,
    pub(super) pages: Vec<(Page, Version)>,
}

/// What must hold where a read begins.
#[derive(Clone, Debug)]
pub(super) struct Due {
    node: NodeId,
    version: Version,
    since: Option<TaskId>,
}

/// What was shown for a page: no older version may be read, because of this task.
type Shown = HashMap<Page, (Version, TaskId)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// All that is done must be gone there.
    Serves,
    /// It counts and joins: what was done before it came may be there, and nothing is done without it from then on.
    Joins,
    /// Nothing is promised of it.
    Elsewhere,
}

/// Where it is shown what is done; `None` while no server runs.
#[derive(Clone, Debug)]
struct Window {
    board: Arc<Board>,
    service: Arc<PurgeService>,
}

#[derive(Debug)]
struct State {
    window: Option<Window>,
    /// At which of the board's moves it was looked at last.
    looked: Option<u64>,
    open: Vec<(TaskId, Vec<Asked>, HashSet<usize>)>,
    done: HashSet<(TaskId, u64)>,
    shown: PerArea<Shown>,
    standings: HashMap<NodeId, (Area, Standing)>,
    /// What need not be gone at a node that joins, from the first look at it.
    excused: HashMap<NodeId, Shown>,
    watermarks: PerArea<Seq>,
    broken: Vec<String>,
    reads: u64,
    judged: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Judge {
    state: Mutex<State>,
}

/// What a judge saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) broken: Vec<String>,
    /// Reads that were answered.
    pub(super) reads: u64,
    /// Those of them that something shown `done` was held against.
    pub(super) judged: u64,
}

impl Default for Judge {
    fn default() -> Self {
        let state = State {
            window: None,
            looked: None,
            open: Vec::new(),
            done: HashSet::new(),
            shown: PerArea::default(),
            standings: HashMap::new(),
            excused: HashMap::new(),
            watermarks: PerArea::default(),
            broken: Vec::new(),
            reads: 0,
            judged: 0,
        };
        Self { state: Mutex::new(state) }
    }
}

impl Judge {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task was accepted.
    pub(super) fn accepted(&self, task: TaskId, items: Vec<Asked>) {
        self.state().open.push((task, items, HashSet::new()));
    }

    /// The tasks that were accepted are gone, with the store that knew them and the nodes: all begins anew.
    pub(super) fn store_was_lost(&self) {
        let mut state = self.state();
        state.open.clear();
        state.done.clear();
        state.excused.clear();
        state.shown = PerArea::default();
        state.watermarks = PerArea::default();
    }

    /// Something that was promised is not so.
    pub(super) fn breaks(&self, what: String) {
        self.state().broken.push(what);
    }

    /// From now on this is what is shown.
    pub(super) fn watch(&self, board: &Arc<Board>, service: &Arc<PurgeService>) {
        let mut state = self.state();
        state.window = Some(Window { board: Arc::clone(board), service: Arc::clone(service) });
        state.looked = None;
    }

    /// Nothing is shown any more.
    pub(super) fn watch_nothing(&self) {
        self.state().window = None;
    }

    /// Looks at what is shown now: where the nodes stand, and what is done.
    pub(super) async fn look(&self) {
        let (window, open) = {
            let mut state = self.state();
            let Some(window) = state.window.clone() else { return };
            let moves = *window.board.moves().borrow();
            if state.looked == Some(moves) {
                return;
            }
            state.looked = Some(moves);
            let Some(open) = state.see(&window.board) else {
                state.excuse();
                return;
            };
            (window, open)
        };
        for task in open {
            // Memory answers without giving way, so all of this is one moment.
            let done = done_of(&window.service, &task).await;
            self.state().take(&task, &done);
        }
        self.state().excuse();
    }

    /// Looks whether all that was shown done is still. Returns what there is, with each item's status.
    pub(super) async fn look_back(&self) -> Vec<ItemRow> {
        let Some(window) = self.state().window.clone() else { return Vec::new() };
        let mut rows = Vec::new();
        loop {
            let page = history_of(&window.service, None, rows.len() as u64).await;
            if page.rows.is_empty() {
                break;
            }
            rows.extend(page.rows);
        }
        let mut state = self.state();
        let mut places: HashMap<&TaskId, u64> = HashMap::new();
        for row in &rows {
            let place = places.entry(&row.task).or_default();
            let key = (row.task.clone(), *place);
            *place += 1;
            match row.status {
                ItemStatus::Done => drop(state.done.insert(key)),
                ItemStatus::Process | ItemStatus::Fail if state.done.contains(&key) => {
                    let what = format!("{} of {} was done and is {:?}", row.url, row.task, row.status);
                    state.broken.push(what);
                }
                ItemStatus::Process | ItemStatus::Fail => {}
            }
        }
        rows
    }

    /// A client begins to read.
    pub(super) fn begins(&self, node: &NodeId, page: Page) -> Due {
        let state = self.state();
        let shown = match state.standings.get(node) {
            Some((area, Standing::Serves)) => state.shown.get(*area).get(&page),
            Some((area, Standing::Joins)) => {
                let excused = state.excused.get(node).and_then(|it| it.get(&page)).map_or(0, |(version, _)| *version);
                state.shown.get(*area).get(&page).filter(|(version, _)| *version > excused)
            }
            Some((_, Standing::Elsewhere)) | None => None,
        };
        let (version, since) = shown.map_or((0, None), |(version, task)| (*version, Some(task.clone())));
        Due { node: node.clone(), version, since }
    }

    /// It has read this.
    pub(super) fn ends(&self, due: &Due, read: Version, path: &str) {
        let mut state = self.state();
        state.reads += 1;
        state.judged += u64::from(due.since.is_some());
        if let Some(task) = due.since.as_ref().filter(|_| read < due.version) {
            let what = format!(
                "{} served version {read} of {path}, {} was current when {task} was accepted, which was done",
                due.node, due.version
            );
            state.broken.push(what);
        }
    }

    /// Anything broken so far.
    pub(super) fn is_broken(&self) -> bool {
        !self.state().broken.is_empty()
    }

    pub(super) fn judgement(&self) -> Judgement {
        let state = self.state();
        let (reads, judged) = (state.reads, state.judged);
        Judgement { broken: state.broken.clone(), reads, judged }
    }
}

impl State {
    /// Sees where nodes and watermarks stand; returns the open tasks when more can be done than before.
    fn see(&mut self, board: &Board) -> Option<Vec<TaskId>> {
        self.standings = board.nodes().iter().map(|node| standing(board, node)).collect();
        let watermarks = board.watermarks();
        if self.watermarks == watermarks {
            return None;
        }
        for area in Area::ALL {
            let (was, is) = (*self.watermarks.get(area), *watermarks.get(area));
            if is < was {
                self.broken.push(format!("the watermark of {area} went from {was} back to {is}"));
            }
        }
        self.watermarks = watermarks;
        Some(self.open.iter().map(|(task, ..)| task.clone()).collect())
    }

    /// Remembers what was accepted when a node began to join. Nobody else may count there, or the watermark be held behind
    /// those that do and with whom the new one begins: then what was accepted by then is done without it.
    fn excuse(&mut self) {
        let Self { standings, excused, shown, open, .. } = self;
        excused.retain(|node, _| matches!(standings.get(node), Some((_, Standing::Joins))));
        for (node, (area, standing)) in standings.iter() {
            if *standing != Standing::Joins || excused.contains_key(node) {
                continue;
            }
            let mut all = shown.get(*area).clone();
            for (task, items, _) in open.iter() {
                items.iter().filter(|it| it.areas.contains(*area)).for_each(|it| raise(&mut all, it, task));
            }
            excused.insert(node.clone(), all);
        }
    }

    /// Takes notice of the items of a task that are done.
    fn take(&mut self, task: &TaskId, done: &[usize]) {
        let Some(at) = self.open.iter().position(|(id, ..)| id == task) else { return };
        let (_, items, known) = &mut self.open[at];
        let fresh: Vec<Asked> =
            done.iter().filter(|place| known.insert(**place)).filter_map(|place| items.get(*place)).cloned().collect();
        let is_over = known.len() == items.len();
        if is_over {
            self.open.swap_remove(at);
        }
        for asked in fresh {
            for area in asked.areas.iter() {
                raise(self.shown.get_mut(area), &asked, task);
            }
        }
    }
}

fn raise(shown: &mut Shown, asked: &Asked, task: &TaskId) {
    for (page, version) in &asked.pages {
        let entry = shown.entry(*page).or_insert_with(|| (*version, task.clone()));
        if *version > entry.0 {
            *entry = (*version, task.clone());
        }
    }
}

fn standing(board: &Board, node: &Node) -> (NodeId, (Area, Standing)) {
    let of = |id: &NodeId| board.standing(id).map(|it| (it.duty, it.membership));
    let standing = match of(&node.id) {
        Some((Duty::Counts, Membership::Member)) => Standing::Serves,
        Some((Duty::Counts, Membership::Joining)) => Standing::Joins,
        // It has each copy confirmed, so it is as good as whoever confirms.
        Some((Duty::Lapsed, _)) => match node.shield.as_ref().map(of) {
            None | Some(Some((Duty::Counts, Membership::Member) | (Duty::Lapsed, _))) => Standing::Serves,
            Some(Some(_) | None) => Standing::Elsewhere,
        },
        Some((Duty::Returning | Duty::Drained, _)) | None => Standing::Elsewhere,
    };
    (node.id.clone(), (node.area, standing))
}

/// The places in a task of its items that are done.
async fn done_of(service: &PurgeService, task: &TaskId) -> Vec<usize> {
    let mut statuses = Vec::new();
    loop {
        let page = history_of(service, Some(task.clone()), statuses.len() as u64).await;
        if page.rows.is_empty() {
            break;
        }
        statuses.extend(page.rows.iter().map(|row| row.status));
    }
    (0..statuses.len()).filter(|place| statuses[*place] == ItemStatus::Done).collect()
}
