//! The changes that can be made, a module for each thing that is managed.
//!
//! Each is a method of [`Registry`](crate::Registry) that decides on a snapshot and yields changes of
//! records. Invariant: what a change refuses, it refuses before anything is kept.

mod accounts;
mod domains;
mod keys;
mod policies;
mod quotas;
mod seed;
mod webhooks;

pub use accounts::AccountPatch;
pub use domains::{NewDomain, Wish};
pub use keys::{NewKey, NewToken, TOKEN_SECONDS_MAX, token_digest};
pub use seed::{Seed, SeedAccount, SeedDomain, SeedKey};
pub use webhooks::NewWebhook;

use rand::RngExt as _;
use rand::distr::Alphanumeric;

use crate::error::RegistryError;

/// Random letters and digits, from the operating system's randomness by way of the thread's generator.
fn random_text(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}

/// A name that people give: 1 to 64 letters, digits, `-`, `_` and `.`.
fn check_name(field: &'static str, name: &str) -> Result<(), RegistryError> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let why = "it must be of 1 to 64 letters, digits, `-`, `_` and `.`";
    if fits { Ok(()) } else { Err(RegistryError::Invalid { field, why: why.to_owned() }) }
}

fn not_found(kind: &'static str, id: impl std::fmt::Display) -> RegistryError {
    RegistryError::NotFound { kind, id: format!("{id}") }
}
