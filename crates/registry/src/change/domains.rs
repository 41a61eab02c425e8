//! Domains: what their owners and operators may do with them.

use catharsis_core::area::AreaSet;
use catharsis_core::domain::{DomainName, DomainStatus};
use catharsis_core::keys::KeyRules;
use catharsis_core::record::Change;
use catharsis_core::task::AccountId;

use super::not_found;
use crate::error::{RegistryError, StateProblem};
use crate::record::{DomainRecord, OriginRecord, delete, put};
use crate::registry::{Done, Registry};
use crate::snapshot::{DomainEntry, Snapshot};

/// Characters of a domain's name in `AddCdnDomain`.
pub(crate) const NAME_MAX: usize = 81;

/// A domain to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDomain {
    /// Whose.
    pub account: AccountId,
    /// Its name.
    pub name: DomainName,
    /// Where it is served.
    pub areas: AreaSet,
    /// The contract's word: `web`, `download`, …
    pub service_type: String,
    /// The contract's number.
    pub project_id: i64,
    /// Where edges fetch it; absent: as their own files say.
    pub origin: Option<OriginRecord>,
    /// What its caches take for the same resource.
    pub keys: KeyRules,
}

/// What its owner wants of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Be served; it must be offline.
    Start,
    /// Not be served, 404 instead; it must be online.
    Stop,
    /// Be forgotten; it must be offline.
    Delete,
}

impl Registry {
    /// Makes a domain, online.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] for the account, [`RegistryError::Exists`], [`RegistryError::OwnedByOther`],
    /// [`RegistryError::Conflict`], [`RegistryError::TooMany`], [`RegistryError::Invalid`].
    pub async fn create_domain(&self, new: &NewDomain) -> Result<Done<()>, RegistryError> {
        let now = self.now().0;
        let name = new.name.to_string();
        self.update(|snapshot| {
            check_free(snapshot, new, &name)?;
            let record = DomainRecord {
                account: new.account.0,
                area: new.areas.as_str().to_owned(),
                status: DomainStatus::Online.as_str().to_owned(),
                service_type: new.service_type.clone(),
                project_id: new.project_id,
                origin: new.origin.clone(),
                key_rules: stored(&new.keys),
                created_at: now,
                updated_at: now,
                changed_in: snapshot.generation + 1,
            };
            Ok((vec![put(&name, &record)], ()))
        })
        .await
    }

    /// What [`Self::create_domain`] would answer now.
    ///
    /// # Errors
    /// As there.
    pub fn check_domain(&self, new: &NewDomain) -> Result<(), RegistryError> {
        check_free(&self.snapshot(), new, &new.name.to_string())
    }

    /// What [`Self::wish`] would answer now.
    ///
    /// # Errors
    /// As there.
    pub fn check_wish(&self, account: AccountId, name: &DomainName, wish: Wish) -> Result<(), RegistryError> {
        let snapshot = self.snapshot();
        let known = owned(&snapshot, account, &name.to_string())?;
        wished(known.status, wish).map(|_| ()).map_err(RegistryError::State)
    }

    /// Carries out an owner's wish.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], also for a domain of another account; [`RegistryError::State`].
    pub async fn wish(&self, account: AccountId, name: &DomainName, wish: Wish) -> Result<Done<()>, RegistryError> {
        let now = self.now().0;
        let name = name.to_string();
        self.update(|snapshot| {
            let known = owned(snapshot, account, &name)?;
            let status = wished(known.status, wish).map_err(RegistryError::State)?;
            Ok((vec![with_status(snapshot, known, &name, status, now)], ()))
        })
        .await
    }

    /// Sets the status of a domain, as an operator may.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn set_domain_status(&self, name: &DomainName, status: DomainStatus) -> Result<Done<()>, RegistryError> {
        let now = self.now().0;
        let name = name.to_string();
        self.update(|snapshot| {
            let known = snapshot.domains.get(&name).ok_or_else(|| not_found("domain", &name))?;
            Ok((vec![with_status(snapshot, known, &name, Some(status), now)], ()))
        })
        .await
    }

    /// Says what the caches of a domain take for the same resource.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn set_domain_keys(&self, name: &DomainName, keys: &KeyRules) -> Result<Done<()>, RegistryError> {
        let now = self.now().0;
        let name = name.to_string();
        self.update(|snapshot| {
            let known = snapshot.domains.get(&name).ok_or_else(|| not_found("domain", &name))?;
            let changed_in = snapshot.generation + 1;
            let record = DomainRecord { key_rules: stored(keys), updated_at: now, changed_in, ..known.record.clone() };
            Ok((vec![put(&name, &record)], ()))
        })
        .await
    }

    /// Deletes a domain, whatever its status, as an operator may.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn delete_domain(&self, name: &DomainName) -> Result<Done<()>, RegistryError> {
        let name = name.to_string();
        self.update(|snapshot| match snapshot.domains.contains_key(&name) {
            true => Ok((vec![delete::<DomainRecord>(&name)], ())),
            false => Err(not_found("domain", &name)),
        })
        .await
    }
}

/// Rules as a record holds them.
pub(super) fn stored(keys: &KeyRules) -> Option<String> {
    (*keys != KeyRules::default()).then(|| keys.to_string())
}

