//! Records: what is managed rather than purged.
//!
//! What this is: accounts, users, keys, policies, domains and the like as the store keeps them: a
//! kind, an id, and a text whose form is its owner's business. Small and few beside the tasks, read
//! whole at the start, changed by people. What this is not: knowledge of any kind of record.
//!
//! Invariant: a set of changes is kept whole or not at all, and only on top of the generation that
//! its author has seen; so whatever was checked against that generation holds.

/// The name of a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey {
    /// Its kind, a word.
    pub kind: Box<str>,
    /// Its id, unique within its kind.
    pub id: Box<str>,
}

/// A stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub key: RecordKey,
    /// Its content.
    pub value: Box<str>,
}

/// All records at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// How many sets of changes were kept so far.
    pub generation: u64,
    /// The records, in the order of their names.
    pub all: Vec<Record>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Keeps a record in place of any other of its name.
    Put(Record),
    /// Forgets a record; one that is absent is no error.
    Delete(RecordKey),
}
