//! What happens in a simulation, step by step, as its chance draws it.

use std::time::Duration;

use catharsis_core::area::{Area, AreaSet};
use catharsis_core::plan::{Caller, Purge};
use catharsis_core::target::{Encode, Mode};
use catharsis_core::task::TaskKind;
use catharsis_core::topology::{Node, Rotation};
use tokio::time::sleep;

use super::judge::Asked;
use super::pages::{ALIKE, HOST, Page, QUIET};
use super::run::Play;
use super::topologies;
use crate::plans::ACCOUNT;

/// What a customer wants to be purged: each name with the pages that it stands for.
struct Wish {
    kind: TaskKind,
    mode: Mode,
    area: Option<Area>,
    named: Vec<(String, Vec<Page>)>,
}

impl Play {
    /// One step.
    pub(super) async fn step(&mut self) {
        let drawn = self.chance.below(100);
        self.note(drawn);
        match drawn {
            0..35 => self.purge().await,
            35..38 => self.purge_twice().await,
            38..41 => self.purge_what_nobody_reads().await,
            41..46 => self.purge_what_is_being_fetched().await,
            46..49 => self.purge_side_by_side().await,
            49 => self.change_a_page(),
            50..66 => self.pass(Duration::from_millis(self.chance.below(300))).await,
            66..76 => self.pass(Duration::from_millis(self.chance.below(3_000))).await,
            76..79 => self.pass(Duration::from_millis(self.chance.below(15_000))).await,
            79..82 => self.jump(),
            82..87 => self.change_nodes().await,
            87..91 => self.crash_the_server().await,
            91..94 => self.kill_a_node(),
            94..96 => self.purge_beside_one_that_is_cut_off().await,
            96..98 => self.cut_a_node_off(),
            98 => self.forget_the_past().await,
            _ => self.lose_the_store().await,
        }
    }

    /// Time passes; clients read meanwhile.
    pub(super) async fn pass(&self, time: Duration) {
        sleep(time).await;
    }

    fn jump(&self) {
        let by = i64::try_from(self.chance.below(200_000)).expect("small");
        self.world.clock.jump(if self.chance.percent(50) { -by } else { by });
    }

    fn change_a_page(&self) {
        self.pages.change(self.some_page());
    }

    /// Some pages are much more popular.
    pub(super) fn some_page(&self) -> Page {
        some_page(&self.chance, self.pages.busy())
    }

    /// Changes pages, mostly, and purges them, or the directory that they are in.
    async fn purge(&self) {
        let area = match self.chance.below(4) {
            0 => None,
            1 => Some(Area::Overseas),
            _ => Some(Area::Mainland),
        };
        let mode = if self.chance.percent(65) { Mode::Delete } else { Mode::Expire };
        let kind = if self.chance.percent(25) { TaskKind::Path } else { TaskKind::Url };
        let count = match (kind, self.chance.below(100)) {
            (TaskKind::Path, _) => 1 + self.chance.below(2),
            (TaskKind::Url, 0..2) => 100 + self.chance.below(200),
            (TaskKind::Url, _) => 1 + self.chance.below(6),
        };
        let named = (0..count).map(|_| self.draw_named(kind)).collect();
        self.submit(&Wish { kind, mode, area, named }).await;
    }

    /// Purges a page everywhere.
    pub(super) async fn purge_a_last_time(&self) {
        let named = vec![self.draw_named(TaskKind::Url)];
        self.submit(&Wish { kind: TaskKind::Url, mode: Mode::Delete, area: None, named }).await;
    }

    /// Purges the same again, soon: a copy from in between must go too, however late the first order comes once more.
    async fn purge_twice(&self) {
        let kind = if self.chance.percent(60) { TaskKind::Path } else { TaskKind::Url };
        let mode = match kind {
            // A URL that is deleted leaves nothing for a mark to refuse.
            TaskKind::Url => Mode::Expire,
            TaskKind::Path if self.chance.percent(50) => Mode::Delete,
            TaskKind::Path => Mode::Expire,
        };
        let area = if self.chance.percent(70) { Some(Area::Mainland) } else { Some(Area::Overseas) };
        let wish = Wish { kind, mode, area, named: vec![self.draw_named(kind)] };
        for _ in 0..2 + self.chance.below(2) {
            self.submit(&wish).await;
            self.pass(Duration::from_millis(self.chance.below(1_000))).await;
        }
    }

