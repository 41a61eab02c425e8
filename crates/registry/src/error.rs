//! Why something managed was not changed or could not be read.

use catharsis_core::error::StoreError;

use crate::vault::VaultError;

/// Why a change was refused. Texts are for the person who asked for it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no such thing.
    #[error("there is no {kind} `{id}`")]
    NotFound {
        /// What was looked for.
        kind: &'static str,
        /// Its id.
        id: String,
    },
    /// There is one already.
    #[error("there is a {kind} `{id}` already")]
    Exists {
        /// What was to be made.
        kind: &'static str,
        /// Its id.
        id: String,
    },
    /// A domain that another account has.
    #[error("the domain `{name}` belongs to another account")]
    OwnedByOther {
        /// The domain.
        name: String,
    },
    /// A domain of which another one is a part, or that is part of another one, of another account.
    #[error("the domain `{name}` meets `{other}`, which belongs to another account")]
    Conflict {
        /// The domain.
        name: String,
        /// The one it meets.
        other: String,
    },
    /// More than an account or user may have.
    #[error("{what}: at most {limit} are allowed")]
    TooMany {
        /// What there would be too many of.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A value that breaks a rule.
    #[error("{field}: {why}")]
    Invalid {
        /// Which value.
        field: &'static str,
        /// The rule.
        why: String,
    },
    /// Something else depends on it, or it is not in the state that the change needs.
    #[error("{0}")]
    State(StateProblem),
    /// Others changed something faster than this change could be decided, several times in a row.
    #[error("the records kept changing: try again")]
    Contended,
    /// A record that cannot be understood.
    #[error("the record {kind} `{id}` cannot be understood: {why}")]
    Damaged {
        /// Its kind.
        kind: String,
        /// Its id.
        id: String,
        /// What is wrong with it.
        why: String,
    },
    /// A secret cannot be encrypted or decrypted.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a change does not fit the present state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateProblem {
    /// To be started, a domain must be offline.
    #[error("the domain is not offline")]
    NotOffline,
    /// To be stopped, a domain must be online.
    #[error("the domain is not online")]
    NotOnline,
    /// An operator holds the domain.
    #[error("the domain is locked")]
    Locked,
    /// An operator refused the domain.
    #[error("the domain was rejected")]
    Rejected,
    /// An earlier change of the domain is still on its way.
    #[error("an earlier change of the domain is still on its way: try again in a moment")]
    InProgress,
    /// Users, keys or domains are left.
    #[error("the account still has users or domains: delete them first")]
    NotEmpty,
    /// A policy that users still have.
    #[error("the policy is attached to users: detach it first")]
    Attached,
}
