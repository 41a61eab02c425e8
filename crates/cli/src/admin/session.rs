//! One command's talk with the admin API, and how its answers are shown.

use serde_json::{Map, Value};

use super::client::AdminClient;
use super::present::{Columns, present};
use crate::console::Console;
use crate::ended::Ended;

/// A client, and where to show what it is told.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub client: AdminClient,
    console: &'a mut Console,
    json: bool,
}

impl<'a> Session<'a> {
    pub(crate) const fn new(client: AdminClient, console: &'a mut Console, json: bool) -> Self {
        Self { client, console, json }
    }

    /// Shows what was asked for.
    pub(crate) fn show(&mut self, answer: &Value, columns: Columns) {
        if self.json {
            self.document(answer);
        } else {
            present(self.console, answer, columns);
        }
    }

    /// Says that something was changed.
    pub(crate) fn done(&mut self, answer: &Value, text: &str) {
        if self.json {
            self.document(answer);
        } else {
            self.console.line(text);
        }
    }

    /// Shows what will not be shown again.
    ///
    /// # Errors
    /// [`Ended::Output`] when it did not reach the reader, with `remedy`, which says what to do then.
    pub(crate) fn show_once(&mut self, answer: &Value, columns: Columns, remedy: &str) -> Result<(), Ended> {
        self.show(answer, columns);
        self.console.delivered().map_err(|why| {
            Ended::Output(format!(
                "the secret was made but could not be written ({why}) and is not shown again: {remedy}"
            ))
        })?;
        self.note("the secret above is not shown again: store it now");
        Ok(())
    }

    /// Lines of a result, for people only.
    pub(crate) fn lines<I: IntoIterator<Item = String>>(&mut self, answer: &Value, lines: I) {
        if self.json {
            self.document(answer);
        } else {
            lines.into_iter().for_each(|line| self.console.line(&line));
        }
    }

    /// A word beside the result.
    pub(crate) fn note(&mut self, text: &str) {
        self.console.note(&format!("catharsis: {text}"));
    }

    fn document(&mut self, answer: &Value) {
        if answer.is_null() {
            self.console.json(&Value::Object(Map::new()));
        } else {
            self.console.json(answer);
        }
    }
}
