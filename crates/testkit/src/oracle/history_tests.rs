//! The judge on planted sequences: each alarm it must give, and those that it must not.

use super::*;

const PAGE: PageId = PageId { directory: 0, page: 0 };
const OTHER: PageId = PageId { directory: 0, page: 1 };

fn history() -> History {
    History::new(Pages { directories: 1, each: 2 })
}

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn task(name: &str) -> Arc<str> {
    name.into()
}

/// Changes the page, purges it and sees it done.
fn purged(history: &mut History, name: &str, now: u64) {
    history.change(PAGE, at(now));
    let claim = history.claim(&[PAGE]);
    history.shown_done(&task(name), &claim, at(now + 1));
}

#[test]
fn oracle_judge_finds_a_version_that_was_replaced_before_the_purge_was_sent() {
    let mut history = history();
    purged(&mut history, "a", 5);
    let reading = history.begin(PAGE, at(7));
    let violation = history.judge(&reading, Version(1)).expect_err("version 1 was replaced");
    let expected = Violation {
        page: PAGE,
        got: Version(1),
        superseded: Some(at(5)),
        least: Version(2),
        task: task("a"),
        shown: at(6),
        began: at(7),
    };
    assert_eq!(violation, expected);
    assert_eq!(history.judge(&reading, Version(2)), Ok(()));
}

#[test]
fn oracle_judge_lets_reads_pass_that_began_before_done_was_seen() {
    let mut history = history();
    history.change(PAGE, at(1));
    let claim = history.claim(&[PAGE]);
    let reading = history.begin(PAGE, at(2));
    history.shown_done(&task("a"), &claim, at(3));
    assert_eq!(history.judge(&reading, Version(1)), Ok(()));
    let next = history.begin(PAGE, at(3));
    assert!(history.judge(&next, Version(1)).is_err());
}

#[test]
fn oracle_judge_lets_a_version_pass_that_was_current_when_the_purge_was_sent() {
    let mut history = history();
    history.change(PAGE, at(1));
    let claim = history.claim(&[PAGE]);
    // Published after the purge was sent: whether a cache fetched version 2 before or after acceptance, nobody knows.
    history.change(PAGE, at(2));
    history.shown_done(&task("a"), &claim, at(3));
    let reading = history.begin(PAGE, at(4));
    assert_eq!(history.judge(&reading, Version(2)), Ok(()));
    assert!(history.judge(&reading, Version(1)).is_err());
}

#[test]
fn oracle_judge_takes_no_done_back_whatever_order_they_are_seen_in() {
    let mut history = history();
    history.change(PAGE, at(1));
    let first = history.claim(&[PAGE]);
    history.change(PAGE, at(2));
    let second = history.claim(&[PAGE]);
    history.shown_done(&task("second"), &second, at(3));
    history.shown_done(&task("first"), &first, at(4));
    let violation = history.judge(&history.begin(PAGE, at(5)), Version(2)).expect_err("purged by the second");
    assert_eq!(&*violation.task, "second");
}

#[test]
fn oracle_judge_asks_nothing_of_pages_that_were_not_purged() {
    let mut history = history();
    purged(&mut history, "a", 1);
    history.change(OTHER, at(2));
    let reading = history.begin(OTHER, at(3));
    assert!(!reading.after_done());
    assert_eq!(history.judge(&reading, Version(1)), Ok(()));
}

#[test]
fn oracle_judge_still_finds_a_version_whose_change_it_has_forgotten() {
    let mut history = history();
    for step in 0..100 {
        purged(&mut history, "a", step);
    }
    let violation = history.judge(&history.begin(PAGE, at(200)), Version(1)).expect_err("long replaced");
    assert_eq!((violation.superseded, violation.least), (None, Version(101)));
}
