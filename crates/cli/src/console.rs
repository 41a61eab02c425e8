//! Where a command's words go: results to standard output, all else to standard error.
//!
//! Invariant: a write that fails never ends the work half-way. Whoever closed the pipe (`| head`)
//! has what it wanted, so that is no error; any other failure to write is told at the end.
//! Lines and tables for people are made [`visible`]; JSON is exact.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::ended::Ended;
use crate::table::render;
use crate::visible::visible;

/// Both outputs of a command.
pub struct Console {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    state: State,
}

/// What became of standard output.
enum State {
    Open,
    /// The reader went away.
    Closed,
    Broken(std::io::Error),
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

impl Console {
    /// Those of the process.
    #[must_use]
    pub fn standard() -> Self {
        Self::new(std::io::stdout(), std::io::stderr())
    }

    /// Any two.
    #[must_use]
    pub fn new(out: impl Write + 'static, err: impl Write + 'static) -> Self {
        Self { out: Box::new(out), err: Box::new(err), state: State::Open }
    }

    /// One line of a result.
    pub(crate) fn line(&mut self, text: &str) {
        self.write(&format!("{}\n", visible(text)));
    }

    /// A table of results.
    pub(crate) fn table(&mut self, heading: &[&str], rows: &[Vec<String>]) {
        self.write(&render(heading, rows));
    }

    /// A result that is exact: a file's content.
    pub(crate) fn text(&mut self, text: &str) {
        self.write(text);
    }

    /// A result as one JSON document.
    pub(crate) fn json(&mut self, document: &impl Serialize) {
        match serde_json::to_string_pretty(document) {
            Ok(text) => self.write(&format!("{text}\n")),
            Err(error) => self.state = State::Broken(error.into()),
        }
    }

    /// A line on standard error. When that cannot be written there is nowhere left to say so.
    pub(crate) fn note(&mut self, text: &str) {
        let _nowhere_to_tell = writeln!(self.err, "{}", visible(text));
    }

    /// Whether everything so far has reached the reader: what is shown only once must.
    ///
    /// # Errors
    /// Why it has not.
    pub(crate) fn delivered(&mut self) -> Result<(), String> {
        self.flush();
        match &self.state {
            State::Open => Ok(()),
            State::Closed => Err("the output is closed".to_owned()),
            State::Broken(error) => Err(error.to_string()),
        }
    }

    /// Ends the output.
    ///
    /// # Errors
    /// [`Ended::Output`] when some of it could not be written, unless the reader had gone away.
    pub(crate) fn finish(&mut self) -> Result<(), Ended> {
        self.flush();
        match &self.state {
            State::Open | State::Closed => Ok(()),
            State::Broken(error) => Err(Ended::Output(format!("the result could not be written: {error}"))),
        }
    }

    fn write(&mut self, text: &str) {
        if matches!(self.state, State::Open) {
            let written = self.out.write_all(text.as_bytes());
            self.keep(written);
        }
    }

    fn flush(&mut self) {
        if matches!(self.state, State::Open) {
            let written = self.out.flush();
            self.keep(written);
        }
    }

    fn keep(&mut self, written: std::io::Result<()>) {
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.state = State::Closed,
            Err(error) => self.state = State::Broken(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes nothing.
    struct Refuses(ErrorKind);

    impl Write for Refuses {
        fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn reader_that_went_away_is_no_error_but_a_full_disk_is() {
        let mut closed = Console::new(Refuses(ErrorKind::BrokenPipe), std::io::sink());
        closed.line("a result");
        closed.table(&["A"], &[]);
        assert!(closed.finish().is_ok());
        let mut full = Console::new(Refuses(ErrorKind::StorageFull), std::io::sink());
        full.json(&1);
        assert_eq!(full.finish().expect_err("it is full").status(), 6);
    }

    #[test]
    fn what_is_shown_once_is_not_taken_for_delivered_when_the_pipe_is_closed() {
        let mut closed = Console::new(Refuses(ErrorKind::BrokenPipe), std::io::sink());
        closed.line("a secret");
        assert!(closed.delivered().is_err());
        assert!(Console::new(std::io::sink(), std::io::sink()).delivered().is_ok());
    }
}
