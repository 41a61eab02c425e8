//! Tidy holds over the repository, and each of its rules finds the fault that is planted for it.

use xtask::tidy::{Finding, Rule, Tree, check};

#[test]
fn the_repository_is_tidy() {
    let findings = check(&Tree::read(&xtask::repository()).expect("the repository can be read"));
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(findings.is_empty(), "{} findings\n{}", findings.len(), lines.join("\n"));
}

/// The rules that a tree with only this file breaks.
fn broken_by(path: &str, text: &str) -> Vec<Rule> {
    check(&Tree::default().with(path, text)).into_iter().map(|finding| finding.rule).collect()
}

fn source(body: &str) -> String {
    format!("//! Doc.\n{body}\n")
}

fn manifest(dependencies: &str) -> String {
    format!("[lints]\nworkspace = true\n{dependencies}\n")
}

#[test]
fn a_clean_file_has_no_findings() {
    assert_eq!(broken_by("crates/core/src/a.rs", &source("fn a() {}")), []);
}

#[test]
fn a_file_of_501_lines_is_long_and_one_of_500_is_not() {
    let long = format!("//! Doc.\n{}", "const _: () = ();\n".repeat(500));
    let fits = format!("//! Doc.\n{}", "const _: () = ();\n".repeat(499));
    assert_eq!(broken_by("crates/core/src/a.rs", &long), [Rule::LongFile]);
    assert_eq!(broken_by("crates/core/src/a.rs", &fits), []);
}

#[test]
fn the_test_part_of_a_file_does_not_count() {
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}", "const _: () = ();\n".repeat(600));
    assert_eq!(broken_by("crates/core/src/a.rs", &source(&tests)), []);
}

#[test]
fn a_file_that_is_a_test_module_as_a_whole_does_not_count() {
    let long = format!("//! Doc.\n{}", "const _: () = ();\n".repeat(600));
    for (parent, module, file) in [
        ("crates/core/src/a.rs", "#[path = \"a_tests.rs\"]\nmod tests;", "crates/core/src/a_tests.rs"),
        ("crates/core/src/a.rs", "mod tests;", "crates/core/src/a/tests.rs"),
        ("crates/core/src/lib.rs", "mod tests;", "crates/core/src/tests.rs"),
    ] {
        let tree = |attribute: &str| {
            let declared = source(&format!("{attribute}\n{module}"));
            Tree::default().with(parent, &declared).with(file, &long)
        };
        assert_eq!(check(&tree("#[cfg(test)]")), [], "{file}");
        let rules: Vec<Rule> = check(&tree("")).into_iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, [Rule::LongFile], "{file}");
    }
}

#[test]
fn a_part_that_is_not_for_tests_counts() {
    let other = format!("#[cfg(feature = \"test\")]\nmod tests {{\n{}}}", "const _: () = ();\n".repeat(600));
    assert_eq!(broken_by("crates/core/src/a.rs", &source(&other)), [Rule::LongFile]);
}

#[test]
fn a_function_of_71_lines_is_long_and_one_of_70_is_not() {
    let function = |lines: usize| source(&format!("fn a() {{\n{}}}", "a();\n".repeat(lines - 2)));
    assert_eq!(broken_by("crates/core/src/a.rs", &function(71)), [Rule::LongFunction]);
    assert_eq!(broken_by("crates/core/src/a.rs", &function(70)), []);
}

#[test]
fn a_method_and_a_default_method_are_measured_too() {
    let body = "a();\n".repeat(70);
    let method = source(&format!("impl A {{\nfn a() {{\n{body}}}\n}}"));
    let default = source(&format!("trait A {{\nfn a() {{\n{body}}}\n}}"));
    assert_eq!(broken_by("crates/core/src/a.rs", &method), [Rule::LongFunction]);
    assert_eq!(broken_by("crates/core/src/a.rs", &default), [Rule::LongFunction]);
}

