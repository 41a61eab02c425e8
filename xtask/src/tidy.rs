//! The rules of STYLE.md that a machine can see, checked over the whole tree.
//!
//! Not a formatter and not a linter: what rustfmt and clippy check stays theirs. The checks are functions of a [`Tree`] in memory, so
//! each has a test that plants the fault it looks for. A rule broken anywhere is a [`Finding`]; nothing is repaired.

mod codes;
mod manifests;
mod markdown;
mod promises;
mod sources;
mod tables;
mod tokens;
mod tree;

use std::fmt;

pub use tree::Tree;

/// Longest file in lines, its `#[cfg(test)]` part not counted: what a reader can hold.
pub const FILE_LINES_MAX: usize = 500;

/// Longest function in lines, from `fn` to the closing brace: one screen.
pub const FUNCTION_LINES_MAX: usize = 70;

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path from the repository's root, with `/`.
    pub path: String,
    /// Counted from 1; 0 where the whole file is meant.
    pub line: usize,
    pub rule: Rule,
    /// What was found, for a person.
    pub what: String,
}

/// The rules. Each has a test with a planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A `.rs` file that does not parse, or a manifest that is not TOML: the other rules cannot see into it.
    Unreadable,
    LongFile,
    LongFunction,
    /// A module or file that is named for being useful, not for what it is.
    VagueName,
    NoModuleDoc,
    Unfinished,
    TrailingSpace,
    LintsNotShared,
    /// A dependency that steps over a wall between crates.
    Wall,
    BrokenLink,
    /// A promise without a test, or with one that does not exist.
    Promise,
    /// An error code whose row in docs/compat.md is missing, wrong, or without a test that exists.
    ErrorCode,
}

impl Finding {
    fn new(path: &str, line: usize, rule: Rule, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {:?}: {}", self.path, self.line, self.rule, self.what)
    }
}

/// Everything that is wrong with the tree, in the order of path and line.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    sources::check(tree, &mut findings);
    manifests::check(tree, &mut findings);
    markdown::check(tree, &mut findings);
    promises::check(tree, &mut findings);
    codes::check(tree, &mut findings);
    findings.sort();
    findings
}
