//! Daily quotas.
//!
//! What this is: the day they belong to, what a plan takes from them, and the pure check.
//! Invariant: a plan is charged whole or not at all.

use crate::area::{Area, PerArea};
use crate::clock::UnixMillis;

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

/// URLs that a plan takes from each area's quota.
pub type Charge = PerArea<u32>;

/// A quota that a plan would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daily quota of {area} has {available} URLs left, the call needs {needed}")]
pub struct QuotaExceeded {
    /// The area whose quota is too small.
    pub area: Area,
    /// URLs still available in it today.
    pub available: u32,
    /// URLs that the plan needs there.
    pub needed: u32,
}

/// Whether `charge` fits on top of `used` within `limit`, in every area.
///
/// # Errors
/// The first area in which it does not fit.
pub fn check_quota(used: &PerArea<u32>, charge: &Charge, limit: &PerArea<u32>) -> Result<(), QuotaExceeded> {
    for area in Area::ALL {
        let available = limit.get(area).saturating_sub(*used.get(area));
        let needed = *charge.get(area);
        if needed > available {
            return Err(QuotaExceeded { area, available, needed });
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
        let used = PerArea { mainland: 9_990, overseas: 0 };
        let limit = PerArea { mainland: 10_000, overseas: 10_000 };
        assert_eq!(check_quota(&used, &PerArea { mainland: 10, overseas: 10_000 }, &limit), Ok(()));
        let refused = check_quota(&used, &PerArea { mainland: 11, overseas: 0 }, &limit);
        assert_eq!(refused, Err(QuotaExceeded { area: Area::Mainland, available: 10, needed: 11 }));
    }
}
