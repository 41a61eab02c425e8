//! Root accounts as purging sees them.
//!
//! What this is: whether an account may use the service, and how much. What this is not: its users,
//! keys and policies; those decide who speaks for it before any of this is asked.

use crate::area::{Area, PerArea};
use crate::limits::{
    DOMAINS, PATHS_PER_CALL, PATHS_PER_DAY, PUSHES_PER_CALL, PUSHES_PER_DAY, URLS_PER_CALL, URLS_PER_DAY,
};
use crate::quota::{PerKind, QuotaDay, QuotaKind, Raise};

/// Whether an account may use the service; an operator sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AccountState {
    /// It may.
    #[default]
    Active,
    /// The service was never activated for it.
    NotActivated,
    /// Its owner's identity is being checked.
    AuthPending,
    /// The check of its owner's identity failed.
    AuthFailed,
    /// The service was stopped, for instance for an unpaid bill.
    Suspended,
    /// It may purge what it has, but add or start no domain.
    Isolated,
    /// It was moved to another product.
    Migrated,
    /// It may see, but change nothing.
    NotAllowed,
}

impl AccountState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Active,
        Self::NotActivated,
        Self::AuthPending,
        Self::AuthFailed,
        Self::Suspended,
        Self::Isolated,
        Self::Migrated,
        Self::NotAllowed,
    ];

    /// The state's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NotActivated => "not_activated",
            Self::AuthPending => "auth_pending",
            Self::AuthFailed => "auth_failed",
            Self::Suspended => "suspended",
            Self::Isolated => "isolated",
            Self::Migrated => "migrated",
            Self::NotAllowed => "not_allowed",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// How much an account may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Items in one call.
    pub per_call: PerKind<u32>,
    /// Items a day in each area, permanently; the day begins at 00:00 UTC+8.
    pub per_day: PerKind<PerArea<u32>>,
    /// Quotas that are raised for some days.
    pub raises: Vec<Raise>,
    /// Domains that it may have.
    pub domains: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let everywhere = |day: u32| PerArea::from_fn(|_: Area| day);
        Self {
            per_call: PerKind { url: URLS_PER_CALL, path: PATHS_PER_CALL, push: PUSHES_PER_CALL },
            per_day: PerKind {
                url: everywhere(URLS_PER_DAY),
                path: everywhere(PATHS_PER_DAY),
                push: everywhere(PUSHES_PER_DAY),
            },
            raises: Vec::new(),
            domains: DOMAINS,
        }
    }
}

impl Limits {
    /// The quota of a kind on a day, raises included.
    #[must_use]
    pub fn on(&self, kind: QuotaKind, day: QuotaDay) -> PerArea<u32> {
        let mut quota = *self.per_day.get(kind);
        for raise in self.raises.iter().filter(|raise| raise.kind == kind && (raise.from..=raise.to).contains(&day)) {
            let there = quota.get_mut(raise.area);
            *there = raise.total.max(*there);
        }
        quota
    }
}

/// A root account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Whether it may use the service.
    pub state: AccountState,
    /// How much it may do.
    pub limits: Limits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raise_counts_on_its_days_in_its_area_and_never_lowers() {
        let raise =
            |total| Raise { kind: QuotaKind::Url, area: Area::Overseas, total, from: QuotaDay(10), to: QuotaDay(11) };
        let limits = Limits { raises: vec![raise(5), raise(20_000)], ..Limits::default() };
        let on = |day| limits.on(QuotaKind::Url, QuotaDay(day));
        assert_eq!(on(9), PerArea { mainland: 10_000, overseas: 10_000 });
        assert_eq!(on(10), PerArea { mainland: 10_000, overseas: 20_000 });
        assert_eq!(on(11).overseas, 20_000);
        assert_eq!(on(12).overseas, 10_000);
        assert_eq!(limits.on(QuotaKind::Path, QuotaDay(10)), PerArea { mainland: 100, overseas: 100 });
    }
}
