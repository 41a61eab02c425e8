//! docs/compat.md says of every error code and every action that lists it when it is answered, with a test, or why it cannot happen.
//!
//! What this is: a comparison of the page's tables with the lists in `tcapi`, both read as text. What this is not: whether the test shows what
//! the row says, which is its reader's to judge. Invariant: each pair of an action and a code that it lists stands in exactly one row.

use std::collections::{BTreeMap, BTreeSet};

use super::promises::{is_named, names, tests};
use super::tree::Tree;
use super::{Finding, Rule, tables};

const PAGE: &str = "docs/compat.md";
const CODES: &str = "crates/tcapi/src/code.rs";
const ACTIONS: &str = "crates/tcapi/src/cdn.rs";
const LISTS: &str = "crates/tcapi/src/cdn";

/// The head of the tables that are read.
const HEAD: [&str; 4] = ["Code", "Actions", "When", "Tests"];

/// In the second column: each action that lists the code.
const EACH: &str = "each";

/// In the last column, in place of tests; the third then says why.
const NEVER: &str = "cannot happen";

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let Some(page) = tree.text(PAGE) else { return };
    let Some(vendor) = Vendor::read(tree) else {
        findings.push(Finding::new(
            ACTIONS,
            0,
            Rule::ErrorCode,
            "the lists of codes cannot be read as they are written",
        ));
        return;
    };
    let rows: Vec<Row<'_>> = tables::rows(page, |head| head == HEAD).into_iter().map(row).collect();
    let known = tests(tree);
    for row in &rows {
        let mut found = |what: String| findings.push(Finding::new(PAGE, row.line, Rule::ErrorCode, what));
        if row.codes.is_empty() || row.actions.is_empty() || row.when.is_empty() {
            found("this row lacks its code, its actions or its words".to_owned());
        }
        for code in row.codes.iter().filter(|code| !vendor.codes.contains_key(**code)) {
            found(format!("there is no code `{code}`"));
        }
        for action in row.actions.iter().filter(|action| **action != EACH) {
            match vendor.lists.get(*action) {
                None => found(format!("there is no action {action}")),
                Some(list) => row
                    .codes
                    .iter()
                    .filter(|code| vendor.codes.get(**code) == Some(&Level::Product) && !list.contains(**code))
                    .for_each(|code| found(format!("{action} does not list `{code}`"))),
            }
        }
        let named = names(row.tests);
        if named.is_empty() && row.tests != NEVER {
            found(format!("this row names no test, nor says `{NEVER}`"));
        }
        for name in named.iter().filter(|name| !known.iter().any(|test| is_named(test, name))) {
            found(format!("no test is called `{name}`"));
        }
    }
    pairs(&vendor, &rows, findings);
}

/// Each code has a row, and each pair exactly one.
fn pairs(vendor: &Vendor, rows: &[Row<'_>], findings: &mut Vec<Finding>) {
    for code in vendor.codes.keys() {
        let of_code: Vec<&Row<'_>> = rows.iter().filter(|row| row.codes.contains(&code.as_str())).collect();
        if of_code.is_empty() {
            findings.push(Finding::new(PAGE, 0, Rule::ErrorCode, format!("`{code}` stands in no row")));
            continue;
        }
        for (action, _) in vendor.lists.iter().filter(|(_, list)| list.contains(code)) {
            let about = |row: &&&Row<'_>| row.actions.iter().any(|it| it == action || *it == EACH);
            let count = of_code.iter().filter(about).count();
            if count != 1 {
                let what = format!("`{code}` of {action} stands in {count} rows");
                findings.push(Finding::new(PAGE, of_code[0].line, Rule::ErrorCode, what));
            }
        }
    }
}

/// Whose code it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Any action may answer it.
    Platform,
    /// Only an action that lists it.
    Product,
}

/// What `tcapi` says.
struct Vendor {
    /// Each code as on the wire.
    codes: BTreeMap<String, Level>,
    /// The codes that each action lists.
    lists: BTreeMap<String, BTreeSet<String>>,
}

impl Vendor {
    /// `None` when something is not written as expected: then nothing could be checked.
    fn read(tree: &Tree) -> Option<Self> {
        let (mut codes, mut wire) = (BTreeMap::new(), BTreeMap::new());
        let (_, body) = tree.text(CODES)?.split_once("\nerror_codes! {\n")?;
        // The first of the groups, each of which has a comment above, is the platform's.
        let mut groups = 0;
        for line in body.lines().take_while(|line| *line != "}").map(str::trim) {
            groups += usize::from(line.starts_with("// "));
            let Some((variant, rest)) = line.split_once(" = \"").filter(|_| !line.starts_with('/')) else { continue };
            let (code, _) = rest.split_once('"')?;
            codes.insert(code.to_owned(), if groups <= 1 { Level::Platform } else { Level::Product });
            wire.insert(variant, code);
        }
        let (_, body) = tree.text(ACTIONS)?.split_once("fn codes(self)")?;
        let (_, body) = body.split_once("match self {")?;
        let mut lists = BTreeMap::new();
        for arm in body.split_once('}')?.0.split(',').filter(|arm| !arm.trim().is_empty()) {
            let (actions, path) = arm.split_once("=>")?;
            let (module, list) = path.trim().split_once("::")?;
            let list = list_of(tree.text(&format!("{LISTS}/{module}.rs"))?, list, &wire)?;
            for action in actions.split('|') {
                lists.insert(action.trim().strip_prefix("Action::")?.to_owned(), list.clone());
            }
        }
        (!codes.is_empty() && !lists.is_empty()).then_some(Self { codes, lists })
    }
}

fn list_of(text: &str, name: &str, wire: &BTreeMap<&str, &str>) -> Option<BTreeSet<String>> {
    let (_, list) = text.split_once(&format!("const {name}: &[ErrorCode] = &["))?;
    let variants = list.split_once("];")?.0.split("ErrorCode::").skip(1);
    variants.map(|rest| wire.get(rest.trim().trim_end_matches(',')).map(|code| (*code).to_owned())).collect()
}

/// A row of a table of codes.
struct Row<'a> {
    line: usize,
    codes: Vec<&'a str>,
    actions: Vec<&'a str>,
    when: &'a str,
    tests: &'a str,
}

fn row((line, cells): (usize, Vec<&str>)) -> Row<'_> {
    // One of another width is a row that lacks something.
    let [code, actions, when, tests] = <[&str; 4]>::try_from(cells).unwrap_or_default();
    let actions = actions.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    Row { line, codes: names(code), actions, when, tests }
}
