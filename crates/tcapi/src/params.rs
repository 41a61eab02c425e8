//! The parameters of one call: one tree, whether they came as JSON or flat (`Filters.0.Value.0=…`).
//!
//! Strings are borrowed from the request wherever nothing had to be decoded. Invariants: names are unique, each object's members are in ASCII order
//! of their names, depth and number of values are bounded ([`crate::limits`]), all text is UTF-8. What the tree does not do: know an action's
//! parameters; an action takes what it defines and refuses the rest through [`Params::only`].
//!
//! JSON is strict, as at the vendor's gateway: `"20"` is no integer and `20` no string. A flat form knows only text, so there `20`, `True` and `false`
//! are read as what is asked for.

pub(crate) mod flat;
mod json;

use std::borrow::Cow;
use std::fmt;

use crate::code::{ErrorCode, WireError};
use crate::limits::{MAX_DEPTH, MAX_INDEX, MAX_MEMBERS, MAX_VALUES};
use crate::text::shown;

/// One value. A flat form has only [`Param::Str`], [`Param::List`] and [`Param::Object`].
#[derive(Debug, Clone, PartialEq)]
pub enum Param<'a> {
    /// JSON `null`; the same as an absent parameter.
    Null,
    /// JSON `true` or `false`.
    Bool(bool),
    /// A JSON number that is an integer of 64 bits.
    Int(i64),
    /// Any other JSON number.
    Float(f64),
    /// Text.
    Str(Cow<'a, str>),
    /// A list.
    List(Vec<Param<'a>>),
    /// A structure.
    Object(Object<'a>),
}

/// Named values, in ASCII order of their names, each name once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, Param<'a>)>,
}

impl<'a> Object<'a> {
    /// The members in ASCII order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Param<'a>)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Param<'a>> {
        self.members
            .binary_search_by(|(n, _)| n.as_ref().cmp(name))
            .ok()
            .and_then(|at| self.members.get(at))
            .map(|(_, value)| value)
    }

    /// Adds a member whose name is new; hands a known name back.
    fn insert(&mut self, name: Cow<'a, str>, value: Param<'a>) -> Result<(), ParamError> {
        match self.members.binary_search_by(|(n, _)| n.cmp(&name)) {
            Ok(_) => Err(ParamError::Duplicate(name.into_owned())),
            Err(_) if self.members.len() == MAX_MEMBERS => Err(ParamError::TooManyMembers),
            Err(at) => {
                self.members.insert(at, (name, value));
                Ok(())
            }
        }
    }

    /// Takes a value out; `null` counts as absent.
    fn take(&mut self, name: &str) -> Option<Param<'a>> {
        let at = self.members.binary_search_by(|(n, _)| n.as_ref().cmp(name)).ok()?;
        let (_, value) = self.members.get_mut(at)?;
        match std::mem::replace(value, Param::Null) {
            Param::Null => None,
            value @ (Param::Bool(_)
            | Param::Int(_)
            | Param::Float(_)
            | Param::Str(_)
            | Param::List(_)
            | Param::Object(_)) => Some(value),
        }
    }
}

/// How the parameters were written, which decides how strictly their types are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A JSON body.
    Json,
    /// A query or a form body.
    Flat,
}

/// The action's own parameters; those common to all actions are already taken out.
///
/// The readers *take*: a parameter read once is gone, so that text moves into the typed request without a copy.
#[derive(Debug, Clone, PartialEq)]
pub struct Params<'a> {
    form: Form,
    root: Object<'a>,
    /// Where `root` stands, for messages: empty at the top, else `Origin.` or `Filters.0.`.
    path: String,
}

impl<'a> Params<'a> {
    /// Reads a JSON body; an empty one means no parameters.
    ///
    /// # Errors
    /// Not UTF-8, not JSON, not an object, a name twice, too deep, too many values.
    pub fn from_json(body: &'a [u8]) -> Result<Self, ParamError> {
        json::parse(body).map(|root| Self { form: Form::Json, root, path: String::new() })
    }

