//! The rule file on the disk, and what the plugin wrote about it.
//!
//! What this is: reading, and replacing as a whole: written beside, flushed, renamed. What this is not:
//! aware of time; Traffic Server and the agent run on one machine.
//!
//! Invariant: each new file is a second younger than the one before, at least: the plugin looks at whole
//! seconds and would pass over a second change within one (measured).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of a file that are read: 4,000 lines of the longest kind.
const BYTES_MAX: u64 = 8 << 20;

/// The text of a file; empty when there is none.
///
/// # Errors
/// When it cannot be read, is longer than 8 MiB or no text.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

/// Puts a text in the place of a file.
///
/// # Errors
/// When that fails; the file is as it was.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = beside(path);
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.set_modified(younger(path)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The rename, too, must outlive a machine that dies: the rules are the promise.
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// Now, or a second after the file as it is.
fn younger(path: &Path) -> io::Result<SystemTime> {
    let now = SystemTime::now();
    let last = match fs::metadata(path) {
        Ok(known) => known.modified()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(now),
        Err(error) => return Err(error),
    };
    let second = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(if second(now) > second(last) { now } else { last + Duration::from_secs(1) })
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_a_second_younger_than_the_one_before() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rules");
        assert_eq!(read(&path).expect("readable"), "");
        let mut last = UNIX_EPOCH;
        for text in ["a", "b", "c"] {
            replace(&path, text).expect("writable");
            assert_eq!(read(&path).expect("readable"), text);
            let time = fs::metadata(&path).and_then(|known| known.modified()).expect("a time");
            assert!(time >= last + Duration::from_secs(1), "{text}");
            last = time;
        }
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1, "nothing is left beside it");
    }
}
