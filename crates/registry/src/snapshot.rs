//! The checked picture of all records at one generation.
//!
//! What this is: records turned into types, joined and indexed for the questions that calls ask.
//! Immutable; a change makes a new one. Invariant: what a snapshot holds fits together: each user, key
//! and domain has its account, each policy has been parsed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use catharsis_cam::Policy;
use catharsis_core::account::{Account, AccountState, Limits};
use catharsis_core::area::{Area, AreaSet, PerArea};
use catharsis_core::clock::UnixMillis;
use catharsis_core::domain::{Directory, Domain, DomainName, DomainStatus};
use catharsis_core::keys::KeyRules;
use catharsis_core::quota::{QuotaDay, QuotaKind, Raise};
use catharsis_core::record::{Record, Records};
use catharsis_core::task::AccountId;
use catharsis_tcapi::auth::SecretKey;

use crate::error::RegistryError;
use crate::record::{
    AccountRecord, AttachmentRecord, CounterRecord, DomainRecord, KeyRecord, Kind, PolicyRecord, QuotaRecord,
    SeedRecord, Switch, UserRecord, WebhookRecord, read,
};
use crate::registry::Defaults;
use crate::vault::Vault;

/// Whoever can sign: a root account or one of its users, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(pub u64);

/// A policy with its name.
#[derive(Debug)]
pub struct NamedPolicy {
    /// Unique within its account.
    pub name: String,
    /// As it was written.
    pub document: String,
    /// As it is understood.
    pub policy: Policy,
}

/// A user of an account.
#[derive(Clone, Debug)]
pub struct User {
    /// The root account.
    pub account: AccountId,
    /// As it is stored.
    pub record: UserRecord,
    /// What it may, in the order of their names.
    pub policies: Vec<Arc<NamedPolicy>>,
}

/// A key pair that can be used.
#[derive(Clone, Debug)]
pub struct Key {
    /// Who signs with it.
    pub principal: Principal,
    /// The secret half.
    pub secret: SecretKey,
    /// As it is stored.
    pub record: KeyRecord,
}

/// A root account.
#[derive(Clone, Debug)]
pub struct AccountEntry {
    /// As it is stored.
    pub record: AccountRecord,
    /// Calls a second and action.
    pub requests_per_second: u32,
}

/// A domain.
#[derive(Clone, Debug)]
pub struct DomainEntry {
    /// Its name.
    pub name: DomainName,
    /// Where it is served.
    pub areas: AreaSet,
    /// Where it stands.
    pub status: DomainStatus,
    /// What its caches take for the same resource.
    pub keys: Arc<KeyRules>,
    /// As it is stored.
    pub record: DomainRecord,
}

/// An endpoint that is told when tasks end.
#[derive(Clone)]
pub struct Webhook {
    /// As it is stored.
    pub record: WebhookRecord,
    /// The signing secret.
    pub secret: String,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("url", &self.record.url).finish_non_exhaustive()
    }
}

/// Everything that is managed, at one generation.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The generation.
    pub generation: u64,
    /// Root accounts.
    pub accounts: BTreeMap<AccountId, AccountEntry>,
    /// Users, by number.
    pub users: BTreeMap<u64, User>,
    /// Key pairs, by their public half.
    pub keys: HashMap<String, Key>,
    /// Policies, by account and name.
    pub policies: BTreeMap<(AccountId, String), Arc<NamedPolicy>>,
    /// Which users have which policies.
    pub attachments: HashSet<(u64, String)>,
    /// Domains, by name.
    pub domains: BTreeMap<String, DomainEntry>,
    /// Quotas that differ from those of their account, by id.
    pub quotas: BTreeMap<String, QuotaRecord>,
    /// Endpoints, by account and name.
    pub webhooks: BTreeMap<(AccountId, String), Webhook>,
    /// The highest number that was ever given to an account or user.
    pub last_uin: u64,
    /// What a configuration file has seeded.
    pub seeds: HashSet<String>,
    /// Accounts and domains as the engine asks for them.
    pub directory: Arc<Directory>,
}

impl Snapshot {
    /// Builds a snapshot.
    ///
    /// # Errors
    /// [`RegistryError::Damaged`] when a record cannot be understood or does not fit the others;
    /// [`RegistryError::Vault`] when a secret does not open.
    pub fn build(records: &Records, vault: &Vault, defaults: &Defaults) -> Result<Self, RegistryError> {
        let mut built = Self { generation: records.generation, ..Self::default() };
        // Accounts and users first: the others refer to them, whatever the order of their names.
        for record in &records.all {
            built.take_owner(record, defaults)?;
        }
        for record in &records.all {
            built.take(record, vault)?;
        }
        built.attach();
        built.directory = Arc::new(built.directory_of(defaults)?);
        Ok(built)
    }