    /// Builds the tree of decoded pairs, leaving out those whose name `is_common` claims.
    pub(crate) fn from_flat(
        pairs: &'a [(String, String)],
        is_common: impl Fn(&str) -> bool,
    ) -> Result<Self, ParamError> {
        flat::build(pairs, is_common).map(|root| Self { form: Form::Flat, root, path: String::new() })
    }

    /// How the parameters were written.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// The tree.
    #[must_use]
    pub const fn root(&self) -> &Object<'a> {
        &self.root
    }

    /// The full name of a member, for messages: `Filters.0.Name`.
    #[must_use]
    pub fn path_of(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// Refuses any name that is not in `known`; what structures below hold is not looked at.
    ///
    /// # Errors
    /// [`ParamError::Unknown`] with the first such name.
    pub fn only(&self, known: &[&str]) -> Result<(), ParamError> {
        match self.root.iter().find(|(name, _)| !known.contains(name)) {
            Some((name, _)) => Err(ParamError::Unknown(self.path_of(name))),
            None => Ok(()),
        }
    }

    /// Whether a parameter is given and was not taken yet; `null` is not given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.root.get(name).is_some_and(|value| *value != Param::Null)
    }

    /// Refuses a missing parameter before any type is looked at.
    ///
    /// # Errors
    /// [`ParamError::Missing`].
    pub fn require(&self, name: &str) -> Result<(), ParamError> {
        if self.root.get(name).is_some() { Ok(()) } else { Err(self.missing(name)) }
    }

    /// Takes a structure as parameters of its own, `None` when absent.
    ///
    /// # Errors
    /// [`ParamError::WrongType`].
    pub fn object(&mut self, name: &str) -> Result<Option<Params<'a>>, ParamError> {
        let Some(value) = self.root.take(name) else { return Ok(None) };
        let path = self.path_of(name);
        self.below(value, path).map(Some)
    }

    /// Takes a structure that has to be there.
    ///
    /// # Errors
    /// [`ParamError::Missing`], [`ParamError::WrongType`].
    pub fn required_object(&mut self, name: &str) -> Result<Params<'a>, ParamError> {
        self.object(name)?.ok_or_else(|| self.missing(name))
    }

    /// Takes a list of structures, `None` when absent; a single structure is no list.
    ///
    /// # Errors
    /// [`ParamError::WrongType`], naming the element where it is one of those.
    pub fn objects(&mut self, name: &str) -> Result<Option<Vec<Params<'a>>>, ParamError> {
        match self.root.take(name) {
            None => Ok(None),
            Some(Param::List(list)) => {
                let each = |(n, value)| self.below(value, format!("{}{name}.{n}", self.path));
                list.into_iter().enumerate().map(each).collect::<Result<Vec<_>, _>>().map(Some)
            }
            Some(Param::Null | Param::Bool(_) | Param::Int(_) | Param::Float(_) | Param::Str(_) | Param::Object(_)) => {
                Err(wrong(self.path_of(name), Expected::ObjectList))
            }
        }
    }

    /// Takes a value of whatever type, `None` when absent.
    pub(crate) fn any(&mut self, name: &str) -> Option<Param<'a>> {
        self.root.take(name)
    }

    fn below(&self, value: Param<'a>, mut path: String) -> Result<Params<'a>, ParamError> {
        match value {
            Param::Object(root) => {
                path.push('.');
                Ok(Params { form: self.form, root, path })
            }
            Param::Null | Param::Bool(_) | Param::Int(_) | Param::Float(_) | Param::Str(_) | Param::List(_) => {
                Err(wrong(path, Expected::Object))
            }
        }
    }

    fn missing(&self, name: &str) -> ParamError {
        ParamError::Missing(self.path_of(name))
    }

    /// Takes a text, `None` when absent.
    ///
    /// # Errors
    /// [`ParamError::WrongType`].
    pub fn text(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, ParamError> {
        self.root.take(name).map(|value| text_of(value, || self.path_of(name))).transpose()
    }

    /// Takes a text that has to be there.
    ///
    /// # Errors
    /// [`ParamError::Missing`], [`ParamError::WrongType`].
    pub fn required_text(&mut self, name: &str) -> Result<Cow<'a, str>, ParamError> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    /// Takes an integer of 64 bits, `None` when absent. In a flat form: digits, a `-` before them allowed.
    ///
    /// # Errors
    /// [`ParamError::WrongType`].
    pub fn int(&mut self, name: &str) -> Result<Option<i64>, ParamError> {
        let Some(value) = self.root.take(name) else { return Ok(None) };
        let number = match (self.form, value) {
            (Form::Json, Param::Int(n)) => Some(n),
            (Form::Flat, Param::Str(text)) if !text.starts_with('+') => text.parse().ok(),
            (Form::Json | Form::Flat, _) => None,
        };
        number.map(Some).ok_or_else(|| wrong(self.path_of(name), Expected::Integer))
    }

    /// Takes a truth value, `None` when absent. In a flat form: `true`, `false`, `True`, `False`, as the SDKs write them.
    ///
    /// # Errors
    /// [`ParamError::WrongType`].
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, ParamError> {
        let Some(value) = self.root.take(name) else { return Ok(None) };
        let truth = match (self.form, value) {
            (Form::Json, Param::Bool(b)) => Some(b),
            (Form::Flat, Param::Str(text)) => match text.as_ref() {
                "true" | "True" => Some(true),
                "false" | "False" => Some(false),
                _ => None,
            },
            (Form::Json | Form::Flat, _) => None,
        };
        truth.map(Some).ok_or_else(|| wrong(self.path_of(name), Expected::Truth))
    }

    /// Takes a list of texts, `None` when absent; a single text is no list.
    ///
    /// # Errors
    /// [`ParamError::WrongType`], naming the element where it is one of those.
    pub fn texts(&mut self, name: &str) -> Result<Option<Vec<Cow<'a, str>>>, ParamError> {
        match self.root.take(name) {
            None => Ok(None),
            Some(Param::List(list)) => {
                let texts = list
                    .into_iter()
                    .enumerate()
                    .map(|(n, value)| text_of(value, || format!("{}{name}.{n}", self.path)));
                texts.collect::<Result<Vec<_>, _>>().map(Some)
            }
            Some(Param::Null | Param::Bool(_) | Param::Int(_) | Param::Float(_) | Param::Str(_) | Param::Object(_)) => {
                Err(wrong(self.path_of(name), Expected::TextList))
            }
        }
    }

    /// Takes a list of texts that has to be there.
    ///
    /// # Errors
    /// [`ParamError::Missing`], [`ParamError::WrongType`].
    pub fn required_texts(&mut self, name: &str) -> Result<Vec<Cow<'a, str>>, ParamError> {
        self.texts(name)?.ok_or_else(|| self.missing(name))
    }
}

