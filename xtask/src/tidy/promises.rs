//! A promise has a test: each row of docs/promises.md names tests, and each of them exists. Whether it passes is the test runner's word.

use proc_macro2::TokenStream;

use super::tree::Tree;
use super::{Finding, Rule, tables, tokens};

const PAGE: &str = "docs/promises.md";

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let Some(page) = tree.text(PAGE) else { return };
    let tests = tests(tree);
    for (line, cells) in tables::rows(page, |head| head.last() == Some(&"Tests")) {
        let names = cells.last().map_or_else(Vec::new, |tests| names(tests));
        if names.is_empty() {
            findings.push(Finding::new(PAGE, line, Rule::Promise, "this promise names no test"));
        }
        for name in names.into_iter().filter(|name| !tests.iter().any(|test| is_named(test, name))) {
            findings.push(Finding::new(PAGE, line, Rule::Promise, format!("no test is called `{name}`")));
        }
    }
}

/// What stands between backticks.
pub(super) fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Full path of each test function: crate folder, modules, name.
pub(super) fn tests(tree: &Tree) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (path, text) in tree.with_extension("rs") {
        let seen = text.parse::<TokenStream>().map(tokens::look).unwrap_or_default();
        let base = file_modules(path);
        found.extend(seen.tests.into_iter().map(|test| base.iter().cloned().chain(test.path).collect()));
    }
    found
}

/// `crates/core/src/relay/ready.rs` → core, relay, ready; `crates/server/tests/whole.rs` → server, whole. A file `fence_tests.rs` holds
/// the tests of `fence.rs` and counts as that.
fn file_modules(path: &str) -> Vec<String> {
    let path = path.strip_prefix("crates/").unwrap_or(path);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let skipped = |part: &&str| !matches!(*part, "src" | "tests" | "lib" | "main" | "mod");
    path.split('/').map(|part| part.strip_suffix("_tests").unwrap_or(part)).filter(skipped).map(str::to_owned).collect()
}

/// A plain name means any test so called; a path must agree in every module, `tests` left out on both sides.
pub(super) fn is_named(test: &[String], name: &str) -> bool {
    let wanted: Vec<&str> = name.split("::").filter(|part| *part != "tests").collect();
    let known: Vec<&str> = test.iter().map(String::as_str).filter(|part| *part != "tests").collect();
    match wanted.as_slice() {
        [plain] => known.last() == Some(plain),
        path => known == path,
    }
}
