//! JSON to the tree in one pass: strings without escapes are borrowed from the body, names given twice are refused, depth and number are bounded
//! while reading, not afterwards.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use super::{Object, Param, ParamError};
use crate::limits::{MAX_DEPTH, MAX_VALUES};

pub(super) fn parse(body: &[u8]) -> Result<Object<'_>, ParamError> {
    // Checked once for the whole body, which is faster than once a string.
    let text = std::str::from_utf8(body).map_err(|_| ParamError::BodyNotUtf8)?;
    if text.trim_ascii().is_empty() {
        return Ok(Object::default());
    }
    let budget = Budget::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    let root = Node { budget: &budget, depth: 0 }.deserialize(&mut reader).and_then(|root| reader.end().map(|()| root));
    match root {
        Ok(Param::Object(object)) => Ok(object),
        Ok(Param::Null | Param::Bool(_) | Param::Int(_) | Param::Float(_) | Param::Str(_) | Param::List(_)) => {
            Err(ParamError::NotAnObject)
        }
        Err(e) => Err(budget.refusal.take().unwrap_or(ParamError::NotJson { line: e.line(), column: e.column() })),
    }
}

/// What one request may still hold, and why reading stopped: serde's error carries text only, so the reason waits here.
#[derive(Default)]
struct Budget {
    values: Cell<usize>,
    refusal: RefCell<Option<ParamError>>,
}

impl Budget {
    fn refuse<E: Error>(&self, why: ParamError) -> E {
        self.refusal.replace(Some(why));
        E::custom("refused")
    }
}

#[derive(Clone, Copy)]
struct Node<'b> {
    budget: &'b Budget,
    depth: usize,
}

impl Node<'_> {
    fn below<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            Err(self.budget.refuse(ParamError::TooDeep))
        } else {
            Ok(Self { depth: self.depth + 1, ..self })
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Param<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Param<'de>, D::Error> {
        let values = self.budget.values.get();
        if values == MAX_VALUES {
            return Err(self.budget.refuse(ParamError::TooManyValues));
        }
        self.budget.values.set(values + 1);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Param<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Param<'de>, E> {
        Ok(Param::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Param<'de>, E> {
        Ok(Param::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Param<'de>, E> {
        Ok(Param::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Param<'de>, E> {
        Ok(i64::try_from(value).map_or(Param::Float(value as f64), Param::Int))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Param<'de>, E> {
        Ok(Param::Float(value))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Param<'de>, E> {
        Ok(Param::Str(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Param<'de>, E> {
        Ok(Param::Str(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Param<'de>, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            list.push(item);
        }
        Ok(Param::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Param<'de>, A::Error> {
        let below = self.below()?;
        let mut object = Object::default();
        while let Some(name) = members.next_key_seed(Name)? {
            let value = members.next_value_seed(below)?;
            object.insert(name, value).map_err(|why| self.budget.refuse::<A::Error>(why))?;
        }
        Ok(Param::Object(object))
    }
}

/// A member's name; serde's own `Cow` would always copy.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_strings_are_borrowed_and_escaped_ones_are_read() {
        let root =
            parse(br#"{"A":"plain","B":"\u4e2d\u003c \ud83d\ude00","C":[1,-2,1.5,true,null,18446744073709551615]}"#)
                .expect("valid JSON");
        assert!(matches!(root.get("A"), Some(Param::Str(Cow::Borrowed("plain")))));
        assert_eq!(root.get("B"), Some(&Param::Str("中< 😀".into())));
        let Some(Param::List(list)) = root.get("C") else { panic!("C is a list") };
        assert_eq!(list[..5], [Param::Int(1), Param::Int(-2), Param::Float(1.5), Param::Bool(true), Param::Null]);
    }

    #[test]
    fn what_is_no_single_object_is_refused() {
        for (body, why) in [
            (&b"[]"[..], ParamError::NotAnObject),
            (b"\"x\"", ParamError::NotAnObject),
            (b"{", ParamError::NotJson { line: 1, column: 1 }),
            (b"{} {}", ParamError::NotJson { line: 1, column: 4 }),
            (b"\xef\xbb\xbf{}", ParamError::NotJson { line: 1, column: 1 }),
            (b"{\"A\":\"\xff\"}", ParamError::BodyNotUtf8),
            (br#"{"A":1,"B":2,"A":1}"#, ParamError::Duplicate("A".into())),
            (br#"{"F":[{"A":1,"\u0041":1}]}"#, ParamError::Duplicate("A".into())),
        ] {
            assert_eq!(parse(body), Err(why), "{}", String::from_utf8_lossy(body));
        }
        assert_eq!(parse(b""), Ok(Object::default()));
        assert_eq!(parse(b" {} "), Ok(Object::default()));
    }

    #[test]
    fn depth_and_number_are_bounded_while_reading() {
        let deep = |n: usize| format!("{{\"A\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(parse(deep(MAX_DEPTH - 1).as_bytes()).is_ok());
        assert_eq!(parse(deep(MAX_DEPTH).as_bytes()), Err(ParamError::TooDeep));
        assert_eq!(parse(deep(1_000_000).as_bytes()), Err(ParamError::TooDeep));
        let wide = |n: usize| format!("{{\"A\":[{}0]}}", "0,".repeat(n));
        assert!(parse(wide(MAX_VALUES - 3).as_bytes()).is_ok());
        assert_eq!(parse(wide(MAX_VALUES - 2).as_bytes()), Err(ParamError::TooManyValues));
        let members: Vec<String> = (0..300).map(|n| format!("\"k{n}\":0")).collect();
        assert_eq!(parse(format!("{{{}}}", members.join(",")).as_bytes()), Err(ParamError::TooManyMembers));
    }
}
