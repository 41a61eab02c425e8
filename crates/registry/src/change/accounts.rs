//! Root accounts and their users.

use catharsis_core::account::AccountState;
use catharsis_core::limits::{QUOTA_MAX, URLS_PER_CALL_MAX};
use catharsis_core::quota::QuotaKind;
use catharsis_core::record::Change;
use catharsis_core::task::AccountId;

use super::{check_name, not_found};
use crate::error::{RegistryError, StateProblem};
use crate::record::{
    AccountRecord, AttachmentRecord, COUNTER, CounterRecord, KeyRecord, Switch, UserRecord, delete, put,
};
use crate::registry::{Done, Registry};
use crate::snapshot::{Principal, Snapshot};

/// The first number that is given to an account without one.
const FIRST_UIN: u64 = 100_000_000_001;

/// Users of an account.
const USERS_MAX: usize = 1_000;

/// What is to be different about an account; `None` leaves it, `Some(None)` makes it the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountPatch {
    /// For people.
    pub name: Option<String>,
    /// Whether it may use the service.
    pub state: Option<AccountState>,
    /// Items in one call.
    pub per_call: Vec<(QuotaKind, Option<u32>)>,
    /// Items a day in each area.
    pub per_day: Vec<(QuotaKind, Option<u32>)>,
    /// Calls a second and action.
    pub requests_per_second: Option<Option<u32>>,
    /// Domains.
    pub domains_max: Option<Option<u32>>,
}

impl AccountPatch {
    fn apply(&self, record: &mut AccountRecord) -> Result<(), RegistryError> {
        if let Some(name) = &self.name {
            if name.chars().count() > 128 || name.chars().any(char::is_control) {
                let why = "it must have at most 128 characters, none of them a control character".to_owned();
                return Err(RegistryError::Invalid { field: "Name", why });
            }
            record.name.clone_from(name);
        }
        if let Some(state) = self.state {
            record.state = state.as_str().to_owned();
        }
        for (kind, value) in &self.per_call {
            set(&mut record.per_call, *kind, *value, "the items in one call", 1, URLS_PER_CALL_MAX)?;
        }
        for (kind, value) in &self.per_day {
            set(&mut record.per_day, *kind, *value, "the items a day", 0, QUOTA_MAX)?;
        }
        if let Some(value) = self.requests_per_second {
            record.requests_per_second = checked(value, "RequestsPerSecond", 1, u32::MAX)?;
        }
        if let Some(value) = self.domains_max {
            record.domains_max = checked(value, "DomainsMax", 0, 1_000_000)?;
        }
        Ok(())
    }
}

fn set(
    map: &mut std::collections::BTreeMap<String, u32>,
    kind: QuotaKind,
    value: Option<u32>,
    field: &'static str,
    least: u32,
    most: u32,
) -> Result<(), RegistryError> {
    match checked(value, field, least, most)? {
        Some(value) => map.insert(kind.as_str().to_owned(), value),
        None => map.remove(kind.as_str()),
    };
    Ok(())
}

fn checked(value: Option<u32>, field: &'static str, least: u32, most: u32) -> Result<Option<u32>, RegistryError> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(RegistryError::Invalid { field, why: format!("it must be from {least} to {most}") })
        }
        value => Ok(value),
    }
}

/// A number that nobody has or had.
fn free_uin(snapshot: &Snapshot) -> u64 {
    let last_account = snapshot.accounts.keys().next_back().map_or(0, |id| id.0);
    let last_user = snapshot.users.keys().next_back().copied().unwrap_or(0);
    last_account.max(last_user).max(snapshot.last_uin).saturating_add(1).max(FIRST_UIN)
}

/// Numbers travel as signed 64 bits in the contract's answers.
fn check_uin(uin: u64) -> Result<u64, RegistryError> {
    if uin != 0 && i64::try_from(uin).is_ok() {
        return Ok(uin);
    }
    Err(RegistryError::Invalid { field: "Uin", why: "it must be from 1 to 9223372036854775807".to_owned() })
}

/// Remembers a number that is given out.
fn count(snapshot: &Snapshot, uin: u64) -> Change {
    put(COUNTER, &CounterRecord { last: uin.max(snapshot.last_uin) })
}

fn is_taken(snapshot: &Snapshot, uin: u64) -> bool {
    snapshot.account_of(Principal(uin)).is_some()
}

impl Registry {
    /// Makes a root account; without a number it gets the next free one.
    ///
    /// # Errors
    /// [`RegistryError::Exists`], [`RegistryError::Invalid`].
    pub async fn create_account(
        &self,
        uin: Option<u64>,
        patch: &AccountPatch,
    ) -> Result<Done<AccountId>, RegistryError> {
        let now = self.now().0;
        self.update(|snapshot| {
            let uin = uin.unwrap_or_else(|| free_uin(snapshot));
            check_uin(uin)?;
            if is_taken(snapshot, uin) {
                return Err(RegistryError::Exists { kind: "account or user", id: uin.to_string() });
            }
            let state = AccountState::Active.as_str().to_owned();
            let mut record = AccountRecord { state, created_at: now, ..AccountRecord::default() };
            patch.apply(&mut record)?;
            Ok((vec![put(&uin.to_string(), &record), count(snapshot, uin)], AccountId(uin)))
        })
        .await
    }

