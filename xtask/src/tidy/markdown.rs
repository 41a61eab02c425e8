//! Relative links in Markdown lead somewhere. Links to other sites and to headings are not followed.

use super::tree::Tree;
use super::{Finding, Rule};

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, text) in tree.with_extension("md") {
        for (line, target) in links(text) {
            let Some(resolved) = resolve(path, target) else {
                continue;
            };
            if !resolved.is_some_and(|resolved| tree.exists(&resolved)) {
                findings.push(Finding::new(path, line, Rule::BrokenLink, format!("`{target}` leads nowhere")));
            }
        }
    }
}

/// Line and target of each `](target)` and `[label]: target`, code left out.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced || line.starts_with("    ") {
            continue;
        }
        found.extend(inline(line).into_iter().chain(definition(line)).map(|target| (index + 1, target)));
    }
    found
}

fn inline(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    // Every second part stands between backticks.
    for part in line.split('`').step_by(2) {
        let ends = part.split("](").skip(1);
        found.extend(ends.filter_map(|end| end.split([')', ' ']).next()));
    }
    // `[text with `code`](target)`: the target stands in the part after the code, which begins with `](`; seen above.
    found
}

fn definition(line: &str) -> Option<&str> {
    let (label, target) = line.strip_prefix('[')?.split_once("]: ")?;
    (!label.contains(']')).then(|| target.split(' ').next().unwrap_or(target))
}

/// The path from the root; `None` where the link is not ours to follow, `Some(None)` where it leaves the repository.
fn resolve(from: &str, target: &str) -> Option<Option<String>> {
    let target = target.trim_start_matches('<').trim_end_matches('>');
    let path = target.split('#').next().unwrap_or(target);
    let elsewhere = path.contains("://") || path.starts_with("mailto:");
    if path.is_empty() || elsewhere {
        return None;
    }
    let mut parts: Vec<&str> = if path.starts_with('/') { Vec::new() } else { from.split('/').collect() };
    parts.pop();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if part != ".." {
            parts.push(part);
        } else if parts.pop().is_none() {
            return Some(None);
        }
    }
    Some(Some(parts.join("/")))
}