#[test]
fn vague_names_are_found_in_files_folders_and_modules() {
    for path in ["crates/core/src/util.rs", "crates/core/src/helpers/a.rs", "crates/core/tests/common/mod.rs"] {
        assert_eq!(broken_by(path, &source("")), [Rule::VagueName], "{path}");
    }
    assert_eq!(broken_by("crates/core/src/a.rs", &source("mod manager {}")), [Rule::VagueName]);
}

#[test]
fn a_file_without_its_doc_first_is_found() {
    assert_eq!(broken_by("crates/core/src/a.rs", "use a::b;\n//! Doc.\n").first(), Some(&Rule::NoModuleDoc));
    assert_eq!(broken_by("crates/core/src/a.rs", "fn a() {}\n"), [Rule::NoModuleDoc]);
}

#[test]
fn unfinished_work_is_found_in_code_attributes_and_comments() {
    let planted = [
        format!("fn a() {{ {}!() }}", "todo"),
        format!("fn a() {{ b!({}!(\"later\")) }}", "unimplemented"),
        format!("#[test]\n#[{}]\nfn a() {{}}", "ignore"),
        format!("#[test]\n#[cfg_attr(unix, {})]\nfn a() {{}}", "ignore"),
        format!("// {}: later", concat!("FIX", "ME")),
        format!("// {}: later", concat!("XX", "X")),
    ];
    for fault in planted {
        assert_eq!(broken_by("crates/core/src/a.rs", &source(&fault)), [Rule::Unfinished], "{fault}");
    }
}

#[test]
fn the_names_of_unfinished_work_are_free_in_strings() {
    let text = format!("const A: &str = \"{}!()\";", "todo");
    assert_eq!(broken_by("crates/core/src/a.rs", &source(&text)), []);
}

#[test]
fn trailing_space_is_found() {
    assert_eq!(broken_by("README.md", "text \n"), [Rule::TrailingSpace]);
    assert_eq!(broken_by("scripts/test", "text\t\n"), [Rule::TrailingSpace]);
}

#[test]
fn files_taken_over_from_elsewhere_stay_as_they_are() {
    let text = format!("// {} \n", concat!("FIX", "ME"));
    for path in ["web/static/htmx.min.js", "web/vendor/htmx.js"] {
        assert_eq!(broken_by(path, &text), [], "{path}");
    }
}

#[test]
fn a_source_that_does_not_parse_is_found() {
    assert_eq!(broken_by("crates/core/src/a.rs", "//! Doc.\nfn {\n"), [Rule::Unreadable]);
}

#[test]
fn a_crate_that_does_not_share_the_lints_is_found() {
    assert_eq!(broken_by("crates/edge/Cargo.toml", "[package]\nname = \"a\"\n"), [Rule::LintsNotShared]);
    assert_eq!(broken_by("xtask/Cargo.toml", "[lints]\nworkspace = false\n"), [Rule::LintsNotShared]);
}

#[test]
fn core_and_tcapi_depend_on_none_of_ours() {
    for table in ["dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
        let text = manifest(&format!("[{table}]\ncatharsis-adapters.workspace = true"));
        assert_eq!(broken_by("crates/core/Cargo.toml", &text), [Rule::Wall], "{table}");
        assert_eq!(broken_by("crates/tcapi/Cargo.toml", &text), [Rule::Wall], "{table}");
        assert_eq!(broken_by("crates/server/Cargo.toml", &text), [], "{table}");
    }
}

#[test]
fn a_renamed_dependency_is_known_by_its_true_name() {
    let text = manifest("[dependencies]\ntokio = { package = \"reqwest\", version = \"1\" }");
    assert_eq!(broken_by("crates/core/Cargo.toml", &text), [Rule::Wall]);
}

