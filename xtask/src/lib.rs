//! Project chores: tidy, bench, oracle, chaos, mutants. Not part of the product; nothing depends on it.

use std::path::{Path, PathBuf};

pub mod bench;
pub mod chaos;
pub mod mutants;
pub mod oracle;
pub mod tidy;

/// The root of the repository that this binary was built from.
#[must_use]
pub fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}
