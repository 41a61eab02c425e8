//! The journal on a real disk: whole, cut off and damaged.

use super::*;
use crate::name::Resource;

fn url(path: &str) -> Resource {
    Resource { site: "http://a.test".into(), path: path.into() }
}

fn mark(point: u64) -> Mark {
    let scope = Scope::Url(Key::url(&url(&format!("/{point}"))));
    Mark { point, told: Told { log: 9, seq: point }, scope }
}

/// A journal with three purges, the last of them of a directory.
fn written(path: &Path) -> String {
    let (mut journal, mut kept, found) = Journal::open(path, NonZeroUsize::MAX).expect("a writable folder");
    assert_eq!(found, Found::Absent);
    let directory = Key::directory("http://a.test", "/d/");
    let prefix = Scope::Prefix { host: Key::host("http://a.test"), directory };
    for added in [mark(1), mark(2), Mark { point: 3, scope: prefix, ..mark(3) }] {
        journal.append(&kept.marks, &[], &[added], None).expect("a writable folder");
        kept.marks.mark(added);
    }
    journal.epoch().to_owned()
}

#[test]
fn what_was_appended_is_read_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal");
    let epoch = written(&path);
    for _start in 0..2 {
        let (journal, kept, found) = Journal::open(&path, NonZeroUsize::MAX).expect("readable");
        assert_eq!((journal.epoch(), found), (epoch.as_str(), Found::Whole));
        for (path, point) in [("/1", 1), ("/2", 2), ("/d/x", 3), ("/x", 0)] {
            assert_eq!(kept.marks.point(&url(path)), point, "{path}");
        }
        assert_eq!(kept.marks.next(), 4);
    }
}

#[test]
fn line_that_was_not_finished_is_dropped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal");
    let epoch = written(&path);
    let mut text = std::fs::read(&path).expect("readable");
    text.extend(b"0123 mark 4");
    std::fs::write(&path, text).expect("writable");
    let (journal, kept, found) = Journal::open(&path, NonZeroUsize::MAX).expect("readable");
    assert_eq!((journal.epoch(), found, kept.marks.len()), (epoch.as_str(), Found::Whole, 3));
}

#[test]
fn any_changed_byte_or_missing_line_begins_a_new_epoch() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("journal");
    let epoch = written(&path);
    let whole = std::fs::read(&path).expect("readable");
    let check = |damaged: &[u8], what: &str| {
        std::fs::write(&path, damaged).expect("writable");
        let (journal, kept, found) = Journal::open(&path, NonZeroUsize::MAX).expect("readable");
        assert_eq!((found, kept.marks.len()), (Found::Damaged, 0), "{what}");
        assert_ne!(journal.epoch(), epoch, "{what}");
    };
    for at in (0..whole.len() - 1).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        check(&damaged, &format!("byte {at}"));
    }
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    for missing in 0..lines.len() - 1 {
        let left = [&lines[..missing], &lines[missing + 1..]].concat().concat();
        check(&left, &format!("line {missing}"));
    }
    check(b"", "empty");
}
