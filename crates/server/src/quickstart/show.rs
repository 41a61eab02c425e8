//! How the quickstart talks: progress that moves on a terminal, plain lines anywhere else.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Where it talks.
#[derive(Debug)]
pub(super) enum Show {
    /// A person watches: waiting is shown.
    Terminal(MultiProgress),
    /// A file or a pipe: a line when something is known.
    Plain,
}

/// One thing that is waited for.
#[derive(Debug)]
pub(super) struct Waiting {
    bar: Option<ProgressBar>,
    name: String,
}

impl Show {
    /// A terminal's way of talking if standard output is one.
    #[must_use]
    pub(super) fn detect() -> Self {
        if std::io::stdout().is_terminal() { Self::Terminal(MultiProgress::new()) } else { Self::Plain }
    }

    /// Says a line.
    pub(super) fn line(&self, text: &str) {
        match self {
            // Printed above the bars, so that they do not tear it apart.
            Self::Terminal(bars) => {
                let shown = bars.println(text);
                debug_assert!(shown.is_ok(), "a terminal takes text");
            }
            Self::Plain => {
                // A closed pipe only means that nobody reads on.
                let _closed = writeln!(std::io::stdout().lock(), "{text}");
            }
        }
    }

    /// Says the heading of a step.
    pub(super) fn step(&self, number: u32, text: &str) {
        self.line(&format!("\n{number}. {text}"));
    }

    /// Says that something was seen, under the step.
    pub(super) fn seen(&self, text: &str) {
        self.line(&format!("   ✓ {text}"));
    }

    /// Says that something else than expected was seen.
    pub(super) fn unseen(&self, text: &str) {
        self.line(&format!("   ✗ {text}"));
    }

    /// Begins to wait for something.
    #[must_use]
    pub(super) fn wait(&self, name: &str, text: &str) -> Waiting {
        let bar = match self {
            Self::Terminal(bars) => {
                let bar = bars.add(ProgressBar::new_spinner());
                let style = ProgressStyle::with_template("   {spinner} {msg} {elapsed}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
                bar.set_message(format!("{name}: {text}"));
                bar.enable_steady_tick(Duration::from_millis(80));
                Some(bar)
            }
            Self::Plain => None,
        };
        Waiting { bar, name: name.to_owned() }
    }

    /// Ends a wait with what came of it.
    pub(super) fn arrived(&self, waiting: &Waiting, text: &str) {
        if let Some(bar) = &waiting.bar {
            bar.finish_and_clear();
        }
        self.seen(&format!("{}: {text}", waiting.name));
    }
}
