//! The registry: the newest snapshot, and the one way to change it.
//!
//! What this is: reading, deciding and keeping. What this is not: the rules of each change; those are
//! in [`crate::change`], as functions of a snapshot.
//!
//! Invariant: a change is decided on a snapshot and kept only if that is still the newest generation;
//! else it is decided again on the newer one. No lock is held meanwhile.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use catharsis_core::account::Limits;
use catharsis_core::clock::UnixMillis;
use catharsis_core::error::{ChangeError, StoreError};
use catharsis_core::ports::{Clock, Store};
use catharsis_core::record::Change;
use tokio::sync::watch;
use tracing::{error, warn};

use crate::error::RegistryError;
use crate::snapshot::Snapshot;
use crate::vault::Vault;

/// How often a change is decided anew when others were faster.
const ATTEMPTS: u32 = 16;

/// How often a kept change is tried to be shown, and the first pause in between; it doubles (25 s in all).
const RELOAD_ATTEMPTS: u32 = 9;
const RELOAD_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What holds for an account that says nothing else.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// Batches, quotas, domains.
    pub limits: Limits,
    /// Calls a second and action.
    pub requests_per_second: u32,
}

/// See the module.
pub struct Registry {
    clock: Arc<dyn Clock>,
    records: Arc<Kept>,
}

/// What outlives a caller that leaves in the middle of a change.
struct Kept {
    store: Arc<dyn Store>,
    vault: Vault,
    defaults: Defaults,
    newest: ArcSwap<Snapshot>,
    generation: watch::Sender<u64>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("generation", &*self.records.generation.borrow()).finish_non_exhaustive()
    }
}

/// What a change did, and the generation that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// What the change has to say.
    pub value: T,
    /// The generation.
    pub generation: u64,
}

impl Registry {
    /// Reads everything.
    ///
    /// # Errors
    /// When the store fails, a record cannot be understood, or a secret does not open.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        vault: Vault,
        defaults: Defaults,
    ) -> Result<Self, RegistryError> {
        let snapshot = Snapshot::build(&store.records().await?, &vault, &defaults)?;
        let generation = watch::Sender::new(snapshot.generation);
        let newest = ArcSwap::from_pointee(snapshot);
        Ok(Self { clock, records: Arc::new(Kept { store, vault, defaults, newest, generation }) })
    }

    /// The newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.records.newest.load_full()
    }

    /// The newest generation, as it changes.
    #[must_use]
    pub fn generations(&self) -> watch::Receiver<u64> {
        self.records.generation.subscribe()
    }

    /// Seals and opens secrets.
    pub(crate) fn vault(&self) -> &Vault {
        &self.records.vault
    }

    /// Now.
    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.wall()
    }

    /// Decides a change on the newest snapshot and keeps it, durably. No change at all is kept as
    /// nothing: then the generation stays.
    ///
    /// # Errors
    /// Whatever `decide` refuses; [`RegistryError::Contended`]; the store's failure, after which it is
    /// not known whether the change was kept.
    pub(crate) async fn update<T>(
        &self,
        mut decide: impl FnMut(&Snapshot) -> Result<(Vec<Change>, T), RegistryError>,
    ) -> Result<Done<T>, RegistryError> {
        for _ in 0..ATTEMPTS {
            let seen = self.snapshot();
            let (changes, value) = decide(&seen)?;
            if changes.is_empty() {
                return Ok(Done { value, generation: seen.generation });
            }
            // A worker of its own: a caller may leave between the change and the new snapshot, and then
            // everybody would go on with the old one.
            let records = Arc::clone(&self.records);
            let kept = tokio::spawn(async move { records.keep(seen.generation, changes).await });
            match kept.await.map_err(|_| StoreError::Closed)? {
                Ok(generation) => return Ok(Done { value, generation }),
                Err(ChangeError::Outdated) => {}
                Err(ChangeError::Store(error)) => return Err(error.into()),
            }
        }
        Err(RegistryError::Contended)
    }
}

impl Kept {
    /// Keeps changes, and shows what the store then holds, whether or not they were kept.
    async fn keep(&self, generation: u64, changes: Vec<Change>) -> Result<u64, ChangeError> {
        let kept = self.store.change(generation, changes).await;
        if let Err(ChangeError::Store(_)) = &kept {
            // Whether it was kept is not known; a store that just failed is not waited for.
            if let Err(error) = self.reload().await {
                warn!(%error, "the records cannot be read anew after a change that failed");
            }
            return kept;
        }
        let mut pause = RELOAD_AGAIN_AFTER;
        for attempt in 1..=RELOAD_ATTEMPTS {
            match self.reload().await {
                Ok(()) => return kept,
                Err(error) if attempt < RELOAD_ATTEMPTS => {
                    warn!(%error, attempt, "the records cannot be read anew; trying again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(error) => {
                    error!(%error, "the records cannot be read: the ones of before stay in force until the next change")
                }
            }
        }
        Err(ChangeError::Store(StoreError::Io("the records could not be read after a change".to_owned())))
    }

    /// Reads everything anew. Two at once may end in any order: the older one never replaces the newer.
    async fn reload(&self) -> Result<(), RegistryError> {
        let built = Arc::new(Snapshot::build(&self.store.records().await?, &self.vault, &self.defaults)?);
        let generation = built.generation;
        self.newest.rcu(|known| if known.generation < generation { Arc::clone(&built) } else { Arc::clone(known) });
        self.generation.send_if_modified(|known| {
            let newer = *known < generation;
            *known = generation.max(*known);
            newer
        });
        Ok(())
    }
}