#[test]
fn core_uses_only_what_is_on_its_list() {
    for name in ["serde", "hyper", "rusqlite", "tokio-postgres", "tempfile"] {
        let text = manifest(&format!("[dependencies]\n{name} = \"1\""));
        assert_eq!(broken_by("crates/core/Cargo.toml", &text), [Rule::Wall], "{name}");
    }
    let net = manifest("[dependencies]\ntokio = { workspace = true, features = [\"sync\", \"net\"] }");
    assert_eq!(broken_by("crates/core/Cargo.toml", &net), [Rule::Wall]);
    let fine = manifest("[dependencies]\nthiserror = \"2\"\n[dev-dependencies]\nproptest = \"1\"");
    assert_eq!(broken_by("crates/core/Cargo.toml", &fine), []);
}

#[test]
fn links_that_lead_nowhere_are_found() {
    for link in
        ["[a](missing.md)", "[`a`](missing.md#b)", "[a]: missing.md", "[a](../../outside.md)", "[a](/missing.md)"]
    {
        assert_eq!(broken_by("docs/a.md", &format!("{link}\n")), [Rule::BrokenLink], "{link}");
    }
}

#[test]
fn links_that_lead_somewhere_or_elsewhere_are_fine() {
    let page = "[a](b/c.md) [a](b/c.md#d) [a](b) [a](../README.md) [a](/README.md) [a](#here) [a](https://example.test/x)\n\
                `[a](code.md)`\n```\n[a](code.md)\n```\n";
    let tree = Tree::default().with("docs/a.md", page).with("docs/b/c.md", "").with("README.md", "");
    assert_eq!(check(&tree), []);
}

fn promises(row: &str) -> Vec<Rule> {
    let page = format!("| Promise | Tests |\n|---|---|\n{row}\n\n| Other | Table |\n|---|---|\n| a | `b` |\n");
    let file = source(
        "fn not_a_test() {}\n#[cfg(test)]\nmod tests {\n#[test]\nfn plain() {}\n#[tokio::test(start_paused = true)]\nasync fn paused() {}\n}",
    );
    let properties = source("proptest! {\n#[test]\nfn property(a in 0..9u8) {}\n}");
    let tree = Tree::default().with("docs/promises.md", &page);
    let tree = tree.with("crates/core/src/fence_tests.rs", &source("#[test]\nfn plain() {}"));
    let tree = tree.with("crates/core/src/relay/ready.rs", &file).with("crates/server/tests/whole.rs", &properties);
    check(&tree).into_iter().map(|finding| finding.rule).collect()
}

#[test]
fn a_promise_with_tests_that_exist_is_kept() {
    for name in [
        "plain",
        "paused",
        "property",
        "core::relay::ready::plain",
        "core::relay::ready::tests::paused",
        "server::whole::property",
        "core::fence::plain",
    ] {
        assert_eq!(promises(&format!("| it holds | `{name}` |")), [], "{name}");
    }
}

#[test]
fn a_promise_whose_test_does_not_exist_is_found() {
    for name in ["missing", "not_a_test", "core::plain", "server::whole::plain"] {
        assert_eq!(promises(&format!("| it holds | `plain`, `{name}` |")), [Rule::Promise], "{name}");
    }
}

#[test]
fn a_promise_without_a_test_is_found() {
    assert_eq!(promises("| it holds | by care |"), [Rule::Promise]);
    assert_eq!(promises("| it holds | |"), [Rule::Promise]);
}

