//! The agent beside a Traffic Server: directories, hosts and everything.
//!
//! What this is: the rule file of Traffic Server's plugin `regex_revalidate`. A rule is a pattern, until
//! when it counts, and whether copies that it names are gone or stale; it takes in copies whose `Date`
//! is not after the second in which the rule was loaded. With the sample's script (`docs/caches/trafficserver`)
//! that is the second in which the fetch began, so a fetch under way is taken in too. What this is not:
//! the purge of a URL, which Traffic Server does itself.
//!
//! Invariants: the file is the agent's only state. An order is carried out once the plugin has written
//! down that it loaded each of its rules. A rule stays until no copy from before it can be fresh.

mod agent;
mod file;
mod listen;
mod place;
mod table;

pub use agent::{AgentError, TrafficServerAgent, TrafficServerAgentConfig};
pub use listen::RunningTrafficServerAgent;
pub use place::{LINE_BYTES_MAX, Place};
pub use table::{RETIRED_FOR, RULES_MAX_DEFAULT, Rule, RuleTable, TableError, TooMany};

use catharsis_core::abilities::{Abilities, Ability};

/// What this agent does for its cache. URLs are purged by Traffic Server's own `PURGE`.
pub const ABILITIES: Abilities = Abilities {
    url: Ability::Missing,
    prefix: Ability::DeleteOrExpire,
    host: Ability::DeleteOrExpire,
    everything: Ability::DeleteOrExpire,
    tag: Ability::Missing,
};
