//! The log of the store in memory.

use async_trait::async_trait;
use catharsis_core::area::Area;
use catharsis_core::error::LogError;
use catharsis_core::history::TaskRecord;
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::ports::Log;
use catharsis_core::target::{CacheUrl, Mode, Target};

use crate::mem_store::MemStore;

/// The log of a [`MemStore`].
#[derive(Clone, Debug)]
pub struct MemLog {
    store: MemStore,
}

impl MemLog {
    /// The log of this store.
    #[must_use]
    pub fn of(store: &MemStore) -> Self {
        Self { store: store.clone() }
    }
}

#[async_trait]
impl Log for MemLog {
    fn head(&self, area: Area) -> Seq {
        *self.store.inner.heads.get(area).borrow()
    }

    async fn wait(&self, area: Area, after: Seq) -> Seq {
        let mut heads = self.store.inner.heads.get(area).subscribe();
        let moved = heads.wait_for(|head| *head > after).await.map(|head| *head);
        moved.expect("the sender lives in the store, which lives in self")
    }

    async fn read(&self, area: Area, after: Seq, max: usize) -> Result<Vec<Invalidation>, LogError> {
        let state = self.store.state();
        if after < *state.floors.get(area) {
            return Err(LogError::Truncated { after });
        }
        let all = state.tasks.iter().flat_map(|record| logged(record, area));
        Ok(all.filter(|invalidation| invalidation.seq > after).take(max).collect())
    }
}

fn logged(record: &TaskRecord, area: Area) -> Vec<Invalidation> {
    let invalidation = |(seq, index): (Seq, usize)| {
        let url = CacheUrl::parse(&record.task.items[index].url, record.task.encode).expect("a planned URL is valid");
        Invalidation {
            seq,
            task: record.task.id.clone(),
            target: Target::Url(url).into(),
            mode: Mode::Delete,
            accepted_at: record.task.accepted_at,
        }
    };
    record.positions(area).map(invalidation).collect()
}
