//! Daily quotas.
//!
//! What this is: the kinds of work that have one, the day they belong to, what a plan takes from
//! them, and the pure check. Invariant: a plan is charged whole or not at all.

use crate::area::{Area, PerArea};
use crate::clock::UnixMillis;

/// Work that has a daily quota of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuotaKind {
    /// URLs to purge.
    Url,
    /// Directories to purge.
    Path,
    /// URLs to prefetch.
    Push,
}

impl QuotaKind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Url, Self::Path, Self::Push];

    /// The kind's name: `url`, `path` or `push`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Path => "path",
            Self::Push => "push",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One value for each kind of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerKind<T> {
    /// The value for URLs to purge.
    pub url: T,
    /// The value for directories to purge.
    pub path: T,
    /// The value for URLs to prefetch.
    pub push: T,
}

impl<T> PerKind<T> {
    /// Makes each value from its kind.
    pub fn from_fn(mut make: impl FnMut(QuotaKind) -> T) -> Self {
        Self { url: make(QuotaKind::Url), path: make(QuotaKind::Path), push: make(QuotaKind::Push) }
    }

    /// The value of a kind.
    pub const fn get(&self, kind: QuotaKind) -> &T {
        match kind {
            QuotaKind::Url => &self.url,
            QuotaKind::Path => &self.path,
            QuotaKind::Push => &self.push,
        }
    }

    /// The value of a kind, to change it.
    pub const fn get_mut(&mut self, kind: QuotaKind) -> &mut T {
        match kind {
            QuotaKind::Url => &mut self.url,
            QuotaKind::Path => &mut self.path,
            QuotaKind::Push => &mut self.push,
        }
    }
}

/// A quota day: days since 1970-01-01 in UTC+8, where the contract resets quotas at 00:00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuotaDay(pub u32);

impl QuotaDay {
    /// The quota day of a point in time.
    #[must_use]
    pub fn of(now: UnixMillis) -> Self {
        const SHIFT_SECONDS: u64 = 8 * 3_600;
        let day = (now.seconds() + SHIFT_SECONDS) / 86_400;
        Self(u32::try_from(day).unwrap_or(u32::MAX))
    }
}

/// A quota that is raised for some days (both included).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raise {
    /// Which quota.
    pub kind: QuotaKind,
    /// Where.
    pub area: Area,
    /// What it is raised to; a value below the permanent quota changes nothing.
    pub total: u32,
    /// From 00:00 UTC+8 of this day.
    pub from: QuotaDay,
    /// Until 24:00 UTC+8 of this day.
    pub to: QuotaDay,
}

/// What a plan takes from each area's quota, a unit an item.
pub type Charge = PerArea<u32>;

/// A quota that a plan would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daily {} quota of {area} has {available} left, the call needs {needed}", kind.as_str())]
pub struct QuotaExceeded {
    /// Which quota.
    pub kind: QuotaKind,
    /// The area whose quota is too small.
    pub area: Area,
    /// Units still available in it today.
    pub available: u32,
    /// Units that the plan needs there.
    pub needed: u32,
}

/// Whether `charge` fits on top of `used` within `limit`, in every area.
///
/// # Errors
/// The first area in which it does not fit.
pub fn check_quota(
    kind: QuotaKind,
    used: &PerArea<u32>,
    charge: &Charge,
    limit: &PerArea<u32>,
) -> Result<(), QuotaExceeded> {
    for area in Area::ALL {
        let available = limit.get(area).saturating_sub(*used.get(area));
        let needed = *charge.get(area);
        if needed > available {
            return Err(QuotaExceeded { kind, area, available, needed });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_day_turns_at_sixteen_hours_utc() {
        // 2024-01-01T15:59:59Z and 2024-01-01T16:00:00Z
        let before = QuotaDay::of(UnixMillis(1_704_124_799_999));
        let after = QuotaDay::of(UnixMillis(1_704_124_800_000));
        assert_eq!(after.0, before.0 + 1);
    }

    #[test]
    fn quota_is_used_to_the_last_unit_and_not_beyond() {
        let kind = QuotaKind::Url;
        let used = PerArea { mainland: 9_990, overseas: 0 };
        let limit = PerArea { mainland: 10_000, overseas: 10_000 };
        assert_eq!(check_quota(kind, &used, &PerArea { mainland: 10, overseas: 10_000 }, &limit), Ok(()));
        let refused = check_quota(kind, &used, &PerArea { mainland: 11, overseas: 0 }, &limit);
        assert_eq!(refused, Err(QuotaExceeded { kind, area: Area::Mainland, available: 10, needed: 11 }));
    }
}
