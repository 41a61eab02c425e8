//! The flat form: percent-decoding to pairs, and pairs to the tree.
//!
//! `Urls.0`, `Filters.0.Value.0`. The pairs come in the client's order (ASCII order of the names puts `Urls.10` before `Urls.2`); the tree has them in
//! order of the index. Gaps are closed, since nothing documents them; a name twice is refused. Sorting first makes building linear and lets neighbours
//! show every duplicate and contradiction.

use std::borrow::Cow;

use super::{Object, Param, ParamError};
use crate::limits::{MAX_DEPTH, MAX_INDEX, MAX_VALUES};

/// Decodes `a=b&c=d`: `+` is a blank, `%xx` a byte. Pieces without any byte (`&&`) are skipped.
pub(crate) fn decode(raw: &[u8]) -> Result<Vec<(String, String)>, ParamError> {
    let mut pairs = Vec::new();
    for piece in raw.split(|&b| b == b'&').filter(|piece| !piece.is_empty()) {
        if pairs.len() == MAX_VALUES {
            return Err(ParamError::TooManyValues);
        }
        let at = piece.iter().position(|&b| b == b'=').unwrap_or(piece.len());
        let (name, rest) = piece.split_at(at);
        let text = |raw: &[u8], named: &[u8]| {
            let named = || String::from_utf8_lossy(named.get(..128).unwrap_or(named)).into_owned();
            let bytes = decode_piece(raw).ok_or_else(|| ParamError::Escape(named()))?;
            String::from_utf8(bytes).map_err(|_| ParamError::NotUtf8(named()))
        };
        pairs.push((text(name, name)?, text(rest.get(1..).unwrap_or_default(), name)?));
    }
    Ok(pairs)
}

/// `None` when a `%` is not followed by two hex digits.
fn decode_piece(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(&b) = bytes.next() {
        out.push(match b {
            b'+' => b' ',
            b'%' => hex_digit(*bytes.next()?)? << 4 | hex_digit(*bytes.next()?)?,
            other => other,
        });
    }
    Some(out)
}

const fn hex_digit(b: u8) -> Option<u8> {
    match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    }
}

/// One part of a name; indexes before names, indexes by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Index(u32),
    Name(&'a str),
}

struct Leaf<'a> {
    name: &'a str,
    value: &'a str,
    /// Its parts: a range of the one list that holds all parts.
    from: usize,
    to: usize,
}

pub(super) fn build<'a>(
    pairs: &'a [(String, String)],
    is_common: impl Fn(&str) -> bool,
) -> Result<Object<'a>, ParamError> {
    let mut parts = Vec::with_capacity(pairs.len() * 2);
    let mut leaves = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        if !is_common(name) {
            let from = parts.len();
            split(name, &mut parts)?;
            leaves.push(Leaf { name, value, from, to: parts.len() });
        }
    }
    let tree = Tree { parts };
    leaves.sort_unstable_by(|a, b| tree.parts_of(a).cmp(tree.parts_of(b)));
    tree.object(&leaves, 0)
}

/// Appends the parts of a name.
fn split<'a>(name: &'a str, parts: &mut Vec<Part<'a>>) -> Result<(), ParamError> {
    for (depth, text) in name.split('.').enumerate() {
        if depth == MAX_DEPTH {
            return Err(ParamError::TooDeep);
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        let numeric = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if text.is_empty() || (numeric && depth == 0) {
            return Err(ParamError::Name(name.to_owned()));
        }
        if !numeric {
            parts.push(Part::Name(text));
            continue;
        }
        let canonical = text == "0" || !text.starts_with(['0', '-']);
        let index = text.parse::<u32>().ok().filter(|&index| canonical && index <= MAX_INDEX);
        parts.push(Part::Index(index.ok_or_else(|| ParamError::Index(name.to_owned()))?));
    }
    Ok(())
}

struct Tree<'a> {
    parts: Vec<Part<'a>>,
}

impl<'a> Tree<'a> {
    fn parts_of(&self, leaf: &Leaf<'a>) -> &[Part<'a>] {
        self.parts.get(leaf.from..leaf.to).unwrap_or_default()
    }