/// A domain of the account; another one is answered like an unknown one.
fn owned<'a>(snapshot: &'a Snapshot, account: AccountId, name: &str) -> Result<&'a DomainEntry, RegistryError> {
    let own = |entry: &&DomainEntry| entry.record.account == account.0;
    snapshot.domains.get(name).filter(own).ok_or_else(|| not_found("domain", name))
}

/// The status that a wish leads to; `None`: none any more.
fn wished(status: DomainStatus, wish: Wish) -> Result<Option<DomainStatus>, StateProblem> {
    match (status, wish) {
        (DomainStatus::Locked, _) => Err(StateProblem::Locked),
        (DomainStatus::Rejected, Wish::Start | Wish::Stop) => Err(StateProblem::Rejected),
        (DomainStatus::Processing | DomainStatus::Closing, _) => Err(StateProblem::InProgress),
        (DomainStatus::Offline, Wish::Start) => Ok(Some(DomainStatus::Online)),
        (DomainStatus::Online, Wish::Stop) => Ok(Some(DomainStatus::Offline)),
        (DomainStatus::Offline | DomainStatus::Rejected, Wish::Delete) => Ok(None),
        (DomainStatus::Online, Wish::Start | Wish::Delete) => Err(StateProblem::NotOffline),
        (DomainStatus::Offline, Wish::Stop) => Err(StateProblem::NotOnline),
    }
}

fn with_status(snapshot: &Snapshot, known: &DomainEntry, name: &str, status: Option<DomainStatus>, now: u64) -> Change {
    match status {
        None => delete::<DomainRecord>(name),
        Some(status) => {
            let status = status.as_str().to_owned();
            let changed_in = snapshot.generation + 1;
            put(name, &DomainRecord { status, updated_at: now, changed_in, ..known.record.clone() })
        }
    }
}

fn check_free(snapshot: &Snapshot, new: &NewDomain, name: &str) -> Result<(), RegistryError> {
    if name.len() > NAME_MAX {
        let why = format!("it must have at most {NAME_MAX} characters");
        return Err(RegistryError::Invalid { field: "Domain", why });
    }
    let account = snapshot.directory.account(new.account).ok_or_else(|| not_found("account", new.account))?;
    if let Some(known) = snapshot.domains.get(name) {
        return Err(if known.record.account == new.account.0 {
            RegistryError::Exists { kind: "domain", id: name.to_owned() }
        } else {
            RegistryError::OwnedByOther { name: name.to_owned() }
        });
    }
    let others = || snapshot.domains.values().filter(|it| it.record.account != new.account.0);
    if let Some(other) = others().find(|other| meets(&other.name, &new.name)) {
        return Err(RegistryError::Conflict { name: name.to_owned(), other: other.name.to_string() });
    }
    let own = snapshot.domains.values().filter(|it| it.record.account == new.account.0).count();
    let limit = account.limits.domains as usize;
    if own >= limit { Err(RegistryError::TooMany { what: "domains of the account", limit }) } else { Ok(()) }
}

/// Whether some host could be of both.
fn meets(one: &DomainName, other: &DomainName) -> bool {
    let below = |host: &DomainName, parent: &DomainName| host.host().parents().any(|it| it == *parent.host());
    match (one, other) {
        (DomainName::Exact(one), DomainName::Exact(other)) => one == other,
        (DomainName::Exact(_), DomainName::Below(_)) => below(one, other),
        (DomainName::Below(_), DomainName::Exact(_)) => below(other, one),
        (DomainName::Below(a), DomainName::Below(b)) => a == b || below(one, other) || below(other, one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_of_two_accounts_may_not_meet() {
        let meet = |one: &str, other: &str| {
            let name = |text: &str| DomainName::parse(text).expect("a valid name");
            meets(&name(one), &name(other))
        };
        assert!(meet("www.a.test", "*.a.test") && meet("*.a.test", "x.y.a.test") && meet("*.a.test", "*.x.a.test"));
        assert!(!meet("a.test", "*.a.test") && !meet("*.a.test", "*.b.test") && !meet("xa.test", "*.a.test"));
    }

    #[test]
    fn owner_starts_what_is_offline_and_stops_what_is_online() {
        use DomainStatus::{Closing, Locked, Offline, Online, Processing, Rejected};
        assert_eq!(wished(Offline, Wish::Start), Ok(Some(Online)));
        assert_eq!(wished(Online, Wish::Stop), Ok(Some(Offline)));
        assert_eq!(wished(Offline, Wish::Delete), Ok(None));
        assert_eq!(wished(Rejected, Wish::Delete), Ok(None));
        for (status, wish, why) in [
            (Online, Wish::Start, StateProblem::NotOffline),
            (Online, Wish::Delete, StateProblem::NotOffline),
            (Offline, Wish::Stop, StateProblem::NotOnline),
            (Locked, Wish::Delete, StateProblem::Locked),
            (Rejected, Wish::Start, StateProblem::Rejected),
            (Processing, Wish::Stop, StateProblem::InProgress),
            (Closing, Wish::Start, StateProblem::InProgress),
        ] {
            assert_eq!(wished(status, wish), Err(why), "{status:?} {wish:?}");
        }
    }
}