    /// A directory is purged twice, read in between, and not again until an order of the first purge may have come once
    /// more: nothing has looked at the copies from in between since.
    async fn purge_what_nobody_reads(&self) {
        let pages = self.pages.below(QUIET);
        let mode = if self.chance.percent(50) { Mode::Delete } else { Mode::Expire };
        // Where it is done soonest.
        let area = if self.chance.percent(25) { Some(Area::Mainland) } else { Some(Area::Overseas) };
        let wish = Wish { kind: TaskKind::Path, mode, area, named: vec![(QUIET.to_owned(), pages.clone())] };
        self.submit(&wish).await;
        self.pass(Duration::from_millis(self.chance.below(500))).await;
        self.visit(&pages);
        self.pass(Duration::from_millis(self.chance.below(1_000))).await;
        self.submit(&wish).await;
        self.pass(Duration::from_millis(3_000 + self.chance.below(9_000))).await;
        self.visit(&pages);
    }

    /// Pages are purged while every cache fetches them, and read while the purge goes on: what a shield has not refused
    /// yet, the edges behind it get from it. When it is done, the same is read again.
    async fn purge_what_is_being_fetched(&self) {
        let pages = self.pages.below(QUIET);
        let named = pages.iter().map(|page| self.named(*page)).collect();
        let wish = Wish { kind: TaskKind::Url, mode: Mode::Delete, area: Some(Area::Mainland), named };
        self.submit(&wish).await;
        self.pass(Duration::from_millis(500 + self.chance.below(1_000))).await;
        self.visit(&pages);
        self.pass(Duration::from_millis(self.chance.below(400))).await;
        self.submit(&wish).await;
        for _ in 0..3 {
            self.pass(Duration::from_millis(self.chance.below(700))).await;
            self.visit(&pages);
        }
        self.pass(Duration::from_millis(2_000 + self.chance.below(10_000))).await;
        self.visit(&pages);
    }

    /// A directory and, at once, pages of which some only begin like it: one order often holds both.
    async fn purge_side_by_side(&self) {
        let directory = if self.chance.percent(50) { ALIKE } else { self.pages.directory(self.chance.bits()) };
        let pages = self.pages.beginning_like(directory);
        let area = if self.chance.percent(50) { Some(Area::Mainland) } else { Some(Area::Overseas) };
        let of_directory = vec![(directory.to_owned(), self.pages.below(directory))];
        let of_pages = pages.iter().map(|page| self.named(*page)).collect();
        for (kind, named) in [(TaskKind::Path, of_directory), (TaskKind::Url, of_pages)] {
            self.submit(&Wish { kind, mode: Mode::Delete, area, named }).await;
        }
    }

    /// The name of a page or of a directory, and the pages that it stands for.
    fn draw_named(&self, kind: TaskKind) -> (String, Vec<Page>) {
        match kind {
            TaskKind::Path => {
                let directory = self.pages.directory(self.chance.bits());
                (directory.to_owned(), self.pages.below(directory))
            }
            TaskKind::Url => self.named(self.some_page()),
        }
    }

    /// The name of a page, and the page that it stands for.
    fn named(&self, page: Page) -> (String, Vec<Page>) {
        (self.pages.path(page).to_owned(), vec![page])
    }

    async fn submit(&self, wish: &Wish) {
        for page in wish.named.iter().flat_map(|(_, pages)| pages) {
            if self.chance.percent(85) {
                self.pages.change(*page);
            }
        }
        if self.chance.percent(30) {
            // Else a purge follows upon the change at once.
            self.pass(Duration::from_millis(self.chance.below(50))).await;
        }
        let areas = wish.area.map_or(AreaSet::Global, AreaSet::One);
        // Before the call: what is current then is current at acceptance, or older.
        let asked = wish.named.iter().map(|(_, pages)| Asked {
            areas,
            pages: pages.iter().map(|page| (*page, self.pages.version(*page))).collect(),
        });
        let asked = asked.collect();
        let request = Purge {
            kind: wish.kind,
            mode: wish.mode,
            items: wish.named.iter().map(|(name, _)| format!("http://{HOST}{name}").into()).collect(),
            area: wish.area,
            encode: Encode::AsSubmitted,
            claim: None,
            notify: Vec::new(),
        };
        let accepted = self.server().service.purge(&Caller::root(ACCOUNT), request).await;
        self.judge.accepted(accepted.expect("a valid purge is accepted"), asked);
    }

