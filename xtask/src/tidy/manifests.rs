//! Rules for Cargo.toml: shared lints, and the walls between crates that a manifest shows.

use toml::{Table, Value};

use super::tree::Tree;
use super::{Finding, Rule};

/// Crates that depend on none of ours, so that they can be read, tested and reused alone.
const ALONE: [&str; 4] =
    ["crates/core/Cargo.toml", "crates/tcapi/Cargo.toml", "crates/cam/Cargo.toml", "crates/statement/Cargo.toml"];

const CORE: &str = "crates/core/Cargo.toml";

/// What core may use: language, text and scheduling. No network, disk, HTTP, SQL or serde; those are behind its ports.
const CORE_MAY_USE: [&str; 7] = ["async-trait", "futures-util", "idna", "thiserror", "tokio", "tokio-util", "tracing"];

/// The parts of tokio that core may ask for: none that reaches a file, socket, signal or process.
const CORE_TOKIO_MAY_USE: [&str; 4] = ["macros", "rt", "sync", "time"];

/// Prefix of the package names of ours.
const OURS: &str = "catharsis-";

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, text) in tree.texts().filter(|(path, _)| is_member(path)) {
        match text.parse::<Table>() {
            Ok(manifest) => check_one(path, &manifest, findings),
            Err(error) => findings.push(Finding::new(path, 0, Rule::Unreadable, error.to_string())),
        }
    }
}

/// `xtask/Cargo.toml`, `crates/*/Cargo.toml`.
fn is_member(path: &str) -> bool {
    let inner = path.strip_prefix("crates/").unwrap_or(path);
    inner.strip_suffix("/Cargo.toml").is_some_and(|folder| !folder.contains('/'))
}

fn check_one(path: &str, manifest: &Table, findings: &mut Vec<Finding>) {
    let shared = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool);
    if shared != Some(true) {
        findings.push(Finding::new(path, 0, Rule::LintsNotShared, "wants `[lints] workspace = true`"));
    }
    for (name, value) in dependencies(manifest) {
        if ALONE.contains(&path) && name.starts_with(OURS) {
            findings.push(Finding::new(path, 0, Rule::Wall, format!("`{name}`: this crate depends on none of ours")));
        } else if path == CORE && !CORE_MAY_USE.contains(&name) {
            findings.push(Finding::new(path, 0, Rule::Wall, format!("`{name}` is not in core's list of dependencies")));
        }
        if path == CORE && name == "tokio" {
            tokio_features(path, value, findings);
        }
    }
}

fn tokio_features(path: &str, dependency: &Value, findings: &mut Vec<Finding>) {
    let features = dependency.get("features").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for feature in features.filter(|feature| !CORE_TOKIO_MAY_USE.contains(feature)) {
        findings.push(Finding::new(path, 0, Rule::Wall, format!("tokio's `{feature}` is not for core")));
    }
}

/// Dependencies of the built crate, for any platform, with their true names. Those of its tests only are free.
fn dependencies(manifest: &Table) -> Vec<(&str, &Value)> {
    let platforms = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let places = platforms.filter_map(Value::as_table).chain([manifest]);
    let tables = places.flat_map(|place| [place.get("dependencies"), place.get("build-dependencies")]);
    let entries = tables.flatten().filter_map(Value::as_table).flatten();
    entries.map(|(name, value)| (value.get("package").and_then(Value::as_str).unwrap_or(name), value)).collect()
}
