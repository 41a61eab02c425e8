//! The HTTP doors of the server: the API that callers sign requests for, and the operator's view.

mod actions;
mod answers;
mod auth;
mod body;
mod connection;
mod dispatch;
mod error;
mod listen;
mod ops;
mod tls;

pub use auth::Keyring;
pub use dispatch::{Api, DRAIN_TIMEOUT};
pub use listen::{Door, DoorLimits, Handler, Peer};
pub use ops::{Ops, OpsService};
pub use tls::{Tls, TlsError, TlsFiles};
