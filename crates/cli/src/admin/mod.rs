//! The operator's commands: accounts, users, keys, policies, domains, quotas and webhooks.
//!
//! What this is: a client of the admin API, which has its own listener and its own credential.
//! What it is not: a client of the public API, or a keeper of what it shows.
//!
//! Invariant: a secret that the service shows once is printed once, on standard output; no other
//! output and no error repeats it, or the operator's credential.

pub(crate) mod account;
mod client;
pub(crate) mod domain;
pub(crate) mod key;
mod options;
pub(crate) mod policy;
mod present;
pub(crate) mod quota;
mod session;
pub(crate) mod user;
pub(crate) mod webhook;

pub(crate) use client::path;
pub(crate) use options::Operator;
