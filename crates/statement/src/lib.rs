//! What became of a task as a signed statement.
//!
//! What this is: the form of a statement, the envelope that it is signed in (DSSE 1.0.2,
//! <https://github.com/secure-systems-lab/dsse>), the Ed25519 key, and the check that needs nothing but the file
//! and the public key. The server signs with it and the client checks with it. What this is not: the receipts
//! themselves; nothing here knows the engine, and this crate depends on none of ours.
//!
//! Invariant: a statement can be had out of an envelope only through [`Envelope::open`], which checks the signature
//! over the very bytes that are then read.

mod envelope;
mod key;
mod statement;

pub use envelope::{ENVELOPE_BYTES_MAX, Envelope, NotVerified, PAYLOAD_TYPE, TooLong};
pub use key::{KeyError, PublicKey, Signer};
pub use statement::{
    Item, ItemAudit, NodeStatement, Outcome, OutcomeRun, Statement, Status, VERSION, VERSION_MIN, Verdict,
};
