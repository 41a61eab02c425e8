//! The rules of one Traffic Server, as its plugin keeps them.
//!
//! What this is: pure; orders in, rules and the text of the file out. What this is not: a clock, a file.
//!
//! What the plugin does with the file decides the rest (measured, 9.2): it never forgets a rule before
//! its time because it is gone from the file; a rule that is there with another time, or another word,
//! counts from now on; and of the rules that match, the one that it learnt first decides. Hence:
//!
//! - A rule has one text for good. To order it again is to give it a later time.
//! - A rule that another makes needless is not dropped but given [`RETIRED_FOR`] to live.
//! - A rule that marks stale and overlaps with one that deletes becomes one that deletes: else it could
//!   be found first, and a copy that is to be gone would be revalidated.

use std::collections::BTreeMap;

use catharsis_core::target::Mode;

use super::place::Place;

/// Seconds that a needless rule is given to live: the plugin must have loaded that before it is over, and looks
/// by itself each minute.
pub const RETIRED_FOR: u32 = 150;
/// Default of the most rules in use. A hit takes longer for each (measured: 0.041 ms with none, 0.118 with 1,000).
pub const RULES_MAX_DEFAULT: usize = 1_000;
/// Lines of a file for each rule allowed: the others are those about to be dropped.
const LINES_PER_RULE: usize = 4;

const HEADER: &str = "# Written by the Catharsis agent; what others write here makes it refuse to start.\n";

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether copies are gone or stale.
    pub mode: Mode,
    /// Second of the Unix epoch until which it counts. The plugin reads 31 bits.
    pub until: u32,
}

/// All rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTable {
    rules: BTreeMap<Place, Rule>,
    lifetime: u32,
    rules_max: usize,
}

/// A file is none of this agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no rule of this agent: is it the file of somebody else?")]
pub struct TableError {
    /// The line, from 1.
    pub line: usize,
}

/// More rules than can be replaced at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{lines} rules are in use or about to be dropped, more than {allowed}: wait until they are")]
pub struct TooMany {
    /// Rules.
    pub lines: usize,
    /// Rules allowed.
    pub allowed: usize,
}

impl RuleTable {
    /// No rules. `lifetime`: seconds that a copy can be fresh at most. `rules_max`: rules in use.
    #[must_use]
    pub const fn new(lifetime: u32, rules_max: usize) -> Self {
        Self { rules: BTreeMap::new(), lifetime, rules_max }
    }

