//! The JSON of a policy as a tree that keeps what a map would hide: names given twice.
//!
//! Depth is bounded while reading; the number of values is bounded by the document's size, which is checked before.

use std::cell::Cell;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use crate::error::PolicyError;
use crate::limits::MAX_DEPTH;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Integer(i128),
    /// A number with a fraction or an exponent. Nothing in a policy is one.
    Fraction,
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Reads one value; blanks may stand around it, anything else not.
pub(crate) fn parse(text: &str) -> Result<Json, PolicyError> {
    let too_deep = Cell::new(false);
    let mut reader = serde_json::Deserializer::from_str(text);
    let node = Node { too_deep: &too_deep, depth: 0 };
    match node.deserialize(&mut reader).and_then(|root| reader.end().map(|()| root)) {
        Ok(root) => Ok(root),
        Err(_) if too_deep.get() => Err(PolicyError::TooDeep),
        Err(e) => Err(PolicyError::NotJson(e.to_string())),
    }
}

#[derive(Clone, Copy)]
struct Node<'f> {
    /// serde's error carries text only, so the reason waits here.
    too_deep: &'f Cell<bool>,
    depth: usize,
}

impl Node<'_> {
    fn below<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            self.too_deep.set(true);
            Err(E::custom("too deep"))
        } else {
            Ok(Self { depth: self.depth + 1, ..self })
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value.into()))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Fraction)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let below = self.below()?;
        let mut object = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            object.push((name, members.next_value_seed(below)?));
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_given_twice_is_kept_twice() {
        let twice = parse(r#"{"a":1,"\u0061":null}"#).expect("valid JSON");
        assert_eq!(twice, Json::Object(vec![("a".into(), Json::Integer(1)), ("a".into(), Json::Null)]));
    }

    #[test]
    fn depth_is_bounded_while_reading() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(parse(&deep(MAX_DEPTH + 1)), Err(PolicyError::TooDeep));
        assert_eq!(parse(&"[".repeat(30_000)), Err(PolicyError::TooDeep));
    }

    #[test]
    fn what_is_not_json_is_told_with_its_line() {
        let error = parse("{\n  \"a\": 1,\n}").expect_err("a trailing comma");
        assert_eq!(error.to_string(), "not JSON: trailing comma at line 3 column 1");
        assert!(parse("{} {}").is_err());
        assert!(parse("").is_err());
    }
}
