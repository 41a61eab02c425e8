//! The kernel's messages, real and left out, against the disk.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

const LEVELS: &str = "1:2";

/// Writes a copy as nginx does: under another name, then moved into place.
fn store(directory: &Path, key: &str) -> FileId {
    let id = FileId::of_key(key.as_bytes());
    let below = LEVELS.parse::<Levels>().unwrap().directories(id);
    let below = below.iter().fold(directory.to_owned(), |path, name| path.join(name));
    std::fs::create_dir_all(&below).unwrap();
    let temp = below.join(format!("{id}.0000000001"));
    std::fs::write(&temp, format!("head\nKEY: {key}\nHTTP/1.1 200 OK\r\n\r\n")).unwrap();
    std::fs::rename(temp, below.join(id.to_string())).unwrap();
    id
}

fn follow(directory: &Path, entries_max: usize) -> Follower {
    Follower::open(directory, LEVELS.parse().unwrap(), &"$host$request_uri".parse().unwrap(), entries_max).unwrap()
}

#[test]
fn whatever_was_in_place_is_known_after_catching_up() {
    let directory = tempfile::tempdir().unwrap();
    let mut follower = follow(directory.path(), 10_000);
    // More than one reading holds, in directories that are not there yet, some of them gone again.
    let ids: Vec<FileId> = (0..1_000).map(|at| store(directory.path(), &format!("a.test/{at}"))).collect();
    for id in &ids[..100] {
        follower.tree.remove(FileName::Stored(*id)).unwrap();
    }
    follower.catch_up().unwrap();
    assert_eq!(follower.stored.len(), 900);
    assert!(ids[100..].iter().all(|id| follower.stored.contains(id)));
    assert_eq!(follower.trouble(), None);
}

#[test]
fn what_the_kernel_left_out_is_found_by_another_walk() {
    let directory = tempfile::tempdir().unwrap();
    let kept = store(directory.path(), "a.test/kept");
    let gone = store(directory.path(), "a.test/gone");
    let mut follower = follow(directory.path(), 10);
    assert!(follower.stored.contains(&gone));
    follower.tree.remove(FileName::Stored(gone)).unwrap();
    let new = store(directory.path(), "a.test/new");
    // Its messages are lost.
    let mut bytes = vec![MaybeUninit::uninit(); READ_BYTES];
    let mut lost = inotify::Reader::new(follower.kernel(), &mut bytes);
    while lost.next().is_ok() {}
    follower.forget_something();
    follower.catch_up().unwrap();
    let known: HashSet<FileId> = follower.stored.names().collect();
    assert_eq!(known, HashSet::from([kept, new]));
}

#[test]
fn full_index_is_trouble_until_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let first = store(directory.path(), "a.test/1");
    let mut follower = follow(directory.path(), 1);
    store(directory.path(), "a.test/2");
    follower.catch_up().unwrap();
    assert!(follower.trouble().unwrap().contains("entries_max"));
    follower.tree.remove(FileName::Stored(first)).unwrap();
    follower.catch_up().unwrap();
    assert_eq!((follower.trouble(), follower.stored.len()), (None, 1));
}

#[test]
fn directory_that_is_moved_away_is_lost_and_says_so() {
    let around = tempfile::tempdir().unwrap();
    let directory = around.path().join("cache");
    std::fs::create_dir(&directory).unwrap();
    let mut follower = follow(&directory, 10);
    std::fs::rename(&directory, around.path().join("other")).unwrap();
    assert!(matches!(follower.catch_up(), Err(FollowError::Lost)));
}

#[test]
fn symbolic_links_are_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let id = store(elsewhere.path(), "a.test/x");
    let outer = &LEVELS.parse::<Levels>().unwrap().directories(id)[0];
    std::os::unix::fs::symlink(elsewhere.path().join(outer), directory.path().join(outer)).unwrap();
    let follower = follow(directory.path(), 10);
    assert_eq!(follower.stored.len(), 0);
    follower.tree.remove(FileName::Stored(id)).unwrap();
    follower.tree.expire(FileName::Stored(id)).unwrap();
    assert!(follow(elsewhere.path(), 10).stored.contains(&id));
}