    /// Changes a root account.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::Invalid`].
    pub async fn change_account(&self, account: AccountId, patch: &AccountPatch) -> Result<Done<()>, RegistryError> {
        self.update(|snapshot| {
            let known = snapshot.accounts.get(&account).ok_or_else(|| not_found("account", account))?;
            let mut record = known.record.clone();
            patch.apply(&mut record)?;
            Ok((vec![put(&account.to_string(), &record)], ()))
        })
        .await
    }

    /// Deletes a root account that has neither users nor domains left, with all else that it has.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`StateProblem::NotEmpty`].
    pub async fn delete_account(&self, account: AccountId) -> Result<Done<()>, RegistryError> {
        self.update(|snapshot| {
            if !snapshot.accounts.contains_key(&account) {
                return Err(not_found("account", account));
            }
            let has_users = snapshot.users.values().any(|user| user.account == account);
            let has_domains = snapshot.domains.values().any(|domain| domain.record.account == account.0);
            if has_users || has_domains {
                return Err(RegistryError::State(StateProblem::NotEmpty));
            }
            let mut changes = vec![delete::<AccountRecord>(&account.to_string())];
            changes.extend(keys_of(snapshot, account.0));
            let policies = snapshot.policies.keys().filter(|(owner, _)| *owner == account);
            changes
                .extend(policies.map(|(_, name)| delete::<crate::record::PolicyRecord>(&format!("{account}/{name}"))));
            let of_account = |id: &&String| id.split('/').next() == Some(account.to_string().as_str());
            let quotas = snapshot.quotas.keys().filter(of_account);
            changes.extend(quotas.map(|id| delete::<crate::record::QuotaRecord>(id)));
            let webhooks = snapshot.webhooks_of(account);
            changes
                .extend(webhooks.map(|(name, _)| delete::<crate::record::WebhookRecord>(&format!("{account}/{name}"))));
            Ok((changes, ()))
        })
        .await
    }

    /// Makes a user of an account.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::Exists`], [`RegistryError::TooMany`].
    pub async fn create_user(&self, account: AccountId, name: &str) -> Result<Done<u64>, RegistryError> {
        check_name("Name", name)?;
        let created_at = self.now().0;
        self.update(|snapshot| {
            if !snapshot.accounts.contains_key(&account) {
                return Err(not_found("account", account));
            }
            let mut users = snapshot.users.values().filter(|user| user.account == account);
            if users.clone().any(|user| user.record.name == name) {
                return Err(RegistryError::Exists { kind: "user", id: name.to_owned() });
            }
            if users.nth(USERS_MAX - 1).is_some() {
                return Err(RegistryError::TooMany { what: "users of the account", limit: USERS_MAX });
            }
            let uin = check_uin(free_uin(snapshot))?;
            let enabled = Switch::Enabled;
            let record = UserRecord { account: account.0, name: name.to_owned(), enabled, created_at };
            Ok((vec![put(&uin.to_string(), &record), count(snapshot, uin)], uin))
        })
        .await
    }

    /// Switches a user's keys on or off, all at once.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn switch_user(&self, uin: u64, enabled: Switch) -> Result<Done<()>, RegistryError> {
        self.update(|snapshot| {
            let user = snapshot.users.get(&uin).ok_or_else(|| not_found("user", uin))?;
            let record = UserRecord { enabled, ..user.record.clone() };
            Ok((vec![put(&uin.to_string(), &record)], ()))
        })
        .await
    }

    /// Deletes a user with its keys.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn delete_user(&self, uin: u64) -> Result<Done<()>, RegistryError> {
        self.update(|snapshot| {
            if !snapshot.users.contains_key(&uin) {
                return Err(not_found("user", uin));
            }
            let mut changes = vec![delete::<UserRecord>(&uin.to_string())];
            changes.extend(keys_of(snapshot, uin));
            let attached = snapshot.attachments.iter().filter(|(user, _)| *user == uin);
            changes.extend(attached.map(|(user, name)| delete::<AttachmentRecord>(&format!("{user}/{name}"))));
            Ok((changes, ()))
        })
        .await
    }
}

/// Deletes all keys of a principal, temporary ones too.
fn keys_of(snapshot: &Snapshot, uin: u64) -> Vec<Change> {
    let keys = snapshot.keys.iter().filter(|(_, key)| key.principal == Principal(uin));
    keys.map(|(id, _)| delete::<KeyRecord>(id)).collect()
}
