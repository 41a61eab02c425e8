//! `[audit]`: looking from outside whether what was purged is gone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::units::Span;

/// Repetitions, at most: each is a request to a node.
const REPEATS_MAX: usize = 8;
/// The latest repetition.
const REPEAT_MAX: Duration = Duration::from_secs(86_400);
/// More would hide each violation.
const TOLERANCE_MAX: Duration = Duration::from_secs(3_600);
/// The shortest time between two items.
const EVERY_MIN: Duration = Duration::from_millis(10);

/// Whether nodes are audited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditMode {
    /// Those with a `traffic` address are.
    #[default]
    On,
    /// None is.
    Off,
}

/// `[audit]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSection {
    /// `on` (default): nodes with a `traffic` address are audited; `off`: none is.
    pub mode: AuditMode,
    /// An item is looked at no more often than this, default one in 10 s, at least 10 ms. Each is a GET to one node soon after
    /// and at each repetition.
    pub every: Span,
    /// When the same item is looked at again through the same node, counted from when it was picked; default after 1, 5
    /// and 10 minutes. At most 8, none later than a day. The first look comes after twice `rounding` plus `clock_skew` plus 1 s
    /// (10 s by default): what the look itself brings into the cache is then clearly younger than the acceptance.
    pub repeats: Vec<Span>,
    /// Ages and dates are whole seconds: so much is no difference. Default 2 s, at least 1 s.
    pub rounding: Span,
    /// How far an origin's clock may be off this one, where its `Date` has a part in what is told of a copy's age: at nginx,
    /// Squid and Traffic Server. Default 5 s.
    pub clock_skew: Span,
}

impl Default for AuditSection {
    fn default() -> Self {
        Self {
            mode: AuditMode::On,
            every: Span::seconds(10),
            repeats: [60, 300, 600].map(Span::seconds).to_vec(),
            rounding: Span::seconds(2),
            clock_skew: Span::seconds(5),
        }
    }
}

impl AuditSection {
    /// When an item is looked at, from when it was picked.
    #[must_use]
    pub fn waits(&self) -> Vec<Duration> {
        let first = self.rounding.0.saturating_mul(2).saturating_add(self.clock_skew.0);
        let first = first.saturating_add(Duration::from_secs(1));
        std::iter::once(first).chain(self.repeats.iter().map(|span| span.0)).collect()
    }

    /// What is wrong with the values.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.every.0 < EVERY_MIN {
            problems.push("[audit] every: must be at least 10ms".to_owned());
        }
        if self.repeats.len() > REPEATS_MAX || self.repeats.iter().any(|span| span.0 > REPEAT_MAX) {
            problems.push(format!("[audit] repeats: must be at most {REPEATS_MAX}, none later than a day"));
        }
        if self.rounding.0 < Duration::from_secs(1) || self.rounding.0.max(self.clock_skew.0) > TOLERANCE_MAX {
            problems.push("[audit] rounding and clock_skew: must be at most 1h, and rounding at least 1s".to_owned());
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_section_may_be_empty_and_its_bounds_are_told_all_at_once() {
        let section: AuditSection = toml::from_str("").expect("every value has a default");
        assert_eq!(section.problems(), Vec::<String>::new());
        let text = "every = \"1ms\"\nrepeats = [\"2days\"]\nrounding = \"0s\"";
        let section: AuditSection = toml::from_str(text).expect("well formed");
        assert_eq!(section.problems().len(), 3);
    }
}
