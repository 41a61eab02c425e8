//! The files of a repository, in memory. Not a view of git: a file that is not committed yet is checked too.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

/// Folders that hold what a tool made.
const MADE: [&str; 6] = ["target", ".git", "node_modules", ".venv", "venv", "__pycache__"];

/// Largest file that is read, in bytes; a larger one is known by its name only. No hand-written file comes near.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// All files, by their path from the root with `/`, each with its text; binary and very large ones with none.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// Reads all files under `root` but those that a tool made.
    ///
    /// # Errors
    /// Where a folder or file cannot be read.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    /// The same tree with one more file, or another text for it.
    #[must_use]
    pub fn with(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), Some(text.to_owned()));
        self
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(folder).with_context(|| format!("read folder {}", folder.display()))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if MADE.contains(&name.as_str()) {
                continue;
            }
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.read_folder(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                let small = entry.metadata()?.len() <= FILE_BYTES_MAX;
                let bytes = if small { std::fs::read(entry.path())? } else { Vec::new() };
                let text = String::from_utf8(bytes).ok().filter(|_| small);
                self.files.insert(path, text);
            }
        }
        Ok(())
    }

    /// The files with a text, as (path, text).
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    pub(super) fn with_extension(&self, extension: &'static str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| extension_of(path) == extension)
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Whether a file or folder of this path exists; the empty path is the root.
    pub(super) fn exists(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty() || self.files.contains_key(path) || self.files.keys().any(|known| known.starts_with(&folder))
    }
}

/// What follows the last dot of the file's name; empty without one.
pub(super) fn extension_of(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}
