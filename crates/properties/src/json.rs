//! Parameters in JSON, compared with `serde_json`'s own tree.

use catharsis_tcapi::limits::{MAX_DEPTH, MAX_MEMBERS, MAX_VALUES};
use catharsis_tcapi::params::{Object, Param, ParamError, Params};
use serde_json::{Map, Value};

use crate::outcome::assert_refusal;
use crate::planted;

/// `data` is a body. What is accepted is what `serde_json` reads, within the bounds, and the same when written and read again; what is refused
/// though `serde_json` reads it breaks a documented bound or has a name twice.
pub fn json_params(data: &[u8]) {
    let plain = serde_json::from_slice::<Value>(data);
    match Params::from_json(data) {
        Ok(params) => {
            let tree = object(params.root());
            let mut values = 0;
            assert!(depth(&tree, &mut values) <= MAX_DEPTH && values <= MAX_VALUES, "over its bounds");
            match plain {
                Ok(plain) => assert!(alike(&tree, &plain), "{tree} is read of {plain}"),
                Err(error) => assert!(data.trim_ascii().is_empty(), "serde_json refuses it: {error}"),
            }
            let written = tree.to_string();
            let again = Params::from_json(written.as_bytes()).expect("what was written of a tree is one");
            assert!(alike(&object(again.root()), &tree), "{written} is read otherwise");
        }
        Err(error) => {
            assert_why(&error, plain.ok().as_ref());
            assert_refusal(&error.into());
        }
    }
}

/// Why a body is refused, by what it is for `serde_json`.
fn assert_why(error: &ParamError, plain: Option<&Value>) {
    let bound = matches!(
        error,
        ParamError::TooDeep | ParamError::TooManyMembers | ParamError::TooManyValues | ParamError::Duplicate(_)
    );
    match plain {
        // A bound may be found broken before the place where the text stops to be JSON.
        None => assert!(bound || matches!(error, ParamError::NotJson { .. } | ParamError::BodyNotUtf8), "{error:?}"),
        Some(Value::Object(_)) => assert!(bound, "{error:?} of an object"),
        Some(_) => assert!(bound || *error == ParamError::NotAnObject, "{error:?} of no object"),
    }
    if let (ParamError::TooDeep, Some(plain)) = (error, plain) {
        assert!(depth(plain, &mut 0) > MAX_DEPTH, "{plain} is not deep");
    }
}

fn object(object: &Object<'_>) -> Value {
    let names: Vec<&str> = object.iter().map(|(name, _)| name).collect();
    assert!(names.len() <= MAX_MEMBERS && names.is_sorted_by(|a, b| a < b), "names are unique and in order: {names:?}");
    for (name, param) in object.iter() {
        assert_eq!(object.get(name), Some(param), "each member is found by its name");
    }
    Value::Object(object.iter().map(|(name, param)| (name.to_owned(), value(param))).collect::<Map<_, _>>())
}

fn value(param: &Param<'_>) -> Value {
    match param {
        Param::Null => Value::Null,
        Param::Bool(truth) => Value::from(*truth),
        Param::Int(number) if planted(*number < -99) => Value::from(number + 1),
        Param::Int(number) => Value::from(*number),
        Param::Float(number) => Value::from(*number),
        Param::Str(text) => Value::from(text.as_ref()),
        Param::List(list) => list.iter().map(value).collect(),
        Param::Object(members) => object(members),
    }
}

/// Equal, but for the last digits of fractions: `serde_json` reads those to one unit of the last place only.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (Some(x), Some(y)) = (a.as_f64(), b.as_f64()) else { return false };
            a == b || (!a.is_i64() && (x - y).abs() <= x.abs() * 1e-15)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| alike(a, b)))
        }
        (a, b) => a == b,
    }
}

/// Levels below the top; counts the values on its way.
fn depth(value: &Value, values: &mut usize) -> usize {
    *values += 1;
    match value {
        Value::Array(list) => 1 + list.iter().map(|item| depth(item, values)).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(|item| depth(item, values)).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
