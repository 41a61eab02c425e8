//! Accounts, users, keys, policies, domains, quotas and webhooks: what is managed rather than purged.
//!
//! What this is: the records of all these ([`record`]), the checked picture of them that calls are
//! decided by ([`snapshot`]), the changes that an operator or an owner may make ([`registry`]), and
//! the encryption of secrets at rest ([`vault`]).
//! What this is not: HTTP, SQL, or the decision about one call; records go through the port `Store` as
//! opaque texts, and callers hold a snapshot for as long as one call takes.
//!
//! Invariants: a change is checked against the very generation on top of which it is kept; a snapshot
//! never changes; a secret leaves in one answer only, the one that created it.

pub mod change;
pub mod error;
pub mod record;
pub mod registry;
pub mod snapshot;
pub mod vault;

pub use error::RegistryError;
pub use registry::{Defaults, Registry};
pub use snapshot::Snapshot;
