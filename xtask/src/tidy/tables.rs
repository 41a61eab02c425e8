//! Tables of a Markdown page. What this is not: a Markdown parser; a cell has no escaped bar.

/// The rows of all tables on the page whose head is one of those sought, each with its line; without heads and rules.
pub(super) fn rows(page: &str, sought: impl Fn(&[&str]) -> bool) -> Vec<(usize, Vec<&str>)> {
    let mut found = Vec::new();
    let mut counts = false;
    for (index, line) in page.lines().enumerate() {
        let Some(cells) = line.trim().strip_prefix('|').and_then(|rest| rest.strip_suffix('|')) else {
            counts = false;
            continue;
        };
        let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
        if sought(&cells) {
            counts = true;
        } else if counts && !cells.iter().all(|cell| is_rule(cell)) {
            found.push((index + 1, cells));
        }
    }
    found
}

fn is_rule(cell: &str) -> bool {
    !cell.is_empty() && cell.trim_matches(['-', ':']).is_empty()
}
