//! Quotas that differ from those of their account.

use catharsis_core::limits::QUOTA_MAX;
use catharsis_core::quota::QuotaDay;

use super::not_found;
use crate::error::RegistryError;
use crate::record::{QuotaRecord, delete, put};
use crate::registry::{Done, Registry};
use crate::snapshot::QuotaId;

/// Longest raise, days: the contract's bound.
const RAISE_DAYS_MAX: u32 = 90;

/// Raises of an account; each is looked at with each call.
const RAISES_MAX: usize = 100;

impl Registry {
    /// Sets a quota for good, or raises it for some days (both included).
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::Invalid`], [`RegistryError::TooMany`].
    pub async fn set_quota(
        &self,
        id: QuotaId,
        total: u32,
        days: Option<(QuotaDay, QuotaDay)>,
    ) -> Result<Done<()>, RegistryError> {
        if total > QUOTA_MAX {
            return Err(RegistryError::Invalid { field: "Total", why: format!("it must be from 0 to {QUOTA_MAX}") });
        }
        if let Some((from, to)) = days
            && (to < from || to.0 - from.0 >= RAISE_DAYS_MAX)
        {
            let why = format!("it must be From or up to {} days later", RAISE_DAYS_MAX - 1);
            return Err(RegistryError::Invalid { field: "To", why });
        }
        let days = days.map(|(from, to)| (from.0, to.0));
        let name = id.write(days);
        let today = QuotaDay::of(self.now()).0;
        self.update(|snapshot| {
            if !snapshot.accounts.contains_key(&id.account) {
                return Err(not_found("account", id.account));
            }
            let of_account = || {
                snapshot
                    .quotas
                    .iter()
                    .filter(|(name, _)| QuotaId::parse(name).is_some_and(|it| it.account == id.account))
            };
            // Raises that are over go with the next that is made.
            let over = of_account().filter(|(_, quota)| quota.days.is_some_and(|(_, to)| to < today));
            let mut changes: Vec<_> = over.map(|(name, _)| delete::<QuotaRecord>(name)).collect();
            if of_account().count() - changes.len() >= RAISES_MAX && !snapshot.quotas.contains_key(&name) {
                return Err(RegistryError::TooMany { what: "quotas of the account", limit: RAISES_MAX });
            }
            changes.push(put(&name, &QuotaRecord { total, days }));
            Ok((changes, ()))
        })
        .await
    }

    /// Takes back what [`Self::set_quota`] has set.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn unset_quota(
        &self,
        id: QuotaId,
        days: Option<(QuotaDay, QuotaDay)>,
    ) -> Result<Done<()>, RegistryError> {
        let name = id.write(days.map(|(from, to)| (from.0, to.0)));
        self.update(|snapshot| match snapshot.quotas.contains_key(&name) {
            true => Ok((vec![delete::<QuotaRecord>(&name)], ())),
            false => Err(not_found("quota", &name)),
        })
        .await
    }
}
