//! The agent beside a stock nginx, without any purge module.
//!
//! What this is: an index of nginx's cache directory by host and request target, kept up by watching
//! the directory, and the removal or ageing of the files that a purge names. What this is not: a part
//! of nginx; nothing of nginx is asked, configured or stopped.
//!
//! Invariants: files are touched below the cache directory only, by names that are made of hexadecimal
//! digits, and symbolic links are not followed. Before an order is carried out, all that the kernel had
//! to say about the directory when it came is taken in, so a copy that was in place is found.

mod agent;
mod follow;
mod head;
mod index;
mod key;
mod layout;
mod orders;
mod tree;

pub use agent::{AgentError, NginxAgent, NginxAgentConfig, RunningAgent};
pub use index::ENTRIES_MAX;
pub use key::{InvalidTemplate, KeyTemplate};
pub use layout::{InvalidLevels, Levels};

use catharsis_core::abilities::{Abilities, Ability};

/// What this agent does for its cache.
pub const ABILITIES: Abilities = Abilities {
    url: Ability::DeleteOrExpire,
    prefix: Ability::DeleteOrExpire,
    host: Ability::DeleteOrExpire,
    everything: Ability::DeleteOrExpire,
    tag: Ability::Missing,
};