fn text_of<'a>(value: Param<'a>, path: impl FnOnce() -> String) -> Result<Cow<'a, str>, ParamError> {
    match value {
        Param::Str(text) => Ok(text),
        Param::Null | Param::Bool(_) | Param::Int(_) | Param::Float(_) | Param::List(_) | Param::Object(_) => {
            Err(wrong(path(), Expected::Text))
        }
    }
}

fn wrong(path: String, expected: Expected) -> ParamError {
    ParamError::WrongType { path, expected }
}

/// The type that a parameter has to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Text.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// `true` or `false`.
    Truth,
    /// A list of texts.
    TextList,
    /// A structure.
    Object,
    /// A list of structures.
    ObjectList,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::Text => "a string",
            Expected::Integer => "an integer",
            Expected::Truth => "true or false",
            Expected::TextList => "a list of strings",
            Expected::Object => "an object",
            Expected::ObjectList => "a list of objects",
        })
    }
}

/// Why parameters could not be read. Names are the caller's text as decoded; the message shows them shortened and escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// A value of another type than the action defines.
    #[error("The value type of parameter `{}` is not valid: expected {expected}.", shown(path))]
    WrongType {
        /// `Urls.3`, `Filters.0.Name`.
        path: String,
        /// What is expected.
        expected: Expected,
    },
    /// A required parameter is absent; its full name, `Origin.Origins`.
    #[error("The request is missing a required parameter `{0}`.")]
    Missing(String),
    /// A name that the action does not define.
    #[error("The parameter `{}` is not recognized.", shown(.0))]
    Unknown(String),
    /// A name twice in one object or form.
    #[error("The parameter `{}` is given twice.", shown(.0))]
    Duplicate(String),
    /// A flat name that is a value in one place and a list or structure in another, or both a list and a structure.
    #[error("The parameter `{}` contradicts another one: a name is a value, a list or a structure.", shown(.0))]
    Conflict(String),
    /// A flat name with an empty part, or one that begins with an index.
    #[error("The name of parameter `{}` is not valid.", shown(.0))]
    Name(String),
    /// A flat index that is negative, above [`MAX_INDEX`] or has leading zeros.
    #[error("The index in the name of parameter `{}` is not valid: 0 to {MAX_INDEX} without leading zeros.", shown(.0))]
    Index(String),
    /// A `%` that two hex digits do not follow.
    #[error("The parameter `{}` is not valid: a `%` in it is not followed by two hex digits.", shown(.0))]
    Escape(String),
    /// Bytes that are not UTF-8 once decoded.
    #[error("The parameter `{}` is not valid UTF-8.", shown(.0))]
    NotUtf8(String),
    /// The body is not UTF-8.
    #[error("The request body is not valid UTF-8.")]
    BodyNotUtf8,
    /// The body is not JSON.
    #[error("The request body is not valid JSON: line {line}, column {column}.")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1; 0 at the body's end.
        column: usize,
    },
    /// The body is JSON, but not an object.
    #[error("The request body must be a JSON object.")]
    NotAnObject,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("The parameters are nested deeper than {MAX_DEPTH} levels.")]
    TooDeep,
    /// An object with more than [`MAX_MEMBERS`] members.
    #[error("The parameters have an object of more than {MAX_MEMBERS} members.")]
    TooManyMembers,
    /// More than [`MAX_VALUES`] values in all.
    #[error("The request has more than {MAX_VALUES} values.")]
    TooManyValues,
    /// A common parameter that is to be a whole number and is not.
    #[error("Parameter `{0}` type error.")]
    Number(&'static str),
    /// A value outside of those that the API defines for a common parameter.
    #[error("The value of parameter `{0}` is not valid.")]
    Value(&'static str),
}

impl ParamError {
    /// The documented code of this failure.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            ParamError::Missing(_) => ErrorCode::MissingParameter,
            ParamError::Unknown(_) => ErrorCode::UnknownParameter,
            ParamError::TooManyValues => ErrorCode::RequestSizeLimitExceeded,
            ParamError::Value(_) => ErrorCode::InvalidParameterValue,
            ParamError::WrongType { .. }
            | ParamError::Duplicate(_)
            | ParamError::Conflict(_)
            | ParamError::Name(_)
            | ParamError::Index(_)
            | ParamError::Escape(_)
            | ParamError::NotUtf8(_)
            | ParamError::BodyNotUtf8
            | ParamError::NotJson { .. }
            | ParamError::NotAnObject
            | ParamError::TooDeep
            | ParamError::TooManyMembers
            | ParamError::Number(_) => ErrorCode::InvalidParameter,
        }
    }
}

