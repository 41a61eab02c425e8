//! What a configuration file brings in.
//!
//! Accounts and domains are taken once: later the store has them, and whoever deletes one does not find
//! it again after the next start. Keys follow the file: a key that left it is deleted, for that is what
//! somebody who removes a key from a file expects.

use std::collections::BTreeMap;

use catharsis_core::account::AccountState;
use catharsis_core::area::AreaSet;
use catharsis_core::domain::{DomainName, DomainStatus};
use catharsis_core::keys::KeyRules;
use catharsis_core::quota::QuotaKind;
use catharsis_core::record::Change;
use catharsis_core::task::AccountId;

use super::domains::stored;
use crate::error::RegistryError;
use crate::record::{AccountRecord, DomainRecord, KeyRecord, SeedRecord, Switch, delete, put};
use crate::registry::Registry;
use crate::snapshot::Snapshot;

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    /// Its accounts.
    pub accounts: Vec<SeedAccount>,
}

/// An account of a file.
#[derive(Clone, Debug)]
pub struct SeedAccount {
    /// Its number.
    pub account: AccountId,
    /// Items in one call, where it differs from the default.
    pub per_call: BTreeMap<QuotaKind, u32>,
    /// Items a day in each area, where it differs from the default.
    pub per_day: BTreeMap<QuotaKind, u32>,
    /// Its keys.
    pub keys: Vec<SeedKey>,
    /// Its domains.
    pub domains: Vec<SeedDomain>,
}

/// A key pair of a file.
#[derive(Clone)]
pub struct SeedKey {
    /// The public half.
    pub secret_id: String,
    /// The secret half.
    pub secret_key: String,
}

impl std::fmt::Debug for SeedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeedKey").field("secret_id", &self.secret_id).finish_non_exhaustive()
    }
}

/// A domain of a file.
#[derive(Clone, Debug)]
pub struct SeedDomain {
    /// Its name.
    pub name: DomainName,
    /// Where it is served.
    pub areas: AreaSet,
    /// Where it stands.
    pub status: DomainStatus,
    /// What its caches take for the same resource.
    pub keys: KeyRules,
}

impl Registry {
    /// Takes in what a file holds; returns what it says otherwise than the store, for the log.
    ///
    /// # Errors
    /// When a domain of the file belongs to another account, or the store fails.
    pub async fn seed(&self, seed: &Seed) -> Result<Vec<String>, RegistryError> {
        let now = self.now().0;
        let done = self.update(|snapshot| {
            let mut sown = Sowing { registry: self, snapshot, now, changes: Vec::new(), differences: Vec::new() };
            for account in &seed.accounts {
                sown.account(account);
                for key in &account.keys {
                    sown.key(account.account, key);
                }
                for domain in &account.domains {
                    sown.domain(account.account, domain)?;
                }
            }
            sown.forget_keys(seed);
            Ok((sown.changes, sown.differences))
        });
        Ok(done.await?.value)
    }
}

struct Sowing<'a> {
    registry: &'a Registry,
    snapshot: &'a Snapshot,
    now: u64,
    changes: Vec<Change>,
    differences: Vec<String>,
}

impl Sowing<'_> {
    /// Whether this comes from the file for the first time; notes that it did.
    fn is_new(&mut self, name: &str) -> bool {
        if self.snapshot.seeds.contains(name) {
            return false;
        }
        self.changes.push(put(name, &SeedRecord {}));
        true
    }

    fn account(&mut self, account: &SeedAccount) {
        let by_name = |map: &BTreeMap<QuotaKind, u32>| {
            map.iter().map(|(kind, value)| (kind.as_str().to_owned(), *value)).collect::<BTreeMap<_, _>>()
        };
        let id = account.account.to_string();
        let is_new = self.is_new(&format!("account/{id}"));
        let record = AccountRecord {
            state: AccountState::Active.as_str().to_owned(),
            per_call: by_name(&account.per_call),
            per_day: by_name(&account.per_day),
            created_at: self.now,
            ..AccountRecord::default()
        };
        match self.snapshot.accounts.get(&account.account) {
            None if is_new => self.changes.push(put(&id, &record)),
            None => self.differences.push(format!("account {id} was deleted")),
            Some(known) => {
                let known = &known.record;
                if (&known.per_call, &known.per_day) != (&record.per_call, &record.per_day) {
                    self.differences.push(format!("the limits of account {id} were changed"));
                }
            }
        }
    }

    fn key(&mut self, account: AccountId, key: &SeedKey) {
        let place = format!("key/{}", key.secret_id);
        self.is_new(&place);
        let vault = self.registry.vault();
        let known = self.snapshot.keys.get(&key.secret_id);
        let same = known.is_some_and(|known| {
            let opened = vault.unseal(&place, &known.record.secret);
            known.record.principal == account.0 && opened.is_ok_and(|secret| secret == key.secret_key)
        });
        if !same {
            let record = KeyRecord {
                principal: account.0,
                secret: vault.seal(&place, &key.secret_key),
                enabled: Switch::Enabled,
                created_at: self.now,
                temporary: None,
            };
            self.changes.push(put(&key.secret_id, &record));
        }
    }

    fn domain(&mut self, account: AccountId, domain: &SeedDomain) -> Result<(), RegistryError> {
        let name = domain.name.to_string();
        let is_new = self.is_new(&format!("domain/{name}"));
        let (area, status) = (domain.areas.as_str(), domain.status.as_str());
        match self.snapshot.domains.get(&name) {
            None if is_new => {
                let record = DomainRecord {
                    account: account.0,
                    area: area.to_owned(),
                    status: status.to_owned(),
                    service_type: "web".to_owned(),
                    project_id: 0,
                    origin: None,
                    key_rules: stored(&domain.keys),
                    created_at: self.now,
                    updated_at: self.now,
                    changed_in: self.snapshot.generation + 1,
                };
                self.changes.push(put(&name, &record));
            }
            None => self.differences.push(format!("domain {name} was deleted")),
            Some(known) if known.record.account != account.0 => {
                return Err(RegistryError::OwnedByOther { name });
            }
            Some(known) if known.record.area != area || known.record.status != status => {
                let (area, status) = (&known.record.area, &known.record.status);
                self.differences.push(format!("domain {name} is {status} in {area}"));
            }
            Some(known) if *known.keys != domain.keys => {
                self.differences.push(format!("the key rules of domain {name} are `{}`", known.keys));
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Keys that came from the file and have left it.
    fn forget_keys(&mut self, seed: &Seed) {
        let in_file = |id: &str| seed.accounts.iter().flat_map(|it| &it.keys).any(|key| key.secret_id == id);
        for seeded in &self.snapshot.seeds {
            if let Some(id) = seeded.strip_prefix("key/")
                && !in_file(id)
            {
                self.changes.push(delete::<SeedRecord>(seeded));
                self.changes.push(delete::<KeyRecord>(id));
            }
        }
    }
}
