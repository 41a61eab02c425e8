//! The rule on a small model: a relay, a node whose clock drifts and which restarts, and a network that loses, delays
//! and repeats whatever is under way.

use proptest::prelude::*;

use super::*;

const LENGTH: Duration = Duration::from_secs(10);

fn tick(ms: u64) -> Tick {
    Tick(Duration::from_millis(ms))
}

#[test]
fn first_exchange_grants_nothing_and_the_next_from_the_time_that_was_named() {
    let mut terms = Terms::new(LENGTH, None, tick(0));
    assert_eq!(terms.grant(), None);
    assert!(terms.has_ended(tick(0)), "none was granted");
    terms.heard(Named { run: Run(7), clock: NodeMillis(500), until: None }, tick(1_000));
    assert!(terms.has_ended(tick(1_000)));
    assert_eq!(terms.grant(), Some(Grant { run: Run(7), until: NodeMillis(10_500) }));
    assert!(!terms.has_ended(tick(11_149)));
    assert!(terms.has_ended(tick(11_150)), "1 % and 50 ms beyond the lease");
}

#[test]
fn lease_of_an_earlier_relay_is_waited_for() {
    assert!(!Terms::new(LENGTH, Some(Duration::from_secs(100)), tick(0)).has_ended(tick(101_049)));
    assert!(Terms::new(LENGTH, Some(Duration::from_secs(100)), tick(0)).has_ended(tick(101_050)));
    let mut terms = Terms::new(LENGTH, None, tick(0));
    terms.heard(Named { run: Run(7), clock: NodeMillis(500), until: Some(NodeMillis(100_500)) }, tick(0));
    assert!(!terms.has_ended(tick(101_049)), "the node holds one that nobody here remembers");
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// The relay sends what it may.
    Ask(Order),
    /// A message arrives; the index says which of those under way.
    Deliver(usize, Kept),
    Lose(usize),
    Pass(u16),
    /// The node begins anew, with another clock.
    RestartNode(u16),
    RestartRelay,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Granting,
    Asking,
}

/// Whether a message that arrived may arrive once more.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Once,
    Again,
}

fn event() -> impl Strategy<Value = Event> {
    let order = prop_oneof![3 => Just(Order::Granting), 1 => Just(Order::Asking)];
    let kept = prop_oneof![3 => Just(Kept::Once), 1 => Just(Kept::Again)];
    prop_oneof![
        4 => order.prop_map(Event::Ask),
        8 => (0usize..16, kept).prop_map(|(which, kept)| Event::Deliver(which, kept)),
        1 => (0usize..16).prop_map(Event::Lose),
        5 => (0u16..4_000).prop_map(Event::Pass),
        1 => any::<u16>().prop_map(Event::RestartNode),
        1 => Just(Event::RestartRelay),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Message {
    Request(Option<Grant>),
    Answer(Named),
}

/// What the relay rests on; a rule without it must be found out.
#[derive(Clone, Copy, Debug)]
enum Rule {
    Ours,
    /// Counts from when the grant was sent, by a lease from then on at the node: what a naive relay would do.
    FromArrival,
}

struct Model {
    rule: Rule,
    now: u64,
    /// The node's clock goes at this many thousandths of the relay's speed.
    rate: u64,
    terms: Terms,
    run: Run,
    booted: u64,
    ends: Option<NodeMillis>,
    under_way: Vec<Message>,
}

impl Model {
    fn new(rule: Rule, rate: u64) -> Self {
        let terms = Terms::new(LENGTH, None, tick(0));
        Self { rule, now: 0, rate, terms, run: Run(0), booted: 0, ends: None, under_way: Vec::new() }
    }

    fn clock(&self) -> NodeMillis {
        NodeMillis(self.booted + self.now * self.rate / 1_000)
    }

    fn is_trusted(&self) -> bool {
        self.ends.is_some_and(|ends| self.clock() < ends)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Ask(Order::Granting) => {
                let grant = self.terms.grant();
                self.under_way.push(Message::Request(grant));
            }
            Event::Ask(Order::Asking) => self.under_way.push(Message::Request(None)),
            Event::Deliver(which, kept) => self.deliver(which, kept),
            Event::Lose(which) => {
                if !self.under_way.is_empty() {
                    self.under_way.swap_remove(which % self.under_way.len());
                }
            }
            Event::Pass(ms) => self.now += u64::from(ms),
            Event::RestartNode(booted) => {
                self.run = Run(self.run.0 + 1);
                self.booted = u64::from(booted);
                self.ends = None;
            }
            Event::RestartRelay => self.terms = Terms::new(LENGTH, Some(LENGTH), tick(self.now)),
        }
    }

    fn deliver(&mut self, which: usize, kept: Kept) {
        if self.under_way.is_empty() {
            return;
        }
        let which = which % self.under_way.len();
        let message = self.under_way[which];
        match kept {
            Kept::Once => drop(self.under_way.swap_remove(which)),
            Kept::Again => {}
        }
        match message {
            Message::Request(grant) => {
                if let Some(grant) = grant.filter(|it| it.run == self.run) {
                    let until = match self.rule {
                        Rule::Ours => grant.until,
                        Rule::FromArrival => self.clock().after(LENGTH),
                    };
                    self.ends = self.ends.max(Some(until));
                }
                let until = self.ends.filter(|ends| *ends > self.clock());
                self.under_way.push(Message::Answer(Named { run: self.run, clock: self.clock(), until }));
            }
            Message::Answer(named) => self.terms.heard(named, tick(self.now)),
        }
    }

    /// Whether the node trusts its copies when the relay is certain that it does not.
    fn is_broken(&self) -> bool {
        self.is_trusted() && self.terms.has_ended(tick(self.now))
    }
}

proptest! {
    #[test]
    fn no_interleaving_of_messages_lets_a_node_trust_beyond_what_the_relay_assumes(
        rate in 992u64..=1_008,
        events in proptest::collection::vec(event(), 1..300),
    ) {
        let mut model = Model::new(Rule::Ours, rate);
        for event in events {
            model.happen(event);
            prop_assert!(!model.is_broken(), "{event:?}");
        }
    }
}

#[test]
fn model_finds_out_a_lease_that_counts_from_its_arrival() {
    let mut model = Model::new(Rule::FromArrival, 1_000);
    let (ask, deliver) = (Event::Ask(Order::Granting), Event::Deliver(0, Kept::Once));
    // Named, granted, and the grant is held up for eleven seconds.
    for event in [ask, deliver, deliver, ask, Event::Pass(3_700), Event::Pass(3_700), Event::Pass(3_700), deliver] {
        model.happen(event);
    }
    assert!(model.is_broken());
    let mut model = Model::new(Rule::Ours, 1_000);
    for event in [ask, deliver, deliver, ask, Event::Pass(3_700), Event::Pass(3_700), Event::Pass(3_700), deliver] {
        model.happen(event);
    }
    assert!(!model.is_broken());
}
