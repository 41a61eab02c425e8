//! From a submission to a plan (pure).
//!
//! What this is: [`plan`], which checks every item against the domains and works out the task, where
//! its items go and what they cost. Invariant: all or nothing; the first wrong item refuses the call.

use std::sync::Arc;

use crate::account::{Account, AccountState};
use crate::area::{Area, AreaSet, PerArea};
use crate::clock::UnixMillis;
use crate::domain::{Directory, Domain, DomainName, DomainStatus};
use crate::error::{Place, PurgeError};
use crate::quota::{Charge, QuotaDay, QuotaKind};
use crate::target::{Encode, HostName, Mode};
use crate::task::{AccountId, Item, Task, TaskId, TaskKind};

/// Which of the account's domains a caller may touch with the action at hand.
pub trait Permits: Send + Sync {
    /// Whether this one is among them.
    fn permits(&self, domain: &DomainName) -> bool;
}

/// How far a caller's word goes.
#[derive(Clone, Default)]
pub enum Scope {
    /// The root account: all of its domains.
    #[default]
    Account,
    /// A user: the domains that the policies permit.
    Policies(Arc<dyn Permits>),
}

impl Scope {
    /// Whether the caller may touch a domain of its account.
    #[must_use]
    pub fn permits(&self, domain: &DomainName) -> bool {
        match self {
            Self::Account => true,
            Self::Policies(policies) => policies.permits(domain),
        }
    }
}

impl std::fmt::Debug for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Account => "Account",
            Self::Policies(_) => "Policies",
        })
    }
}

/// Whoever signed a call.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The account.
    pub account: AccountId,
    /// How far the word goes with the action at hand.
    pub scope: Scope,
}

impl Caller {
    /// The root account itself.
    #[must_use]
    pub const fn root(account: AccountId) -> Self {
        Self { account, scope: Scope::Account }
    }
}

/// A call to purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// What the items are.
    pub kind: TaskKind,
    /// Whether copies are deleted or marked stale.
    pub mode: Mode,
    /// The URLs or directories, as submitted.
    pub items: Vec<Box<str>>,
    /// Where to purge; absent: where each domain is served.
    pub area: Option<Area>,
    /// How they are spelled for the caches.
    pub encode: Encode,
    /// Makes a repeated call the same call.
    pub claim: Option<Claim>,
    /// Endpoints of the account to tell when the task ends.
    pub notify: Vec<Box<str>>,
}

/// A `ClientToken` with the digest of what was asked under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The caller's token, unique within its account.
    pub token: Box<str>,
    /// SHA-256 of the call's content: another content under the same token is refused.
    pub digest: [u8; 32],
}

/// What a call costs, and what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toll {
    /// Whose quota it draws on.
    pub kind: QuotaKind,
    /// The day whose quota it draws on.
    pub day: QuotaDay,
    /// What it takes from each area's quota, a unit an item.
    pub charge: Charge,
    /// The account's quota of that day in each area.
    pub quota: PerArea<u32>,
}

/// A task that may be accepted, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The task.
    pub task: Task,
    /// What it costs.
    pub toll: Toll,
    /// Makes a repeated call the same call.
    pub claim: Option<Claim>,
    /// Endpoints of the account to tell when the task ends.
    pub notify: Vec<Box<str>>,
}

/// Plans a submission.
///
/// # Errors
/// [`PurgeError`], naming the position in the list of the item that refuses the call.
pub fn plan(
    caller: &Caller,
    request: Purge,
    directory: &Directory,
    now: UnixMillis,
    random: u64,
) -> Result<Plan, PurgeError> {
    let quota = request.kind.quota();
    let account = usable(caller, directory)?;
    check_count(request.items.len(), account, quota)?;
    let mut gate = Gate::new(caller, directory);
    let mut charge = Charge::default();
    let mut items = Vec::with_capacity(request.items.len());
    for (index, text) in request.items.into_iter().enumerate() {
        let place = Place { kind: quota, index };
        let target = request.kind.target(&text, request.encode);
        let target = target.map_err(|why| PurgeError::InvalidUrl { place, why })?;
        let host = target.host().expect("only Everything names no host, and no item is that");
        let areas = areas_of(gate.pass(place, host)?, place, host, request.area)?;
        areas.iter().for_each(|area| *charge.get_mut(area) += 1);
        items.push(Item { url: text, areas });
    }
    let day = QuotaDay::of(now);
    Ok(Plan {
        task: Task {
            id: TaskId::new(now, random),
            account: caller.account,
            kind: request.kind,
            mode: request.mode,
            encode: request.encode,
            accepted_at: now,
            items,
        },
        toll: Toll { kind: quota, day, charge, quota: account.limits.on(quota, day) },
        claim: request.claim,
        notify: request.notify,
    })
}

