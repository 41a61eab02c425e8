//! What a kind of cache can be told.
//!
//! What this is: for each scope of a purge, whether a kind of cache can carry it out and whether it can
//! mark copies stale or only remove them. Declared by each purger, shown to operators, held by the
//! conformance suite. What this is not: a switch; a purger that is asked for what it cannot do answers
//! [`crate::receipt::Refusal::Unsupported`].

/// What a kind of cache does for one scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// It cannot: refused by name.
    Missing,
    /// It removes copies. Asked to mark them stale it removes them too, which does no less.
    Delete,
    /// It removes copies, or marks them stale, as asked.
    DeleteOrExpire,
}

impl Ability {
    /// Its name, as operators see it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "none",
            Self::Delete => "delete",
            Self::DeleteOrExpire => "delete, expire",
        }
    }
}

/// What a kind of cache does, by scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// One URL with all its variants.
    pub url: Ability,
    /// A directory.
    pub prefix: Ability,
    /// A host: the directory `/`.
    pub host: Ability,
    /// Whatever it holds: how a node of unknown content joins.
    pub everything: Ability,
    /// What carries a tag.
    pub tag: Ability,
}

impl Abilities {
    /// Each scope's name with what is done for it.
    #[must_use]
    pub const fn by_scope(&self) -> [(&'static str, Ability); 5] {
        [
            ("url", self.url),
            ("prefix", self.prefix),
            ("host", self.host),
            ("everything", self.everything),
            ("tag", self.tag),
        ]
    }
}
