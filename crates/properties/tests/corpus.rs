//! Each input of the committed corpus goes through its property again, so that what a fuzzer once reached stays tested without one.

use std::path::{Path, PathBuf};

use catharsis_properties::{ALL, Property};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    files
}

fn replay(name: &str, property: Property) -> usize {
    let files = files(&corpus().join(name));
    for file in &files {
        let data = std::fs::read(file).expect("a readable input");
        if let Err(panic) = std::panic::catch_unwind(|| property(&data)) {
            eprintln!("the property `{name}` does not hold for {}", file.display());
            std::panic::resume_unwind(panic);
        }
    }
    files.len()
}

#[test]
fn every_committed_input_of_each_fuzz_target_still_holds() {
    for (name, property) in ALL {
        assert!(replay(name, property) > 0, "{name} has no corpus");
    }
}

#[test]
fn each_folder_of_the_corpus_belongs_to_a_property() {
    let mut names: Vec<String> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.sort();
    let folders: Vec<String> =
        files(&corpus()).iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
    assert_eq!(folders, names);
}
