//! Rules for source text: lengths, names, module docs, nothing unfinished, no trailing space.

use std::collections::BTreeSet;

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::tree::{Tree, extension_of};
use super::{FILE_LINES_MAX, FUNCTION_LINES_MAX, Finding, Rule, tokens};

/// They say that something is useful, not what it is, and so they gather everything.
const VAGUE: [&str; 7] = ["util", "utils", "common", "helper", "helpers", "manager", "managers"];

/// Written in halves, or this file would find itself.
const MARKERS: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];

/// Endings of the files that are written by hand; the empty one is for scripts.
const WRITTEN: [&str; 14] =
    ["rs", "toml", "md", "py", "mjs", "js", "sh", "sql", "vcl", "conf", "html", "css", "yml", ""];

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, text) in tree.texts().filter(|(path, _)| is_written(path)) {
        trailing_space(path, text, findings);
    }
    for (path, text) in tree.texts().filter(|(path, _)| is_written(path) && is_program(path)) {
        markers(path, text, findings);
        vague_path(path, findings);
    }
    let mut parsed = Vec::new();
    for (path, text) in tree.with_extension("rs") {
        module_doc(path, text, findings);
        match syn::parse_file(text) {
            Ok(file) => parsed.push((path, text, file)),
            Err(error) => {
                findings.push(Finding::new(path, error.span().start().line, Rule::Unreadable, error.to_string()));
            }
        }
    }
    let test_files: BTreeSet<String> = parsed.iter().flat_map(|(path, _, file)| test_modules(path, file)).collect();
    for (path, text, file) in &parsed {
        syntax(path, text, file, findings);
        if !test_files.contains(*path) && !in_test_folder(path) {
            file_length(path, text, file, findings);
        }
    }
}

/// Written here, not taken over from another project as it was.
fn is_written(path: &str) -> bool {
    let taken_over = path.contains(".min.") || path.split('/').any(|part| part == "vendor");
    WRITTEN.contains(&extension_of(path)) && !taken_over
}

fn is_program(path: &str) -> bool {
    ["rs", "py", "mjs", "js", "sh", "sql", "vcl", "conf"].contains(&extension_of(path)) || path.starts_with("scripts/")
}

fn trailing_space(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (index, line) in text.split('\n').enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            findings.push(Finding::new(path, index + 1, Rule::TrailingSpace, "blank at the end of the line"));
        }
    }
}

fn markers(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        for marker in MARKERS.iter().filter(|marker| line.contains(**marker)) {
            findings.push(Finding::new(path, index + 1, Rule::Unfinished, *marker));
        }
    }
}

fn vague_path(path: &str, findings: &mut Vec<Finding>) {
    for part in path.split('/') {
        let name = part.split('.').next().unwrap_or(part);
        if VAGUE.contains(&name) {
            findings.push(Finding::new(path, 0, Rule::VagueName, format!("`{name}`: name it for what it is")));
        }
    }
}

fn module_doc(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let first = text.lines().find(|line| !line.trim().is_empty());
    if !first.is_some_and(|line| line.starts_with("//!")) {
        findings.push(Finding::new(
            path,
            1,
            Rule::NoModuleDoc,
            "begin with `//!`: what it is, what not, which invariant it keeps",
        ));
    }
}

/// The rules that need the parsed file.
fn syntax(path: &str, text: &str, file: &syn::File, findings: &mut Vec<Finding>) {
    let mut shape = Shape::default();
    shape.visit_file(file);
    for (line, length, name) in shape.functions.iter().filter(|(_, length, _)| *length > FUNCTION_LINES_MAX) {
        let what = format!("`{name}` has {length} lines, at most {FUNCTION_LINES_MAX}");
        findings.push(Finding::new(path, *line, Rule::LongFunction, what));
    }
    for (line, name) in &shape.vague_modules {
        findings.push(Finding::new(path, *line, Rule::VagueName, format!("`mod {name}`: name it for what it is")));
    }
    // The text parsed above, so it is made of tokens; a failure would be a parse error and is reported there.
    let seen = text.parse().map(tokens::look).unwrap_or_default();
    for (line, name) in seen.unfinished {
        findings.push(Finding::new(path, line, Rule::Unfinished, name));
    }
}

fn file_length(path: &str, text: &str, file: &syn::File, findings: &mut Vec<Finding>) {
    let mut shape = Shape::default();
    shape.visit_file(file);
    let length = text.lines().count() - shape.test_lines.len();
    if length > FILE_LINES_MAX {
        let what = format!("{length} lines without tests, at most {FILE_LINES_MAX}");
        findings.push(Finding::new(path, 0, Rule::LongFile, what));
    }
}

fn in_test_folder(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "benches")
}

/// The files of `#[cfg(test)] mod name;` in this one, by name or by `#[path = ".."]`.
fn test_modules(path: &str, file: &syn::File) -> Vec<String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    let inner = if matches!(stem, "lib" | "main" | "mod") { folder.to_owned() } else { format!("{folder}/{stem}") };
    let modules =
        file.items.iter().filter_map(|item| if let syn::Item::Mod(module) = item { Some(module) } else { None });
    let outlined = modules.filter(|module| module.content.is_none() && module.attrs.iter().any(is_cfg_test));
    let file_of = |module: &syn::ItemMod| {
        let named = module.attrs.iter().find_map(path_attribute).map(|file| format!("{folder}/{file}"));
        named.unwrap_or_else(|| format!("{inner}/{}.rs", module.ident))
    };
    outlined.map(file_of).collect()
}

/// The value of `#[path = ".."]`.
fn path_attribute(attribute: &syn::Attribute) -> Option<String> {
    let pair = attribute.meta.require_name_value().ok().filter(|pair| pair.path.is_ident("path"))?;
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(file), .. }) = &pair.value else { return None };
    Some(file.value())
}

/// What one walk through the syntax tree gathers.
#[derive(Debug, Default)]
struct Shape {
    /// First line, number of lines, name.
    functions: Vec<(usize, usize, String)>,
    vague_modules: Vec<(usize, String)>,
    /// Lines of items under `#[cfg(test)]`.
    test_lines: BTreeSet<usize>,
}

impl Shape {
    fn function(&mut self, signature: &syn::Signature, end: Span) {
        let first = signature.span().start().line;
        let length = end.end().line + 1 - first;
        self.functions.push((first, length, signature.ident.to_string()));
    }
}

impl<'ast> Visit<'ast> for Shape {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if attributes(item).iter().any(is_cfg_test) {
            let span = item.span();
            self.test_lines.extend(span.start().line..=span.end().line);
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        if module.content.is_some() && VAGUE.contains(&name.as_str()) {
            self.vague_modules.push((module.span().start().line, name));
        }
        visit::visit_item_mod(self, module);
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig, function.block.span());
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.function(&function.sig, function.block.span());
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.function(&function.sig, block.span());
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// The attributes of the items that can stand under `#[cfg(test)]` with more than a line.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "syn::Item is not exhaustive, and the kinds left out are a line each"
)]
fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        _ => &[],
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
}