impl From<ParamError> for WireError {
    fn from(e: ParamError) -> Self {
        WireError::new(e.code(), e.to_string()).with_chinese(e.chinese())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Params<'_> {
        Params::from_json(text.as_bytes()).expect("valid parameters")
    }

    #[test]
    fn json_types_are_strict_and_the_path_is_named() {
        let mut p = json(r#"{"Urls":["a","b","c",4],"Limit":"20","Text":1,"Flag":"true","One":"a","Nil":null}"#);
        assert_eq!(p.texts("Urls"), Err(wrong("Urls.3".into(), Expected::Text)));
        assert_eq!(p.int("Limit"), Err(wrong("Limit".into(), Expected::Integer)));
        assert_eq!(p.text("Text"), Err(wrong("Text".into(), Expected::Text)));
        assert_eq!(p.boolean("Flag"), Err(wrong("Flag".into(), Expected::Truth)));
        assert_eq!(p.texts("One"), Err(wrong("One".into(), Expected::TextList)));
        assert_eq!(p.text("Nil"), Ok(None));
        assert_eq!(p.required_text("Nil"), Err(ParamError::Missing("Nil".into())));
        let text = ParamError::WrongType { path: "Urls.3".into(), expected: Expected::Text }.to_string();
        assert!(text.starts_with("The value type of parameter `Urls.3` is not valid"), "{text}");
    }

    #[test]
    fn a_flat_form_reads_numbers_and_truth_from_text() {
        let pairs: Vec<(String, String)> =
            [("Limit", "20"), ("Neg", "-1"), ("Plus", "+1"), ("A", "True"), ("B", "false"), ("C", "1")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into();
        let mut p = Params::from_flat(&pairs, |_| false).expect("valid parameters");
        assert_eq!((p.int("Limit"), p.int("Neg")), (Ok(Some(20)), Ok(Some(-1))));
        assert!(p.int("Plus").is_err());
        assert_eq!((p.boolean("A"), p.boolean("B")), (Ok(Some(true)), Ok(Some(false))));
        assert!(p.boolean("C").is_err());
    }

    #[test]
    fn structures_are_read_like_the_top_and_named_by_their_place() {
        let mut p = json(
            r#"{"Filters":[{"Name":"a","Value":["x",1]},{"Fuzzy":1}],"Origin":{"Origins":["o"],"Port":1},"One":{},"L":[1]}"#,
        );
        let mut filters = p.objects("Filters").expect("a list").expect("given");
        assert_eq!(filters[0].text("Name"), Ok(Some("a".into())));
        assert_eq!(filters[0].texts("Value"), Err(wrong("Filters.0.Value.1".into(), Expected::Text)));
        assert_eq!(filters[1].boolean("Fuzzy"), Err(wrong("Filters.1.Fuzzy".into(), Expected::Truth)));
        assert_eq!(filters[1].required_text("Name"), Err(ParamError::Missing("Filters.1.Name".into())));
        let origin = p.required_object("Origin").expect("an object");
        assert_eq!(origin.only(&["Origins"]), Err(ParamError::Unknown("Origin.Port".into())));
        assert!(origin.has("Port") && !origin.has("Nothing"));
        assert_eq!(p.objects("One"), Err(wrong("One".into(), Expected::ObjectList)));
        assert_eq!(p.objects("L"), Err(wrong("L.0".into(), Expected::Object)));
        let pairs =
            [("Filters.0.Fuzzy", "True"), ("Filters.0.Value.0", "7")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let mut flat = Params::from_flat(&pairs, |_| false).expect("valid parameters");
        let mut filters = flat.objects("Filters").expect("a list").expect("given");
        assert_eq!(
            (filters[0].boolean("Fuzzy"), filters[0].texts("Value")),
            (Ok(Some(true)), Ok(Some(vec!["7".into()])))
        );
    }

    #[test]
    fn a_name_that_the_action_does_not_define_is_refused() {
        let p = json(r#"{"Urls":[],"Zone":1}"#);
        assert_eq!(p.only(&["Urls", "Zone"]), Ok(()));
        assert_eq!(p.only(&["Urls"]), Err(ParamError::Unknown("Zone".into())));
    }
}