    fn take_owner(&mut self, record: &Record, defaults: &Defaults) -> Result<(), RegistryError> {
        let id = &record.key.id;
        match &*record.key.kind {
            AccountRecord::KIND => {
                let stored: AccountRecord = read(record)?;
                let requests_per_second = stored.requests_per_second.unwrap_or(defaults.requests_per_second);
                let entry = AccountEntry { record: stored, requests_per_second };
                self.accounts.insert(AccountId(number(record, id)?), entry);
            }
            UserRecord::KIND => {
                let stored: UserRecord = read(record)?;
                let user = User { account: AccountId(stored.account), record: stored, policies: Vec::new() };
                self.users.insert(number(record, id)?, user);
            }
            _ => {}
        }
        Ok(())
    }

    fn take(&mut self, record: &Record, vault: &Vault) -> Result<(), RegistryError> {
        let id = record.key.id.to_string();
        match &*record.key.kind {
            AccountRecord::KIND | UserRecord::KIND => {}
            KeyRecord::KIND => {
                let stored: KeyRecord = read(record)?;
                let secret = SecretKey::new(vault.unseal(&format!("key/{id}"), &stored.secret)?);
                self.keys.insert(id, Key { principal: Principal(stored.principal), secret, record: stored });
            }
            PolicyRecord::KIND => {
                let (account, name) = owned(record)?;
                let PolicyRecord { document } = read(record)?;
                let policy = Policy::parse(&document).map_err(|error| damaged(record, error.to_string()))?;
                let named = NamedPolicy { name: name.clone(), document, policy };
                self.policies.insert((account, name), Arc::new(named));
            }
            AttachmentRecord::KIND => {
                let (user, name) = owned(record)?;
                self.attachments.insert((user.0, name));
            }
            DomainRecord::KIND => {
                let entry = domain(record)?;
                self.domains.insert(id, entry);
            }
            QuotaRecord::KIND => {
                self.quotas.insert(id, read(record)?);
            }
            WebhookRecord::KIND => {
                let owner = owned(record)?;
                let stored: WebhookRecord = read(record)?;
                let secret = vault.unseal(&format!("webhook/{id}"), &stored.secret)?;
                self.webhooks.insert(owner, Webhook { record: stored, secret });
            }
            CounterRecord::KIND => self.last_uin = read::<CounterRecord>(record)?.last,
            SeedRecord::KIND => {
                self.seeds.insert(id);
            }
            _ => return Err(damaged(record, "its kind is unknown: was it written by a later version?".to_owned())),
        }
        Ok(())
    }

    fn attach(&mut self) {
        let mut attached: Vec<_> = self.attachments.iter().cloned().collect();
        attached.sort();
        for (uin, name) in attached {
            let Some(user) = self.users.get_mut(&uin) else { continue };
            if let Some(policy) = self.policies.get(&(user.account, name)) {
                user.policies.push(Arc::clone(policy));
            }
        }
    }

    fn directory_of(&self, defaults: &Defaults) -> Result<Directory, RegistryError> {
        let mut accounts: HashMap<AccountId, Account> = HashMap::new();
        for (id, entry) in &self.accounts {
            let state = AccountState::parse(&entry.record.state);
            let state = state.ok_or_else(|| misfit::<AccountRecord>(&id.to_string(), "its state is unknown"))?;
            accounts.insert(*id, Account { state, limits: limits(&entry.record, defaults) });
        }
        for (id, stored) in &self.quotas {
            let quota = QuotaId::parse(id).ok_or_else(|| misfit::<QuotaRecord>(id, "its name is none of a quota"))?;
            let Some(account) = accounts.get_mut(&quota.account) else { continue };
            match stored.days {
                None => *account.limits.per_day.get_mut(quota.kind).get_mut(quota.area) = stored.total,
                Some((from, to)) => account.limits.raises.push(Raise {
                    kind: quota.kind,
                    area: quota.area,
                    total: stored.total,
                    from: QuotaDay(from),
                    to: QuotaDay(to),
                }),
            }
        }
        let domains = self.domains.values().map(|entry| Domain {
            name: entry.name.clone(),
            owner: AccountId(entry.record.account),
            areas: entry.areas,
            status: entry.status,
            keys: Arc::clone(&entry.keys),
        });
        Directory::new(accounts, domains).map_err(|error| misfit::<DomainRecord>("?", &error.to_string()))
    }

    /// The root account that a principal speaks for; `None` for an unknown one.
    #[must_use]
    pub fn account_of(&self, principal: Principal) -> Option<AccountId> {
        let root = AccountId(principal.0);
        if self.accounts.contains_key(&root) {
            return Some(root);
        }
        self.users.get(&principal.0).map(|user| user.account)
    }

    /// The user that a principal is; `None` for a root account.
    #[must_use]
    pub fn user(&self, principal: Principal) -> Option<&User> {
        self.users.get(&principal.0)
    }

