//! The words of the admin API: the engine's enumerations as they are written in JSON.

use catharsis_core::account::AccountState;
use catharsis_core::area::{Area, AreaSet};
use catharsis_core::domain::DomainStatus;
use catharsis_core::quota::QuotaKind;
use catharsis_registry::record::Switch;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident of $ours:ident { $($(#[doc = $said:literal])+ $variant:ident,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub(super) enum $name {
            $($(#[doc = $said])+ $variant,)+
        }

        impl From<$ours> for $name {
            fn from(ours: $ours) -> Self {
                match ours { $($ours::$variant => Self::$variant,)+ }
            }
        }

        impl From<$name> for $ours {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => Self::$variant,)+ }
            }
        }
    };
}

words! {
    /// Whether an account may use the service.
    StateName of AccountState {
        /// It may.
        Active,
        /// The service was never activated for it.
        NotActivated,
        /// Its owner's identity is being checked.
        AuthPending,
        /// The check of its owner's identity failed.
        AuthFailed,
        /// The service was stopped for it.
        Suspended,
        /// It may purge what it has, but add or start no domain.
        Isolated,
        /// It was moved to another product.
        Migrated,
        /// It may see, but change nothing.
        NotAllowed,
    }
}

words! {
    /// Whether a user's keys, or a key, work.
    SwitchName of Switch {
        /// They do.
        Enabled,
        /// They are refused.
        Disabled,
    }
}

words! {
    /// Where a domain stands.
    StatusName of DomainStatus {
        /// Served; may be purged.
        Online,
        /// Stopped by its owner.
        Offline,
        /// A change is on its way to the edges.
        Processing,
        /// Held by an operator.
        Locked,
        /// Refused by an operator.
        Rejected,
        /// About to be offline.
        Closing,
    }
}

words! {
    /// What a quota counts.
    KindName of QuotaKind {
        /// URLs to purge.
        Url,
        /// Directories to purge.
        Path,
        /// URLs to prefetch.
        Push,
    }
}

words! {
    /// One acceleration region.
    OneAreaName of Area {
        /// Mainland China.
        Mainland,
        /// Elsewhere.
        Overseas,
    }
}

/// Where a domain is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AreasName {
    /// Mainland China only.
    Mainland,
    /// Elsewhere only.
    Overseas,
    /// Both.
    Global,
}

impl From<AreaSet> for AreasName {
    fn from(areas: AreaSet) -> Self {
        match areas {
            AreaSet::One(Area::Mainland) => Self::Mainland,
            AreaSet::One(Area::Overseas) => Self::Overseas,
            AreaSet::Global => Self::Global,
        }
    }
}

impl From<AreasName> for AreaSet {
    fn from(name: AreasName) -> Self {
        match name {
            AreasName::Mainland => Self::One(Area::Mainland),
            AreasName::Overseas => Self::One(Area::Overseas),
            AreasName::Global => Self::Global,
        }
    }
}