/// The caller's account, when it may change something.
///
/// # Errors
/// [`PurgeError::NotActivated`], [`PurgeError::AccountState`].
pub fn usable<'a>(caller: &Caller, directory: &'a Directory) -> Result<&'a Account, PurgeError> {
    let account = directory.account(caller.account).ok_or(PurgeError::AccountState(AccountState::NotActivated))?;
    match account.state {
        AccountState::Active | AccountState::Isolated => Ok(account),
        state @ (AccountState::NotActivated
        | AccountState::AuthPending
        | AccountState::AuthFailed
        | AccountState::Suspended
        | AccountState::Migrated
        | AccountState::NotAllowed) => Err(PurgeError::AccountState(state)),
    }
}

/// Refuses an empty list and one that is too long.
///
/// # Errors
/// [`PurgeError::Empty`], [`PurgeError::TooMany`].
pub fn check_count(count: usize, account: &Account, kind: QuotaKind) -> Result<(), PurgeError> {
    let limit = *account.limits.per_call.get(kind);
    if count == 0 {
        return Err(PurgeError::Empty { kind });
    }
    if count > limit as usize { Err(PurgeError::TooMany { kind, count, limit }) } else { Ok(()) }
}

/// Lets hosts pass that are online domains of the caller's, within its scope.
#[derive(Debug)]
pub struct Gate<'a> {
    caller: &'a Caller,
    directory: &'a Directory,
    /// The domain that passed last: neighbours mostly share theirs.
    last: Option<&'a Domain>,
}

impl<'a> Gate<'a> {
    /// A gate for one call.
    #[must_use]
    pub const fn new(caller: &'a Caller, directory: &'a Directory) -> Self {
        Self { caller, directory, last: None }
    }

    /// The domain of a host.
    ///
    /// # Errors
    /// [`PurgeError::UnknownHost`], [`PurgeError::HostDenied`], [`PurgeError::HostOffline`],
    /// [`PurgeError::HostHeld`].
    pub fn pass(&mut self, place: Place, host: &HostName) -> Result<&'a Domain, PurgeError> {
        // A host of another account is answered like an unknown one: who owns it is not ours to tell.
        let domain = self
            .directory
            .domain(host)
            .filter(|domain| domain.owner == self.caller.account)
            .ok_or_else(|| PurgeError::UnknownHost { place, host: host.clone() })?;
        if self.last.is_some_and(|last| std::ptr::eq(last, domain)) {
            return Ok(domain);
        }
        if !self.caller.scope.permits(&domain.name) {
            return Err(PurgeError::HostDenied { place, host: host.clone() });
        }
        match domain.status {
            DomainStatus::Online | DomainStatus::Processing => {}
            DomainStatus::Offline => return Err(PurgeError::HostOffline { place, host: host.clone() }),
            status @ (DomainStatus::Locked | DomainStatus::Rejected | DomainStatus::Closing) => {
                return Err(PurgeError::HostHeld { place, host: host.clone(), status });
            }
        }
        self.last = Some(domain);
        Ok(domain)
    }
}

fn areas_of(domain: &Domain, place: Place, host: &HostName, area: Option<Area>) -> Result<AreaSet, PurgeError> {
    match area {
        None => Ok(domain.areas),
        Some(area) if domain.areas.contains(area) => Ok(AreaSet::One(area)),
        Some(area) => {
            Err(PurgeError::AreaMismatch { place, host: host.clone(), area: AreaSet::One(area), served: domain.areas })
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