/// A page of these rows, beside two actions and the four codes of which each lists some.
fn codes(rows: &[&str]) -> Vec<(Rule, String)> {
    let vendor = "\nerror_codes! {\n    // Platform level.\n    /// Doc.\n    Denied = \"Denied\", \"\";\n\n    // Others.\n    \
                  /// Doc.\n    TooLong = \"A.TooLong\", \"\";\n    Wrong = \"A.Wrong\", \"\";\n}\n";
    let actions = "fn codes(self) -> X {\n match self {\n  Action::Purge => purge::CODES,\n  Action::See | Action::Look => see::SEE,\n }\n}\n";
    let list = |name: &str, codes: &str| source(&format!("const {name}: &[ErrorCode] = &[{codes}];"));
    let page = format!(
        "| Code | Actions | When | Tests |\n|---|---|---|---|\n{}\n\n| `B` | no | such | table |\n",
        rows.join("\n")
    );
    let tree = Tree::default()
        .with("docs/compat.md", &page)
        .with("crates/tcapi/src/code.rs", &source(vendor))
        .with("crates/tcapi/src/cdn.rs", &source(actions))
        .with("crates/tcapi/src/cdn/purge.rs", &list("CODES", "ErrorCode::TooLong, ErrorCode::Wrong"))
        .with("crates/tcapi/src/cdn/see.rs", &list("SEE", "ErrorCode::Wrong"))
        .with("crates/server/src/a.rs", &source("#[test]\nfn it_is_refused() {}"));
    let found = check(&tree).into_iter().filter(|finding| finding.rule != Rule::Unreadable);
    found.map(|finding| (finding.rule, finding.what)).collect()
}

const DENIED: &str = "| `Denied` | each | no policy | `it_is_refused` |";
const LONG: &str = "| `A.TooLong` | Purge | over 9 bytes | `it_is_refused` |";
const WRONG: &str = "| `A.Wrong` | each | nothing is ever wrong | cannot happen |";

#[test]
fn page_that_has_each_code_of_each_action_once_is_fine() {
    assert_eq!(codes(&[DENIED, LONG, WRONG]), []);
    let apart = "| `A.Wrong` | See, Look | bad | `it_is_refused` |\n| `A.Wrong` | Purge | no | cannot happen |";
    assert_eq!(codes(&["| `Denied` | See | no policy | `it_is_refused` |", LONG, apart]), []);
    assert_eq!(codes(&[DENIED, "| `A.TooLong`, `A.Wrong` | each | no | cannot happen |"]), []);
}

#[test]
fn page_that_lacks_a_code_or_an_action_or_says_it_twice_or_without_a_test_is_found() {
    for (rows, fault) in [
        (vec![LONG, WRONG], "`Denied` stands in no row"),
        (vec![DENIED, WRONG], "`A.TooLong` stands in no row"),
        (
            vec![DENIED, LONG, "| `A.Wrong` | Purge, See | bad | `it_is_refused` |"],
            "`A.Wrong` of Look stands in 0 rows",
        ),
        (vec![DENIED, LONG, WRONG, "| `A.Wrong` | See | bad | `it_is_refused` |"], "`A.Wrong` of See stands in 2 rows"),
        (vec![DENIED, LONG, WRONG, "| `A.Other` | each | bad | cannot happen |"], "there is no code `A.Other`"),
        (vec![DENIED, WRONG, "| `A.TooLong` | Purge, Fly | bad | `it_is_refused` |"], "there is no action Fly"),
        (vec![DENIED, WRONG, "| `A.TooLong` | Purge, See | bad | `it_is_refused` |"], "See does not list `A.TooLong`"),
        (vec![DENIED, WRONG, "| `A.TooLong` | each | bad | `it_is_lost` |"], "no test is called `it_is_lost`"),
        (
            vec![DENIED, WRONG, "| `A.TooLong` | each | bad | by care |"],
            "this row names no test, nor says `cannot happen`",
        ),
        (vec![DENIED, WRONG, LONG, "| `A.TooLong` | each |"], "this row lacks its code, its actions or its words"),
    ] {
        let found = codes(&rows);
        assert!(found.iter().any(|(rule, what)| *rule == Rule::ErrorCode && what == fault), "{fault}: {found:?}");
    }
}

#[test]
fn lists_of_codes_that_cannot_be_read_are_found() {
    let tree = Tree::default().with("docs/compat.md", "").with("crates/tcapi/src/code.rs", &source(""));
    let rules: Vec<Rule> = check(&tree).into_iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, [Rule::ErrorCode]);
}
