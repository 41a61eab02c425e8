//! Why a document is no policy: one enum for people, each text naming the place and what to write instead.

use std::fmt::{self, Display};

use crate::condition::{Key, Operator};
use crate::limits::{MAX_BYTES, MAX_CHARACTERS, MAX_DEPTH};

/// Why a document is refused as a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// More than [`MAX_CHARACTERS`] characters without blanks; holds their number.
    #[error("a policy has at most {MAX_CHARACTERS} characters not counting blanks, this one has {0}")]
    TooLong(usize),
    /// More than [`MAX_BYTES`] bytes with blanks; holds their number.
    #[error("a policy has at most {MAX_BYTES} bytes with its blanks, this one has {0}")]
    TooManyBytes(usize),
    /// More than [`MAX_DEPTH`] objects and lists within each other.
    #[error("not a policy: nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// The JSON reader's text, which names line and column.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// JSON, but not as the policy syntax wants it.
    #[error("{place}: {problem}")]
    Wrong {
        /// Where.
        place: Place,
        /// What.
        problem: Problem,
    },
}

/// A place in a policy. Statements and list entries are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The outermost object.
    Policy,
    /// A statement as a whole.
    Statement(usize),
    /// One entry of a statement's `action` or `resource`.
    Entry {
        /// Number of the statement.
        statement: usize,
        /// `action` or `resource`.
        element: &'static str,
        /// Number in the list.
        entry: usize,
    },
    /// A statement's condition, down to operator and key where the fault is below them.
    Condition {
        /// Number of the statement.
        statement: usize,
        /// `ip_equal`, or `ip_equal on qcs:ip`.
        clause: Option<String>,
    },
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy => f.write_str("policy"),
            Self::Statement(statement) => write!(f, "statement {statement}"),
            Self::Entry { statement, element, entry } => write!(f, "statement {statement}, {element} {entry}"),
            Self::Condition { statement, clause: None } => write!(f, "statement {statement}, condition"),
            Self::Condition { statement, clause: Some(clause) } => {
                write!(f, "statement {statement}, condition {clause}")
            }
        }
    }
}

/// What is wrong at a [`Place`]. Text of the policy that is repeated is shortened and escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A required element is absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// An element that the syntax does not have.
    #[error("`{name}` is no element here; there are {known}, in lower case")]
    UnknownElement {
        /// As written.
        name: String,
        /// Those that may stand here.
        known: String,
    },
    /// One name twice in one object, perhaps with blanks around one of them.
    #[error("`{0}` stands there twice")]
    Twice(String),
    /// `principal` in a user's policy.
    #[error(
        "principal belongs to the trust policy of a role or to a bucket policy; a user's policy is for whom it is attached to"
    )]
    Principal,
    /// A value of another JSON type.
    #[error("{what} must be {wants}")]
    Type {
        /// The element.
        what: &'static str,
        /// The type.
        wants: &'static str,
    },
    /// A list or an object without entries.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// Another version.
    #[error("version must be the text \"2.0\"")]
    Version,
    /// Neither `allow` nor `deny`.
    #[error("effect must be allow or deny in lower case, not `{0}`")]
    Effect(String),
    /// Not the form of an action.
    #[error("`{0}` is no action; write *, cdn:* or cdn:PurgeUrlsCache, where * stands for any letters")]
    Action(String),
    /// Not the form of a resource.
    #[error("`{text}` is no resource: {why}")]
    Resource {
        /// As written.
        text: String,
        /// The rule that it breaks.
        why: ResourceFault,
    },
    /// `${…}` with a name that is not known.
    #[error("`{0}` is no variable here; there are ${{uin}} and ${{owner_uin}}")]
    Variable(String),
    /// An operator that CAM does not have.
    #[error(
        "`{0}` is no operator; there are {known}, with the ending _if_exist and before it for_any_value: or for_all_value:",
        known = Operator::list()
    )]
    UnknownOperator(String),
    /// `null_equal` with an ending or a qualifier.
    #[error(
        "null_equal asks whether the key exists, so it takes neither _if_exist nor for_any_value: nor for_all_value:"
    )]
    NullQualified,
    /// A key that this service does not have.
    #[error("`{0}` is no key; there are {known}", known = Key::list())]
    UnknownKey(String),
    /// An operator for another type of key.
    #[error("it compares {compares}, but {key} is {is}")]
    WrongOperator {
        /// What the operator is for.
        compares: &'static str,
        /// The key.
        key: &'static str,
        /// What the key is.
        is: &'static str,
    },
    /// A value that the operator cannot compare with.
    #[error("`{text}` must be {wants}")]
    Value {
        /// As written.
        text: String,
        /// What the operator compares.
        wants: &'static str,
    },
}

/// The rule of resource descriptions that a text breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResourceFault {
    /// Not six segments.
    #[error("write * or six segments, qcs::cdn::uin/<root account>:domain/<host>")]
    Form,
    /// The second segment has text.
    #[error("the second segment, the project, must stay empty")]
    Project,
    /// A region in a description of CDN.
    #[error("CDN has no regions, so the fourth segment must stay empty")]
    Region,
    /// Not an account.
    #[error("the fifth segment, the account, must be uin/<root account>, * or empty")]
    Account,
    /// An APPID in a description of CDN.
    #[error("uid/<appid> names accounts for COS and CAS only; write uin/<root account>")]
    AppId,
    /// Nothing in the last segment.
    #[error("the last segment is empty; write domain/<host>, domain/* or *")]
    Empty,
    /// White space inside.
    #[error("there is a blank in it")]
    Blank,
    /// A host with characters outside of ASCII.
    #[error("write the host in its ASCII form (xn--…)")]
    NotAscii,
}
