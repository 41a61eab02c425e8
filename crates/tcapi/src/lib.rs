//! Tencent Cloud API 3.0 on the wire, for the product `cdn`, version `2018-06-06`.
//!
//! What it is: reading a signed HTTP request of any documented form ([`call`]), checking its signature ([`tc3`], [`v1`]), one tree of parameters
//! for JSON and flat forms ([`params`]), the typed actions ([`cdn`]), the answer ([`envelope`], [`code`]), the times of the contract ([`time`]) and
//! the client's side of the same things ([`client`]).
//! What it is not: a server, a network client, an account store, or the purge domain. It opens no socket and reads no clock; the caller passes both.
//!
//! Invariant: nothing a caller sends makes it panic or grow without bound; each refusal has a documented error code, and no text it produces holds a
//! secret key, a token or a signature that the server computed.
//!
//! A request is read in this order, each step possible only after the one before it:
//! [`Call::parse`] → [`cdn::Action::of`] → [`Call::timely`] → the account's key is looked up → [`call::Timely::verify`] → the server's checks of
//! token, permission and rate → [`call::Verified::params`] → the action's typed request.

pub mod auth;
pub mod call;
pub mod cdn;
mod chinese;
pub mod client;
pub mod code;
pub mod envelope;
pub mod language;
pub mod limits;
pub mod params;
pub mod request;
pub mod tc3;
mod text;
pub mod time;
pub mod v1;
mod wire_error;

pub use auth::{AuthError, SecretId, SecretKey, Token};
pub use call::{Call, CallError};
pub use code::{ErrorCode, WireError};
pub use envelope::RequestId;
pub use language::Language;
pub use request::RequestParts;
