//! `[webhooks]`: how endpoints are told that tasks have ended.
//!
//! What this is not: the endpoints; those are managed while the server runs.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::units::Span;

/// Messages at once, at most: each holds a socket and a copy of its text.
const AT_ONCE_MAX: usize = 256;

/// The longest attempt.
const TIMEOUT_MAX: Duration = Duration::from_secs(120);

/// The longest time that a message is repeated.
const GIVE_UP_MAX: Duration = Duration::from_secs(30 * 86_400);

/// `[webhooks]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebhooksSection {
    /// Messages under way at once, default 8, at most 256; to one endpoint two.
    pub at_once: usize,
    /// Time to connect to an endpoint, default 5 s, at most 2 minutes.
    pub connect_timeout: Span,
    /// Time for an attempt as a whole, default 15 s, at most 2 minutes.
    pub timeout: Span,
    /// How long a message is repeated, counted in delays (see docs/webhooks.md), default 24 hours: nine
    /// attempts. Zero: one attempt. At most 30 days.
    pub give_up_after: Span,
    /// PEM certificates that endpoints may have beside those of the system.
    pub ca_file: Option<PathBuf>,
}

impl Default for WebhooksSection {
    fn default() -> Self {
        Self {
            at_once: 8,
            connect_timeout: Span::seconds(5),
            timeout: Span::seconds(15),
            give_up_after: Span(catharsis_core::notify::GIVE_UP_AFTER),
            ca_file: None,
        }
    }
}

impl WebhooksSection {
    /// What is wrong with the values.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..=AT_ONCE_MAX).contains(&self.at_once) {
            problems.push(format!("[webhooks] at_once: must be from 1 to {AT_ONCE_MAX}"));
        }
        for (name, span) in [("connect_timeout", self.connect_timeout), ("timeout", self.timeout)] {
            if span.0.is_zero() || span.0 > TIMEOUT_MAX {
                problems.push(format!("[webhooks] {name}: must be above zero and at most {}s", TIMEOUT_MAX.as_secs()));
            }
        }
        if self.give_up_after.0 > GIVE_UP_MAX {
            problems.push(format!("[webhooks] give_up_after: must be at most {} days", GIVE_UP_MAX.as_secs() / 86_400));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_may_be_empty_and_its_bounds_are_told_all_at_once() {
        let section: WebhooksSection = toml::from_str("").expect("every value has a default");
        assert_eq!(section.problems(), Vec::<String>::new());
        let text = "at_once = 0\nconnect_timeout = \"0s\"\ntimeout = \"3m\"\ngive_up_after = \"31days\"";
        let section: WebhooksSection = toml::from_str(text).expect("well formed");
        let problems = section.problems();
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems.iter().all(|problem| problem.starts_with("[webhooks] ")));
        assert!(toml::from_str::<WebhooksSection>("retries = 3").is_err());
    }
}