    /// The lasting key pairs of a principal.
    pub fn keys_of(&self, principal: Principal) -> impl Iterator<Item = (&String, &Key)> {
        self.keys.iter().filter(move |(_, key)| key.principal == principal && key.record.temporary.is_none())
    }

    /// A key pair that works now.
    #[must_use]
    pub fn key(&self, id: &str, now: UnixMillis) -> Option<&Key> {
        let ended = |key: &&Key| key.record.temporary.as_ref().is_some_and(|it| it.has_ended(now));
        self.enabled_key(id).filter(|key| !ended(key))
    }

    /// A key pair that is not switched off, nor its user; a temporary one may have ended.
    #[must_use]
    pub fn enabled_key(&self, id: &str) -> Option<&Key> {
        let key = self.keys.get(id)?;
        let user_works = self.user(key.principal).is_none_or(|user| user.record.enabled == Switch::Enabled);
        (key.record.enabled == Switch::Enabled && user_works).then_some(key)
    }

    /// The endpoints of an account.
    pub fn webhooks_of(&self, account: AccountId) -> impl Iterator<Item = (&String, &Webhook)> {
        let from = (account, String::new());
        self.webhooks
            .range(from..)
            .take_while(move |((owner, _), _)| *owner == account)
            .map(|((_, name), it)| (name, it))
    }
}

/// The name of a quota record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaId {
    /// Whose.
    pub account: AccountId,
    /// Which.
    pub kind: QuotaKind,
    /// Where.
    pub area: Area,
}

impl QuotaId {
    /// The record's name.
    #[must_use]
    pub fn write(&self, days: Option<(u32, u32)>) -> String {
        let head = format!("{}/{}/{}", self.account, self.kind.as_str(), self.area);
        match days {
            None => format!("{head}/permanent"),
            Some((from, to)) => format!("{head}/{from}-{to}"),
        }
    }

    /// Reads a record's name.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let mut parts = id.split('/');
        let account = AccountId(parts.next()?.parse().ok()?);
        let kind = QuotaKind::parse(parts.next()?)?;
        let area = parts.next()?;
        let area = Area::ALL.into_iter().find(|it| it.as_str() == area)?;
        Some(Self { account, kind, area })
    }
}

/// `global`, or the name of one area.
#[must_use]
pub fn areas(text: &str) -> Option<AreaSet> {
    match text {
        "global" => Some(AreaSet::Global),
        one => Area::ALL.into_iter().find(|area| area.as_str() == one).map(AreaSet::One),
    }
}

fn limits(record: &AccountRecord, defaults: &Defaults) -> Limits {
    let mut limits = defaults.limits.clone();
    for kind in QuotaKind::ALL {
        if let Some(own) = record.per_call.get(kind.as_str()) {
            *limits.per_call.get_mut(kind) = *own;
        }
        if let Some(own) = record.per_day.get(kind.as_str()) {
            *limits.per_day.get_mut(kind) = PerArea::from_fn(|_| *own);
        }
    }
    limits.domains = record.domains_max.unwrap_or(limits.domains);
    limits
}

fn domain(record: &Record) -> Result<DomainEntry, RegistryError> {
    let stored: DomainRecord = read(record)?;
    let name = DomainName::parse(&record.key.id).map_err(|error| damaged(record, error.to_string()))?;
    let areas = areas(&stored.area).ok_or_else(|| damaged(record, "its area is unknown".to_owned()))?;
    let status = DomainStatus::parse(&stored.status);
    let status = status.ok_or_else(|| damaged(record, "its status is unknown".to_owned()))?;
    let keys = stored.key_rules.as_deref().map(KeyRules::parse).transpose();
    let keys = Arc::new(keys.map_err(|error| damaged(record, error.to_string()))?.unwrap_or_default());
    Ok(DomainEntry { name, areas, status, keys, record: stored })
}

fn number(record: &Record, text: &str) -> Result<u64, RegistryError> {
    text.parse().map_err(|_| damaged(record, "its id is no number".to_owned()))
}

/// The owner's number and the name in an id like `17/name`.
fn owned(record: &Record) -> Result<(AccountId, String), RegistryError> {
    let (owner, name) =
        record.key.id.split_once('/').ok_or_else(|| damaged(record, "its id names no owner".to_owned()))?;
    Ok((AccountId(number(record, owner)?), name.to_owned()))
}

fn damaged(record: &Record, why: String) -> RegistryError {
    RegistryError::Damaged { kind: record.key.kind.to_string(), id: record.key.id.to_string(), why }
}

fn misfit<T: Kind>(id: &str, why: &str) -> RegistryError {
    RegistryError::Damaged { kind: T::KIND.to_owned(), id: id.to_owned(), why: why.to_owned() }
}