    fn part(&self, leaf: &Leaf<'a>, depth: usize) -> Option<Part<'a>> {
        self.parts_of(leaf).get(depth).copied()
    }

    /// The value of sorted leaves that agree in their first `depth` parts. Recursion ends at [`MAX_DEPTH`].
    fn value(&self, leaves: &[Leaf<'a>], depth: usize) -> Result<Param<'a>, ParamError> {
        let (Some(first), Some(last)) = (leaves.first(), leaves.last()) else { return Ok(Param::Null) };
        match (self.part(first, depth), self.part(last, depth)) {
            (None, None) if leaves.len() == 1 => Ok(Param::Str(Cow::Borrowed(first.value))),
            (None, None) => Err(ParamError::Duplicate(first.name.to_owned())),
            (Some(Part::Index(_)), Some(Part::Index(_))) => self.list(leaves, depth),
            (Some(Part::Name(_)), _) => self.object(leaves, depth).map(Param::Object),
            (None, Some(_)) | (Some(Part::Index(_)), Some(Part::Name(_)) | None) => {
                Err(ParamError::Conflict(last.name.to_owned()))
            }
        }
    }

    fn list(&self, leaves: &[Leaf<'a>], depth: usize) -> Result<Param<'a>, ParamError> {
        let mut list = Vec::with_capacity(leaves.len());
        for same in leaves.chunk_by(|a, b| self.part(a, depth) == self.part(b, depth)) {
            list.push(self.value(same, depth + 1)?);
        }
        Ok(Param::List(list))
    }

    fn object(&self, leaves: &[Leaf<'a>], depth: usize) -> Result<Object<'a>, ParamError> {
        let mut object = Object::default();
        for same in leaves.chunk_by(|a, b| self.part(a, depth) == self.part(b, depth)) {
            if let Some(Part::Name(name)) = same.first().and_then(|leaf| self.part(leaf, depth)) {
                object.insert(Cow::Borrowed(name), self.value(same, depth + 1)?)?;
            }
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(raw: &str) -> Result<String, ParamError> {
        let pairs = decode(raw.as_bytes())?;
        build(&pairs, |name| name == "Action").map(|root| show(&Param::Object(root)))
    }

    fn show(param: &Param<'_>) -> String {
        match param {
            Param::Str(text) => text.to_string(),
            Param::List(list) => format!("[{}]", list.iter().map(show).collect::<Vec<_>>().join(" ")),
            Param::Object(object) => {
                format!("{{{}}}", object.iter().map(|(n, v)| format!("{n}:{}", show(v))).collect::<Vec<_>>().join(" "))
            }
            Param::Null | Param::Bool(_) | Param::Int(_) | Param::Float(_) => "?".to_owned(),
        }
    }

    #[test]
    fn lists_are_in_order_of_their_index_and_gaps_are_closed() {
        assert_eq!(tree("Urls.10=k&Urls.0=a&Urls.2=c&Action=X").as_deref(), Ok("{Urls:[a c k]}"));
        assert_eq!(
            tree("F.0.Name=n&F.0.Value.1=b&F.0.Value.0=a&F.1.Name=m&Area=").as_deref(),
            Ok("{Area: F:[{Name:n Value:[a b]} {Name:m}]}")
        );
        assert_eq!(tree("&&A=1&").as_deref(), Ok("{A:1}"));
        assert_eq!(tree("").as_deref(), Ok("{}"));
    }

    #[test]
    fn each_clients_encoding_decodes_to_the_same_text() {
        let text = "{A:a b+*~'(!)中😀&<%20}";
        let python_and_go = "A=a+b%2B%2A~%27%28%21%29%E4%B8%AD%F0%9F%98%80%26%3C%2520";
        let node = "A=a%20b%2B*~'(!)%E4%B8%AD%F0%9F%98%80%26%3C%2520";
        let node_get = "A=a%20b%2B*~%27(!)%E4%B8%AD%F0%9F%98%80%26%3C%2520";
        let java = "A=a+b%2B*%7E%27%28%21%29%E4%B8%AD%F0%9F%98%80%26%3C%2520";
        let php = "A=a+b%2B%2A%7E%27%28%21%29%e4%b8%ad%f0%9f%98%80%26%3c%2520";
        for raw in [python_and_go, node, node_get, java, php] {
            assert_eq!(tree(raw).as_deref(), Ok(text), "{raw}");
        }
    }

    #[test]
    fn contradictions_are_refused_and_named() {
        let index = |n: &str| Err(ParamError::Index(n.into()));
        let name = |n: &str| Err(ParamError::Name(n.into()));
        let twice = |n: &str| Err(ParamError::Duplicate(n.into()));
        let clash = |n: &str| Err(ParamError::Conflict(n.into()));
        for (raw, why) in [
            ("Urls.0=a&Urls.0=b", twice("Urls.0")),
            ("Area=a&Area=a", twice("Area")),
            ("Urls=a&Urls.0=b", clash("Urls.0")),
            ("Urls.0=a&Urls.Name=b", clash("Urls.Name")),
            ("Urls.0=a&Urls.0.Name=b", clash("Urls.0.Name")),
            ("Urls.-1=a", index("Urls.-1")),
            ("Urls.99999999=a", index("Urls.99999999")),
            ("Urls.99999999999999999999=a", index("Urls.99999999999999999999")),
            ("Urls.65536=a", index("Urls.65536")),
            ("Urls.00=a", index("Urls.00")),
            ("Urls.=a", name("Urls.")),
            (".0=a", name(".0")),
            ("0=a", name("0")),
            ("=a", name("")),
            ("A.B.C.D.E.F.G.H.I=a", Err(ParamError::TooDeep)),
            ("A=%zz", Err(ParamError::Escape("A".into()))),
            ("A=%4", Err(ParamError::Escape("A".into()))),
            ("A=%ff", Err(ParamError::NotUtf8("A".into()))),
            ("%ff=a", Err(ParamError::NotUtf8("%ff".into()))),
        ] {
            assert_eq!(tree(raw), why, "{raw}");
        }
        assert_eq!(tree("Urls.65535=a").as_deref(), Ok("{Urls:[a]}"));
        assert_eq!(tree(&"a=&".repeat(MAX_VALUES + 1)), Err(ParamError::TooManyValues));
    }
}
