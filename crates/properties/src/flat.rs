//! Flat parameters (`Filters.0.Value.0=…`), compared with a plain model that inserts one name after the other.

use std::collections::{BTreeMap, BTreeSet};

use catharsis_tcapi::limits::{MAX_DEPTH, MAX_INDEX, MAX_MEMBERS};
use catharsis_tcapi::params::{Object, Param};
use catharsis_tcapi::{Call, Token, WireError};
use url::form_urlencoded;

use crate::call::verified;
use crate::outcome::assert_refusal;
use crate::planted;
use crate::raw::Raw;
use crate::signing::{HOST, NOW, V1Method, v1};

/// Names of the request, not of the action, that it has already: once more is twice.
const REQUIRED: [&str; 7] = ["Action", "Version", "Timestamp", "Nonce", "SecretId", "Signature", "SignatureMethod"];

/// Those that it may have besides, each once.
const OPTIONAL: [&str; 4] = ["Region", "Token", "Language", "RequestClient"];

/// `data` is a form. Its tree is the model's, refused exactly when the model refuses it, and the same whatever the order of its pieces.
pub fn flat_params(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    let model = model(raw);
    let (tree, error) = match tree(raw) {
        Ok(tree) => (Some(tree), None),
        Err(error) => (None, Some(error)),
    };
    error.inspect(assert_refusal);
    assert_eq!(tree, model, "{raw:?}");
    let backwards: Vec<&str> = raw.rsplit('&').collect();
    let other = self::tree(&backwards.join("&")).ok();
    assert_eq!(other, tree, "the order of pieces changes what is read");
}

/// What the server reads of a form that is signed and has nothing but these parameters of its own.
fn tree(raw: &str) -> Result<Node, WireError> {
    let body = v1("POST", V1Method::Sha256, "PurgeUrlsCache", raw);
    let headers = [("host", HOST), ("content-type", "application/x-www-form-urlencoded")];
    let call: Call = Raw::new("POST", None, &headers, body.as_bytes()).call()?;
    Ok(object(verified(&call, NOW)?.params()?.root()))
}

/// One value of a flat form. A list keeps no indexes: gaps are closed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Text(String),
    List(Vec<Node>),
    Object(BTreeMap<String, Node>),
}

fn object(object: &Object<'_>) -> Node {
    Node::Object(object.iter().map(|(name, param)| (name.to_owned(), node(param))).collect())
}

fn node(param: &Param<'_>) -> Node {
    match param {
        Param::Str(text) => Node::Text(text.to_string()),
        Param::List(list) if planted(list.len() > 3) => Node::List(list.iter().rev().map(node).collect()),
        Param::List(list) => Node::List(list.iter().map(node).collect()),
        Param::Object(members) => object(members),
        Param::Null | Param::Bool(_) | Param::Int(_) | Param::Float(_) => panic!("a flat form has texts only"),
    }
}

/// The same by inserting; `None` for a form that has to be refused.
fn model(raw: &str) -> Option<Node> {
    if !raw.split('&').all(decodes) {
        return None;
    }
    let mut root = Slot::Object(BTreeMap::new());
    let mut seen = BTreeSet::new();
    for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
        if REQUIRED.contains(&name.as_ref()) {
            return None;
        }
        if OPTIONAL.contains(&name.as_ref()) {
            let fits = name != "Token" || value.is_empty() || Token::parse(&value).is_some();
            (fits && seen.insert(name)).then_some(())?;
            continue;
        }
        let parts: Vec<&str> = name.split('.').collect();
        if parts.len() > MAX_DEPTH || is_number(parts[0]) {
            return None;
        }
        root.insert(&parts, &value)?;
    }
    root.close()
}

/// A value while names are still being inserted.
#[derive(Debug)]
enum Slot {
    Text(String),
    List(BTreeMap<u32, Slot>),
    Object(BTreeMap<String, Slot>),
}

impl Slot {
    fn insert(&mut self, parts: &[&str], value: &str) -> Option<()> {
        let (part, rest) = parts.split_first()?;
        let fresh = || match rest.first() {
            None => Slot::Text(value.to_owned()),
            Some(next) if is_number(next) => Slot::List(BTreeMap::new()),
            Some(_) => Slot::Object(BTreeMap::new()),
        };
        let (slot, new) = match self {
            Slot::List(list) if is_number(part) => {
                let index =
                    part.parse().ok().filter(|index: &u32| *index <= MAX_INDEX && index.to_string() == *part)?;
                let new = !list.contains_key(&index);
                (list.entry(index).or_insert_with(fresh), new)
            }
            Slot::Object(members) if !is_number(part) && !part.is_empty() => {
                let new = !members.contains_key(*part);
                (members.entry((*part).to_owned()).or_insert_with(fresh), new)
            }
            Slot::Text(_) | Slot::List(_) | Slot::Object(_) => return None,
        };
        if rest.is_empty() { new.then_some(()) } else { slot.insert(rest, value) }
    }

    fn close(self) -> Option<Node> {
        match self {
            Slot::Text(text) => Some(Node::Text(text)),
            Slot::List(list) => list.into_values().map(Slot::close).collect::<Option<_>>().map(Node::List),
            Slot::Object(members) if members.len() > MAX_MEMBERS => None,
            Slot::Object(members) => {
                let members = members.into_iter().map(|(name, slot)| Some((name, slot.close()?)));
                members.collect::<Option<_>>().map(Node::Object)
            }
        }
    }
}

/// Digits, perhaps behind a minus: meant as an index, right or wrong.
fn is_number(part: &str) -> bool {
    let digits = part.strip_prefix('-').unwrap_or(part);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether each `%` has two hex digits behind it and the bytes on either side of the first `=` are UTF-8.
fn decodes(piece: &str) -> bool {
    let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
    [name, value].into_iter().all(|text| {
        let mut bytes = Vec::new();
        let mut parts = text.split('%');
        bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else { return false };
            bytes.push(byte);
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        String::from_utf8(bytes).is_ok()
    })
}
