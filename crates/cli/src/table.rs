//! Aligned tables for people.
//!
//! What this is: cells to text. Invariant: each cell is harmless to a terminal, and colour changes
//! no width.

use crate::terminal::{Colour, harmless};

/// Rows under a heading, each column as wide as its widest cell. Columns of numbers are aligned to
/// the right; those headed `STATUS` or `STATE` are coloured; the last one is not padded.
pub(crate) fn render(heading: &[&str], rows: &[Vec<String>], colour: Colour) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| harmless(cell)).collect()).collect();
    let columns: Vec<Column> = heading.iter().enumerate().map(|(at, name)| Column::of(name, at, &rows)).collect();
    let mut out = line(&columns, heading.iter().copied(), Colour::Off);
    for row in &rows {
        out.push_str(&line(&columns, row.iter().map(String::as_str), colour));
    }
    out
}

struct Column {
    width: usize,
    numeric: bool,
    status: bool,
}

impl Column {
    fn of(name: &str, at: usize, rows: &[Vec<String>]) -> Self {
        let cells = || rows.iter().filter_map(|row| row.get(at));
        let width = cells().map(|cell| cell.chars().count()).max().unwrap_or(0).max(name.len());
        let numeric = cells().all(|cell| !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit()));
        Self { width, numeric, status: matches!(name, "STATUS" | "STATE") }
    }

    fn cell(&self, text: &str, colour: Colour) -> String {
        let padding = " ".repeat(self.width.saturating_sub(text.chars().count()));
        let text = if self.status && colour == Colour::On { paint(text) } else { text.to_owned() };
        if self.numeric { format!("{padding}{text}") } else { format!("{text}{padding}") }
    }
}

fn line<'a>(columns: &[Column], cells: impl Iterator<Item = &'a str>, colour: Colour) -> String {
    let cells: Vec<String> = columns.iter().zip(cells).map(|(column, text)| column.cell(text, colour)).collect();
    format!("{}\n", cells.join("  ").trim_end())
}

/// The words of tasks and of nodes in the colours that everybody expects (ECMA-48 SGR).
fn paint(word: &str) -> String {
    let code = match word {
        "done" | "ok" => "32",
        "process" | "joining" => "33",
        "fail" | "unreachable" => "31",
        _ => return word.to_owned(),
    };
    format!("\u{1b}[{code}m{word}\u{1b}[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        vec![row(["edge-1", "ok", "9"]), row(["e\u{7}", "joining", "120"])]
    }

    #[test]
    fn columns_are_aligned_and_numbers_to_the_right() {
        let expected = "NODE    STATE    LAG\nedge-1  ok         9\ne\\u{7}  joining  120\n";
        assert_eq!(render(&["NODE", "STATE", "LAG"], &rows(), Colour::Off), expected);
    }

    #[test]
    fn colour_changes_no_width() {
        let coloured = render(&["NODE", "STATE", "LAG"], &rows(), Colour::On);
        assert!(coloured.contains("edge-1  \u{1b}[32mok\u{1b}[0m         9\n"), "{coloured:?}");
    }
}
