//! The agent beside a Squid: it names what Squid stores, so that a purge is a new name.
//!
//! What this is: Squid asks a program for the *store id* of each request (`store_id_program`), the name
//! under which it looks up and keeps the response. The agent answers the URL in the form that its
//! domain's key rules give it, and behind it the point of the newest purge that concerns it. After a
//! purge of a URL, a directory, a host or everything the same request has another name: all variants
//! are out of reach at once, a fetch under way is kept under the old name, and a directory costs the
//! same whatever lies below it. What this is not: a way to free room. What is out of reach goes when
//! Squid needs its place.
//!
//! Invariant: a name that was given up is never given again. Purges are on disk before they are
//! acknowledged ([`journal`]); when the disk does not say for certain what was purged, all names
//! begin anew.

pub mod agent;
pub mod forward;
pub mod journal;
pub mod listen;
pub mod marks;
pub mod name;

pub use agent::{OpenAgent, SquidAgent};
pub use listen::{ABILITIES, MARKS_MAX, RunningSquidAgent, SquidAgentConfig, StartAgent};
