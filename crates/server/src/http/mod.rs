//! The HTTP doors of the server: the API that callers sign requests for, and the operator's view.

mod access;
mod actions;
mod answers;
mod body;
mod connection;
mod dispatch;
mod error;
mod listen;
mod ops;
mod probe;
mod rates;
mod tls;

pub use dispatch::{Api, Backend, DRAIN_TIMEOUT};
pub use listen::{Door, DoorLimits, Handler, Peer};
pub use ops::{Ops, OpsService};
pub use probe::ProbeOrigin;
pub use tls::{Tls, TlsError, TlsFiles};
