//! `[probe]`: how nodes prove that they purge.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Lets each node with a `traffic` address prove that it purges: at the start, and whenever it was away. A node
/// that says that it purged and serves the old copy on is not taken for one that did.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeSection {
    /// Where the caches fetch probe objects. Their configuration routes the host below to it.
    pub listen: SocketAddr,
    /// The host name of probe objects, default `probe.catharsis.invalid`. It needs no address anywhere.
    #[serde(default = "ProbeSection::host")]
    pub host: String,
}

impl ProbeSection {
    fn host() -> String {
        "probe.catharsis.invalid".to_owned()
    }
}
