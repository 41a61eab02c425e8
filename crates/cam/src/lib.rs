//! CAM policies, version 2.0: who of an account's users may do what to which domain.
//!
//! What this is: the parser of policy documents ([`Policy::parse`]), their evaluation ([`evaluate`], [`allows_somewhere`]) and its explanation
//! ([`trace`]), after the vendor's pages 598/10603–10608. Where those are silent, the module that decides says so.
//!
//! What this is not: root accounts (they may do everything with what they own, and are not asked about here), who has which policy, which actions
//! exist. No IO and no clock: the request's surroundings come as a [`Context`].
//!
//! Invariants: what is not allowed is denied; one matching deny outweighs every allow; a policy that could not mean what it says is refused when it is
//! parsed, with the place; nothing that is parsed or evaluated can panic, and its time is bounded by the product of the sizes.

pub mod limits;

mod action;
mod condition;
mod error;
mod evaluate;
mod json;
mod policy;
mod resource;
mod shown;
mod template;
mod trace;
mod wildcard;

pub use action::ActionPattern;
pub use error::{Place, PolicyError, Problem, ResourceFault};
pub use evaluate::{Context, Decision, Mfa, Request, StatementRef, Tag, Verdict, allows_somewhere, evaluate};
pub use policy::{Effect, Policy, Statement};
pub use resource::{Resource, ResourcePattern};
pub use trace::{Considered, Trace, Why, trace};
