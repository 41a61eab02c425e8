//! Where a command reads and writes.
//!
//! What this is: standard output for results, standard error for progress and complaints, standard
//! input for lists; tests put buffers in their place. What this is not: a screen; only the progress
//! bar knows about cursors.
//!
//! Invariant: text that came from a server or a list reaches a terminal without control characters,
//! so nobody's URL or message can move the cursor or rewrite a line.

use std::io::{ErrorKind, IsTerminal, Read, Write};

use serde::Serialize;

use crate::ended::Ended;

/// How long work shows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Motion {
    /// A bar that redraws itself.
    Bar,
    /// A line for each step.
    Lines,
}

/// Whether words of status are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Green, yellow and red.
    On,
    /// None.
    Off,
}

/// Standard output, error and input of one command.
pub struct Terminal<'a> {
    out: &'a mut (dyn Write + Send),
    err: &'a mut (dyn Write + Send),
    pub(crate) input: &'a mut (dyn Read + Send),
    pub(crate) motion: Motion,
    pub(crate) colour: Colour,
    /// The first failure to write a result.
    broken: Option<std::io::Error>,
}

impl std::fmt::Debug for Terminal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("motion", &self.motion).field("colour", &self.colour).finish_non_exhaustive()
    }
}

impl<'a> Terminal<'a> {
    /// Plain lines without colour.
    pub fn plain(
        out: &'a mut (dyn Write + Send),
        err: &'a mut (dyn Write + Send),
        input: &'a mut (dyn Read + Send),
    ) -> Self {
        Self { out, err, input, motion: Motion::Lines, colour: Colour::Off, broken: None }
    }

    /// The same with what this process's own streams can show: a bar where standard error is a
    /// terminal, colour where standard output is one and `NO_COLOR` (no-color.org) is not set.
    #[must_use]
    pub fn of_process(self) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let colour = std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb;
        Self {
            motion: if std::io::stderr().is_terminal() && !dumb { Motion::Bar } else { Motion::Lines },
            colour: if colour { Colour::On } else { Colour::Off },
            ..self
        }
    }

    /// A line of the result.
    pub(crate) fn line(&mut self, text: &str) {
        self.write(&format!("{}\n", harmless(text)));
    }

    /// A table, whose cells are harmless already.
    pub(crate) fn table(&mut self, text: &str) {
        self.write(text);
    }

    /// The result as one JSON document.
    ///
    /// # Errors
    /// When it does not serialize.
    pub(crate) fn json(&mut self, answer: &impl Serialize) -> Result<(), Ended> {
        let text = serde_json::to_string_pretty(answer)
            .map_err(|error| Ended::Failed(format!("the answer cannot be shown: {error}")))?;
        self.write(&format!("{text}\n"));
        Ok(())
    }

    /// A line of progress or complaint.
    pub(crate) fn say(&mut self, text: &str) {
        for line in text.lines() {
            // Where complaints cannot be written, there is nowhere left to complain.
            let _unheard = writeln!(self.err, "{}", harmless(line));
        }
    }

    fn write(&mut self, text: &str) {
        if self.broken.is_none() {
            self.broken = self.out.write_all(text.as_bytes()).err();
        }
    }

    /// Whether the whole result was written. A reader that has seen enough (`| head`) is no failure.
    ///
    /// # Errors
    /// [`Ended::Failed`], say when the disk is full.
    pub(crate) fn finish(&mut self) -> Result<(), Ended> {
        let broken = self.broken.take().or_else(|| self.out.flush().err());
        match broken {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Ended::Failed(format!("the result could not be written: {error}")))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// The text with control characters and invisible marks of direction escaped.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let invisible =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || invisible { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails every write in the same way.
    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn finish_on(kind: ErrorKind) -> Result<(), u8> {
        let (mut out, mut err, mut input) = (Broken(kind), Vec::new(), std::io::empty());
        let mut terminal = Terminal::plain(&mut out, &mut err, &mut input);
        terminal.line("a result");
        terminal.finish().map_err(|ended| ended.status())
    }

    #[test]
    fn reader_that_has_seen_enough_is_no_failure_but_a_full_disk_is() {
        assert_eq!(finish_on(ErrorKind::BrokenPipe), Ok(()));
        assert_eq!(finish_on(ErrorKind::StorageFull), Err(1));
    }

    #[test]
    fn text_of_others_cannot_command_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\rc\u{202e}中"), "a\\u{1b}[2Jb\\rc\\u{202e}中");
    }
}
