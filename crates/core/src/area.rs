//! Acceleration regions.
//!
//! What this is: the two regions of the contract and the non-empty sets of them that a domain or
//! an item can have. "global" is not a third region but both.

use std::fmt;

/// An acceleration region. Each has its own log, nodes and quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Area {
    /// Nodes in mainland China.
    Mainland,
    /// Nodes elsewhere.
    Overseas,
}

impl Area {
    /// Both regions, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::Mainland, Self::Overseas];

    /// The contract's name of the region.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mainland => "mainland",
            Self::Overseas => "overseas",
        }
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The regions of a domain or of one item: one, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AreaSet {
    /// One region.
    One(Area),
    /// Both regions.
    Global,
}

impl AreaSet {
    /// Whether the region is in the set.
    #[must_use]
    pub fn contains(self, area: Area) -> bool {
        match self {
            Self::One(one) => one == area,
            Self::Global => true,
        }
    }

    /// Whether a filter for this set keeps something of `other`: one region keeps what has both too, `Global` only
    /// what has both.
    #[must_use]
    pub fn keeps(self, other: Self) -> bool {
        match self {
            Self::One(area) => other.contains(area),
            Self::Global => other == Self::Global,
        }
    }

    /// The regions of the set.
    pub fn iter(self) -> impl Iterator<Item = Area> {
        Area::ALL.into_iter().filter(move |area| self.contains(*area))
    }

    /// The contract's name of the set.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::One(area) => area.as_str(),
            Self::Global => "global",
        }
    }
}

/// One value for each region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerArea<T> {
    /// The value for the mainland.
    pub mainland: T,
    /// The value for overseas.
    pub overseas: T,
}

impl<T> PerArea<T> {
    /// Makes each value from its region.
    pub fn from_fn(mut make: impl FnMut(Area) -> T) -> Self {
        Self { mainland: make(Area::Mainland), overseas: make(Area::Overseas) }
    }

    /// The value of a region.
    pub const fn get(&self, area: Area) -> &T {
        match area {
            Area::Mainland => &self.mainland,
            Area::Overseas => &self.overseas,
        }
    }

    /// The value of a region, to change it.
    pub const fn get_mut(&mut self, area: Area) -> &mut T {
        match area {
            Area::Mainland => &mut self.mainland,
            Area::Overseas => &mut self.overseas,
        }
    }
}
