//! `[push]`: how prefetches are carried out.

use serde::{Deserialize, Serialize};

use super::units::Span;

/// How prefetches are carried out, through the `traffic` address of each node.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushSection {
    /// When a prefetch that is still open is given up and shown as `fail`, default 10 minutes.
    pub deadline: Span,
    /// Fetches through one node at once, default 8, at most 256.
    pub fetches_per_node: usize,
    /// Time to connect to a node, default 2 s.
    pub connect_timeout: Span,
    /// Time for a whole fetch, default 5 minutes.
    pub fetch_timeout: Span,
}

impl Default for PushSection {
    fn default() -> Self {
        Self {
            deadline: Span(catharsis_core::limits::PUSH_DEADLINE),
            fetches_per_node: catharsis_core::limits::PUSH_LANES,
            connect_timeout: Span::seconds(2),
            fetch_timeout: Span::seconds(300),
        }
    }
}
