//! `[audit]`: looking from outside whether what was purged is gone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use catharsis_core::audit::Codings;
use catharsis_core::target::HostName;
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

/// Values of `Accept-Encoding`, at most: each is a further request in each look.
const ENCODINGS_MAX: usize = 8;
/// Origins that are asked, at most.
const ORIGINS_MAX: usize = 10_000;

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
    /// Values of `Accept-Encoding` with which a URL is looked at besides, where its answer has `Vary: Accept-Encoding`. Default
    /// `gzip` and `br`; name what your clients send, letter by letter, if your caches tell them apart. At most 8.
    pub accept_encodings: Vec<String>,
    /// Hosts, each with the address of its origin over plain HTTP. After a look at a node it is asked for the same URL: a
    /// node that serves an older version than the origin had before the acceptance is found, however young its copy looks. Only
    /// for origins whose `Last-Modified` tells when the content was changed there. Default: none is asked.
    pub origins: BTreeMap<String, SocketAddr>,
}

impl Default for AuditSection {
    fn default() -> Self {
        Self {
            mode: AuditMode::On,
            every: Span::seconds(10),
            repeats: [60, 300, 600].map(Span::seconds).to_vec(),
            rounding: Span::seconds(2),
            clock_skew: Span::seconds(5),
            accept_encodings: ["gzip", "br"].map(str::to_owned).to_vec(),
            origins: BTreeMap::new(),
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

    /// What else a look takes where an answer varies by coding.
    #[must_use]
    pub fn codings(&self) -> Vec<Codings> {
        self.accept_encodings.iter().filter_map(|value| Codings::new(value)).collect()
    }

    /// The origins that are asked.
    #[must_use]
    pub fn origins(&self) -> Vec<(HostName, SocketAddr)> {
        let parsed = |(host, at): (&String, &SocketAddr)| Some((HostName::parse(host).ok()?, *at));
        self.origins.iter().filter_map(parsed).collect()
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
        if self.accept_encodings.len() > ENCODINGS_MAX || self.codings().len() < self.accept_encodings.len() {
            problems
                .push(format!("[audit] accept_encodings: must be at most {ENCODINGS_MAX} values of a header field"));
        }
        if self.origins.len() > ORIGINS_MAX || self.origins().len() < self.origins.len() {
            problems.push(format!("[audit] origins: must be at most {ORIGINS_MAX} host names, each with an address"));
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
        let text = "every = \"1ms\"\nrepeats = [\"2days\"]\nrounding = \"0s\"\naccept_encodings = [\"\"]\n\
                    origins = { \"a b\" = \"127.0.0.1:1\" }";
        let section: AuditSection = toml::from_str(text).expect("well formed");
        assert_eq!(section.problems().len(), 5);
    }
}