    async fn change_nodes(&mut self) {
        let next = topologies::next(&self.all, &self.world.nodes, self.server(), &self.chance);
        self.bring(next).await;
    }

    /// Changes caches and server to these nodes.
    pub(super) async fn bring(&mut self, next: Vec<Node>) {
        // One that moves to another shield is drained first, as docs/operations.md asks.
        let moves = |node: &Node| next.iter().any(|new| new.id == node.id && node.shield != new.shield);
        let now: Vec<Node> = self.world.nodes.iter().map(|node| Node::clone(node)).collect();
        if now.iter().any(moves) {
            let drain = |node: Node| {
                if moves(&node) { Node { rotation: Rotation::Drained, ..node } } else { node }
            };
            self.to(now.into_iter().map(drain).collect()).await;
        }
        self.wire(&next);
        self.to(next).await;
    }

    async fn crash_the_server(&mut self) {
        let down = if self.chance.percent(40) { self.chance.below(6_000) } else { 0 };
        self.restart(Duration::from_millis(down)).await;
    }

    fn kill_a_node(&self) {
        let at = usize::try_from(self.chance.below(self.all.len() as u64)).unwrap_or(0);
        let cache = self.cache(&self.all[at].id);
        cache.kill();
        let away = Duration::from_millis(match self.chance.below(3) {
            0 => 0,
            1 => self.chance.below(1_000),
            _ => self.chance.below(12_000),
        });
        tokio::spawn(async move {
            sleep(away).await;
            cache.start();
        });
    }

    fn cut_a_node_off(&self) {
        let at = usize::try_from(self.chance.below(self.all.len() as u64)).unwrap_or(0);
        let (node, troubles) = (self.all[at].id.clone(), self.troubles.clone());
        let away = Duration::from_millis(self.chance.below(40_000));
        troubles.cut_off(&node);
        tokio::spawn(async move {
            sleep(away).await;
            troubles.reconnect(&node);
        });
    }

    /// Pages are purged while a node that holds them is cut off, and read there soon after they are done elsewhere: until
    /// its lease has ended, if it has one, they must not be.
    async fn purge_beside_one_that_is_cut_off(&self) {
        let pages = self.pages.below(QUIET);
        self.visit(&pages);
        self.pass(Duration::from_millis(1_000 + self.chance.below(2_000))).await;
        self.cut_a_node_off();
        self.pass(Duration::from_millis(self.chance.below(3_000))).await;
        let named = pages.iter().map(|page| self.named(*page)).collect();
        // Where it is done soonest, mostly.
        let area = if self.chance.percent(25) { Some(Area::Mainland) } else { Some(Area::Overseas) };
        self.submit(&Wish { kind: TaskKind::Url, mode: Mode::Delete, area, named }).await;
        for _ in 0..4 {
            self.pass(Duration::from_millis(500 + self.chance.below(2_500))).await;
            self.visit(&pages);
        }
    }

    /// The log is cut where not all nodes may have come.
    async fn forget_the_past(&mut self) {
        self.judge.look().await;
        self.world.store.prune(catharsis_core::ports::Clock::wall(&self.world.clock));
    }

    /// The data directory is gone: another store, and another log.
    async fn lose_the_store(&mut self) {
        if self.chance.percent(40) {
            self.start_over().await;
        }
    }
}

/// A page, some much more often than others.
pub(super) fn some_page(chance: &super::Chance, pages: usize) -> Page {
    let below = if chance.percent(60) { 6 } else { pages as u64 };
    // Popular ones lie in all places.
    let at = usize::try_from(chance.below(below)).unwrap_or(0);
    Page(if below == 6 { at * 5 } else { at })
}
