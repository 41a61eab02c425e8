//! The log of the store in memory.

use async_trait::async_trait;
use catharsis_core::area::Area;
use catharsis_core::error::LogError;
use catharsis_core::history::TaskRecord;
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::ports::Log;

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
        self.store.inner.heads.get(area).wait_for(|head| Some(*head).filter(|head| *head > after)).await
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
        let task = &record.task;
        let target = task.kind.target(&task.items[index].url, task.encode).expect("a planned item is valid");
        Invalidation {
            seq,
            task: record.task.id.clone(),
            target: target.into(),
            mode: record.task.mode,
            accepted_at: record.task.accepted_at,
        }
    };
    record.positions(area).map(invalidation).collect()
}
