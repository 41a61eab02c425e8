//! The rule on a small model: a log, some nodes, and whatever may happen to them in any order.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Event {
    Purge,
    Settle(usize, u64),
    Rotate(usize, Rotation),
    /// Its lease has ended.
    Lapse(usize),
    /// It can be told again.
    Recall(usize),
    /// It reports that it may count, if it may.
    Report(usize),
    Add(Rotation),
    TakeOut(usize),
    /// It fetches through another shield: its cursor goes back to that of the slowest that counts.
    Move(usize),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let rotation = prop_oneof![Just(Rotation::In), Just(Rotation::Drained)];
    prop_oneof![
        3 => Just(Event::Purge),
        6 => (0usize..8, 0u64..6).prop_map(|(which, by)| Event::Settle(which, by)),
        2 => (0usize..8, rotation.clone()).prop_map(|(which, to)| Event::Rotate(which, to)),
        2 => (0usize..8).prop_map(Event::Lapse),
        2 => (0usize..8).prop_map(Event::Recall),
        3 => (0usize..8).prop_map(Event::Report),
        1 => rotation.prop_map(Event::Add),
        1 => (0usize..8).prop_map(Event::TakeOut),
        1 => (0usize..8).prop_map(Event::Move),
        1 => Just(Event::Restart),
    ]
}

#[derive(Debug, Default)]
struct Model {
    head: Seq,
    nodes: Vec<(Duty, Seq)>,
    watermark: Watermark,
}

impl Model {
    fn look(&mut self) -> Seq {
        self.watermark.look(self.nodes.iter().copied(), self.head)
    }

    fn slowest(&self) -> Seq {
        let counting = self.nodes.iter().filter(|(duty, _)| *duty == Duty::Counts);
        counting.map(|(_, settled)| *settled).min().unwrap_or(self.head)
    }

    fn at(&mut self, which: usize) -> Option<&mut (Duty, Seq)> {
        let count = self.nodes.len();
        if count == 0 { None } else { self.nodes.get_mut(which % count) }
    }

    /// Does what the board does: each change follows a look under the same lock.
    fn happen(&mut self, event: Event) {
        self.look();
        let (head, watermark) = (self.head, self.watermark);
        match event {
            Event::Purge => self.head = head.plus(1),
            Event::Settle(which, by) => {
                if let Some((_, settled)) = self.at(which) {
                    *settled = settled.plus(by).min(head);
                }
            }
            Event::Rotate(which, to) => {
                if let Some((duty, _)) = self.at(which) {
                    *duty = duty.wanted(to);
                }
            }
            Event::Lapse(which) => {
                if let Some((duty, _)) = self.at(which) {
                    *duty = duty.lapsed();
                }
            }
            Event::Recall(which) => {
                if let Some((duty, _)) = self.at(which) {
                    *duty = duty.recalled();
                }
            }
            Event::Report(which) => {
                if let Some((duty, settled)) = self.at(which)
                    && *duty == Duty::Returning
                    && watermark.is_reached_by(*settled)
                {
                    *duty = Duty::Counts;
                }
            }
            Event::Add(rotation) => {
                let first = self.slowest();
                self.nodes.push((Duty::of_new(rotation), first));
            }
            Event::Move(which) => {
                let first = self.slowest();
                if let Some((_, settled)) = self.at(which) {
                    *settled = first.min(*settled);
                }
            }
            Event::TakeOut(which) => {
                if !self.nodes.is_empty() {
                    self.nodes.remove(which % self.nodes.len());
                }
            }
            Event::Restart => self.watermark = Watermark::at_start(self.nodes.iter().copied(), head),
        }
    }
}

proptest! {
    #[test]
    fn shown_watermark_never_goes_back_and_no_counted_node_is_below_it(
        events in proptest::collection::vec(event(), 1..200),
    ) {
        let mut model = Model::default();
        let mut shown = Seq::ZERO;
        for event in events {
            model.happen(event);
            let now = model.look();
            prop_assert!(now >= shown, "{event:?} brought it from {shown} to {now}: {model:?}");
            prop_assert!(now <= model.head, "nothing is done that was not accepted");
            let below = model.nodes.iter().find(|(duty, settled)| *duty == Duty::Counts && *settled < now);
            prop_assert!(below.is_none(), "{event:?}: {below:?} counts, {now} is shown");
            shown = now;
        }
    }

    #[test]
    fn node_that_works_on_always_comes_to_count(events in proptest::collection::vec(event(), 1..100)) {
        let mut model = Model::default();
        for event in events {
            model.happen(event);
        }
        let before = model.head;
        for which in 0..model.nodes.len() {
            model.happen(Event::Rotate(which, Rotation::In));
            model.happen(Event::Recall(which));
        }
        // Purges flow faster than anybody settles them.
        for _ in 0..=before.0 {
            for which in 0..model.nodes.len() {
                model.happen(Event::Purge);
                model.happen(Event::Settle(which, 1));
                model.happen(Event::Report(which));
            }
        }
        prop_assert!(model.nodes.iter().all(|(duty, _)| *duty == Duty::Counts), "{model:?}");
    }
}

#[test]
fn area_of_drained_nodes_is_done_up_to_the_head_and_what_was_shown_holds_when_one_returns() {
    let mut watermark = Watermark::default();
    assert_eq!(watermark.look([(Duty::Drained, Seq(3))].into_iter(), Seq(10)), Seq(10));
    let returning = |settled| [(Duty::Returning, Seq(settled))].into_iter();
    assert_eq!(watermark.look(returning(3), Seq(12)), Seq(10));
    assert!(!watermark.is_reached_by(Seq(9)) && watermark.is_reached_by(Seq(10)));
    assert_eq!(watermark.look([(Duty::Counts, Seq(10))].into_iter(), Seq(12)), Seq(10));
}

#[test]
fn held_watermark_stands_until_it_is_let_go_as_often() {
    let mut watermark = Watermark::default();
    let counts = |settled| [(Duty::Counts, Seq(settled))].into_iter();
    assert_eq!(watermark.look(counts(1), Seq(9)), Seq(1));
    watermark.hold();
    watermark.hold();
    watermark.let_go();
    assert_eq!(watermark.look(counts(5), Seq(9)), Seq(1));
    watermark.let_go();
    assert_eq!(watermark.look(counts(5), Seq(9)), Seq(5));
}

#[test]
fn refusal_fails_what_waits_for_the_node_and_nothing_that_was_done_without_it() {
    use Refusing::{Fails, Forgets};
    let check = |duty: Duty, expect: [Refusing; 2]| {
        assert_eq!([Seq(5), Seq(6)].map(|seq| duty.refusing(seq, Seq(5))), expect, "{duty:?}");
    };
    check(Duty::Counts, [Fails, Fails]);
    check(Duty::Returning, [Forgets, Fails]);
    check(Duty::Drained, [Forgets, Forgets]);
    check(Duty::Lapsed, [Forgets, Forgets]);
}
