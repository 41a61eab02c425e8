//! Aligned tables for people. Invariant: a cell is [`visible`] and of one line, whatever it holds.

use crate::visible::visible;

/// Rows under a heading, each column as wide as its widest cell; the last is not padded.
pub(crate) fn render(heading: &[&str], rows: &[Vec<String>]) -> String {
    let shown = |row: &Vec<String>| row.iter().map(|cell| visible(cell).into_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(shown).collect();
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(heading[column].len())
    };
    let widths: Vec<usize> = (0..heading.len()).map(width_of).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut out = line(&mut heading.iter().copied());
    for row in &rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec!["edge-1".to_owned(), "ok".to_owned()], vec!["e".to_owned(), "joining".to_owned()]];
        assert_eq!(render(&["NODE", "STATE"], &rows), "NODE    STATE\nedge-1  ok\ne       joining\n");
    }

    #[test]
    fn cell_can_neither_begin_a_line_nor_move_the_cursor() {
        let rows = vec![vec!["a\nb\u{1b}[A".to_owned(), "ok".to_owned()]];
        assert_eq!(render(&["URL", "STATE"], &rows), "URL              STATE\na\\u{a}b\\u{1b}[A  ok\n");
    }
}
