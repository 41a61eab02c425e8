//! Answers of the admin API for people.
//!
//! What this is: lists of objects as tables, objects as a field a line, whatever fields they have:
//! a service that tells more than this version knows is still shown whole.

use serde_json::{Map, Value};

use crate::console::Console;

/// Which fields of a list, in which order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Columns {
    /// These first, then all others.
    First(&'static [&'static str]),
    /// These and no others.
    Only(&'static [&'static str]),
}

impl Columns {
    fn of<'a>(self, rows: &[&'a Map<String, Value>]) -> Vec<&'a str> {
        let mut present: Vec<&str> = Vec::new();
        for name in rows.iter().flat_map(|row| row.keys()) {
            if !present.contains(&name.as_str()) {
                present.push(name);
            }
        }
        let (first, others) = match self {
            Self::First(first) => (first, true),
            Self::Only(only) => (only, false),
        };
        let place = |name: &str| first.iter().position(|it| *it == name);
        present.retain(|name| others || place(name).is_some());
        // The sort is stable: others stay as they came.
        present.sort_by_key(|name| place(name).unwrap_or(first.len()));
        present
    }
}

/// Shows an answer.
pub(crate) fn present(console: &mut Console, answer: &Value, columns: Columns) {
    match answer {
        Value::Array(rows) => table(console, rows, columns),
        Value::Object(fields) => {
            let (lists, single): (Vec<_>, Vec<_>) =
                columns.of(&[fields]).into_iter().partition(|name| is_list(&fields[*name]));
            // A wrapper has no field that `Only` could name.
            let lists = if lists.is_empty() && single.is_empty() {
                fields.keys().map(String::as_str).filter(|name| is_list(&fields[*name])).collect()
            } else {
                lists
            };
            let width = single.iter().map(|name| name.len()).max().unwrap_or(0);
            for name in &single {
                console.line(&format!("{name:width$}  {}", cell(&fields[*name])));
            }
            for name in &lists {
                if lists.len() > 1 || !single.is_empty() {
                    console.line(&format!("{name}:"));
                }
                table(console, fields[*name].as_array().map_or(&[], Vec::as_slice), columns);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => console.line(&cell(answer)),
    }
}

/// Whether a field is a list of objects, which wants a table.
fn is_list(value: &Value) -> bool {
    value.as_array().is_some_and(|rows| !rows.is_empty() && rows.iter().all(Value::is_object))
}

fn table(console: &mut Console, rows: &[Value], columns: Columns) {
    let objects: Vec<&Map<String, Value>> = rows.iter().filter_map(Value::as_object).collect();
    if objects.len() < rows.len() {
        // A list of texts or numbers: one a line.
        rows.iter().for_each(|row| console.line(&cell(row)));
        return;
    }
    let names = columns.of(&objects);
    let text = |row: &&Map<String, Value>| names.iter().map(|name| row.get(*name).map_or_else(dash, cell)).collect();
    let lines: Vec<Vec<String>> = objects.iter().map(text).collect();
    if !lines.is_empty() {
        let headings: Vec<String> = names.iter().map(|name| name.to_ascii_uppercase()).collect();
        console.table(&headings.iter().map(String::as_str).collect::<Vec<_>>(), &lines);
    }
}

/// A value in one cell.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => dash(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => dash(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(_) => value.to_string(),
    }
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn known_fields_come_first_and_unknown_ones_are_shown_unless_they_must_not() {
        let row = json!({ "Area": "mainland", "Name": "a.test", "Zone": 7 });
        let fields = row.as_object().expect("it is one");
        assert_eq!(Columns::First(&["Name", "Status"]).of(&[fields]), ["Name", "Area", "Zone"]);
        assert_eq!(Columns::Only(&["Name", "Status"]).of(&[fields]), ["Name"]);
    }
}
