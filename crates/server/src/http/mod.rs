//! The HTTP doors of the server: the API that callers sign requests for, and the operator's view.

mod actions;
mod answers;
mod auth;
mod body;
mod dispatch;
mod error;
mod listen;
mod ops;

pub use auth::Keyring;
pub use dispatch::{Api, DRAIN_TIMEOUT};
pub use listen::{Door, DoorLimits, Handler};
pub use ops::{Ops, OpsService};