    /// Takes the rules from the text of a file.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn read(mut self, text: &str) -> Result<Self, TableError> {
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.starts_with('#')) {
            let (place, rule) = read_line(text).ok_or(TableError { line })?;
            self.rules.insert(place, rule);
        }
        Ok(self)
    }

    /// Carries out an order.
    ///
    /// # Errors
    /// [`TooMany`]; nothing was changed.
    pub fn order(&mut self, places: &[(Place, Mode)], now: u32) -> Result<(), TooMany> {
        let mut next = self.clone();
        // In its last second the plugin knows a rule still, at the place in its order where it learnt it.
        next.rules.retain(|_, rule| rule.until >= now);
        // The widest first, so that what it makes needless never becomes a rule.
        let mut places: Vec<&(Place, Mode)> = places.iter().collect();
        places.sort_by_key(|(place, _)| width(place));
        let mut done: Vec<&(Place, Mode)> = Vec::new();
        for order in places {
            let (place, mode) = order;
            if !done.iter().any(|(wider, stronger)| wider.covers(place) && strength(*stronger) >= strength(*mode)) {
                next.add(place, *mode, now);
                done.push(order);
            }
        }
        while next.in_use(now).count() > next.rules_max {
            next.widen(now);
        }
        // What was needless before the plugin could learn it is never written.
        let known = |place: &Place| self.rules.contains_key(place);
        next.rules.retain(|place, rule| rule.until > retired_until(now) || known(place));
        let (lines, allowed) = (next.rules.len(), LINES_PER_RULE * next.rules_max);
        if lines > allowed {
            return Err(TooMany { lines, allowed });
        }
        *self = next;
        Ok(())
    }

    /// The rules.
    pub fn rules(&self) -> impl Iterator<Item = (&Place, Rule)> {
        self.rules.iter().map(|(place, rule)| (place, *rule))
    }

    /// The text of the file: what deletes comes first, since the first that matches decides.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = HEADER.to_owned();
        for mode in [Mode::Delete, Mode::Expire] {
            for (place, rule) in self.rules().filter(|(_, rule)| rule.mode == mode) {
                text.push_str(&format!("{} {} {}\n", place.pattern(), rule.until, word(mode)));
            }
        }
        text
    }

    fn in_use(&self, now: u32) -> impl Iterator<Item = (&Place, Rule)> {
        self.rules().filter(move |(_, rule)| rule.until > retired_until(now))
    }

    fn add(&mut self, place: &Place, mode: Mode, now: u32) {
        let known = self.rules.get(place).copied();
        let mode = known.map_or(mode, |known| stronger(known.mode, mode));
        for (other, rule) in self.rules.iter_mut().filter(|(other, _)| *other != place) {
            if mode == Mode::Delete && rule.mode == Mode::Expire && (place.covers(other) || other.covers(place)) {
                rule.mode = Mode::Delete;
            }
            if place.covers(other) && strength(mode) >= strength(rule.mode) {
                rule.until = rule.until.min(retired_until(now));
            }
        }
        // Never the time that it has: the plugin would take it for known.
        let until = known.map_or(0, |known| known.until.saturating_add(1)).max(now.saturating_add(self.lifetime));
        self.rules.insert(place.clone(), Rule { mode, until: until.min(i32::MAX.unsigned_abs()) });
    }

    /// Puts one rule in the place of two at least: of the host that has most of them, the two that lie
    /// nearest to each other. What it names beside them costs the origin a request each, no more.
    fn widen(&mut self, now: u32) {
        let mut by_host: BTreeMap<&str, Vec<&Place>> = BTreeMap::new();
        for (place, _) in self.in_use(now) {
            let host = match place {
                Place::Everything => "",
                Place::Below { host, .. } => host.as_ref(),
            };
            by_host.entry(host).or_default().push(place);
        }
        let most = by_host.into_values().max_by_key(Vec::len).unwrap_or_default();
        let wider =
            most.windows(2).map(|pair| pair[0].above_both(pair[1])).min_by_key(|it| std::cmp::Reverse(width(it)));
        let wider = wider.unwrap_or(Place::Everything);
        let deletes = |(place, rule): (&Place, Rule)| wider.covers(place) && rule.mode == Mode::Delete;
        let mode = if self.in_use(now).any(deletes) { Mode::Delete } else { Mode::Expire };
        self.add(&wider, mode, now);
    }
}

fn read_line(text: &str) -> Option<(Place, Rule)> {
    let mut words = text.split(' ');
    let (pattern, until, mode) = (words.next()?, words.next()?, words.next()?);
    let mode = [Mode::Delete, Mode::Expire].into_iter().find(|it| word(*it) == mode)?;
    let rule = Rule { mode, until: until.parse().ok()? };
    words.next().is_none().then_some((Place::parse(pattern)?, rule))
}

/// How narrow a place is.
fn width(place: &Place) -> usize {
    match place {
        Place::Everything => 0,
        Place::Below { path, .. } => path.len(),
    }
}

const fn retired_until(now: u32) -> u32 {
    now.saturating_add(RETIRED_FOR)
}

pub(super) const fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Delete => "MISS",
        Mode::Expire => "STALE",
    }
}

const fn strength(mode: Mode) -> u8 {
    match mode {
        Mode::Expire => 0,
        Mode::Delete => 1,
    }
}

const fn stronger(one: Mode, other: Mode) -> Mode {
    if strength(one) >= strength(other) { one } else { other }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
