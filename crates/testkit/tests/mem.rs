//! The store in memory keeps the port's word.

use std::sync::Arc;

use async_trait::async_trait;
use catharsis_core::clock::UnixMillis;
use catharsis_testkit::conformance::{Fixture, Pair};
use catharsis_testkit::mem_log::MemLog;
use catharsis_testkit::mem_store::MemStore;

#[derive(Default)]
struct Memory {
    store: MemStore,
}

#[async_trait]
impl Fixture for Memory {
    async fn open(&mut self) -> Pair {
        let store = Arc::new(self.store.clone());
        Pair { store: store.clone(), log: Arc::new(MemLog::of(&self.store)), pushes: store }
    }

    async fn reopen(&mut self) -> Pair {
        self.open().await
    }

    async fn prune(&mut self, before: UnixMillis) {
        self.store.prune(before);
    }
}

catharsis_testkit::store_conformance!(Memory::default());
