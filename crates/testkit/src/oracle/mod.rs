//! The oracle: what clients see is compared with what the origin published, and with nothing else.
//!
//! What this is: an origin that alone knows the versions of each page ([`origin`]), clients that read
//! through every node all the time ([`readers`]), a driver that changes pages and purges them
//! ([`run`]), and the judge ([`history`]). It works on the built-in edge and on any other cache,
//! since all that it uses is HTTP, the API's answer to a purge, and the API's `done`.
//!
//! What this is not: a test of how purging works. It knows of no log, cursor, fence or receipt.
//!
//! Invariant: no false alarm. What each alarm rests on is in [`history`].

pub mod history;
pub mod origin;
mod page;
pub mod readers;
mod response;
pub mod run;
mod set_up;

pub use page::{PageId, Pages};
pub use set_up::{Cache, SetUp};
