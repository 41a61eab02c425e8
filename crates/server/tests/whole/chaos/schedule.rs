//! Which faults a seed makes. Pure.
//!
//! What this is: lanes of faults that run beside each other, one after the other in each lane: those of the
//! server, of the caches, of the connections between them, and of the clocks. What is broken is whole again at the
//! end of each fault, so at the end of all lanes everything is.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The built-in edge next to the origin.
    Shield,
    /// The built-in edge behind it.
    Edge,
    /// Varnish, bounded, whose copies are in memory.
    Varnish,
    /// nginx, bounded, whose copies survive it.
    Nginx,
}

/// Which nodes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cast {
    /// Only the built-in edge and its shield, so that purges are done at once and many fit into a schedule.
    Edges,
    /// These and the two other caches.
    Everybody,
}

impl Cast {
    /// That of a seed: every other one is of everybody.
    pub(super) const fn of(seed: u64) -> Self {
        if seed.is_multiple_of(2) { Self::Everybody } else { Self::Edges }
    }

    /// Its nodes.
    pub(super) const fn nodes(self) -> &'static [Who] {
        match self {
            Self::Edges => &[Who::Shield, Who::Edge],
            Self::Everybody => &[Who::Shield, Who::Edge, Who::Varnish, Who::Nginx],
        }
    }

    fn draw(self, random: &mut SmallRng) -> Who {
        self.nodes()[random.random_range(0..self.nodes().len())]
    }
}

impl Who {
    /// Its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Shield => "shield",
            Self::Edge => "edge",
            Self::Varnish => "varnish",
            Self::Nginx => "nginx",
        }
    }
}

/// Whose wall clock is turned: processes of ours, since other caches have fences of the relay's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clocked {
    /// The server's, with its relay.
    Server,
    /// The edge's next to the origin.
    Shield,
    /// The edge's behind it.
    Edge,
}

/// The longest that a third-party cache stands still. A fetch takes that much longer: their fences know of it.
pub(super) const FROZEN_MAX: Duration = Duration::from_millis(800);

/// One fault, and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL, and started again after this long.
    ServerCrash(Duration),
    /// SIGTERM, and started again at once.
    ServerRestart,
    /// SIGSTOP, and SIGCONT after this long.
    ServerFrozen(Duration),
    /// Another connection holds the store's write lock.
    StoreLocked(Duration),
    /// No file of the server may grow: each write of the store fails.
    DiskFull(Duration),
    /// SIGKILL of all processes of a node, and started again after this long. nginx finds its files again.
    NodeCrash(Who, Duration),
    /// SIGSTOP of all processes of a node, and SIGCONT after this long.
    NodeFrozen(Who, Duration),
    /// No connection from the relay to a node: those that are there are cut, new ones refused.
    Cut(Who, Duration),
    /// Nothing goes through between the relay and a node, and everything later.
    Stalled(Who, Duration),
    /// Everything goes through this much later.
    Slow(Who, Duration),
    /// What the relay sent to a node some time ago is sent once more, on a connection of its own.
    Repeated(Who),
    /// A wall clock is off by so many seconds, and right again.
    ClockTurned(Clocked, i64, Duration),
}

/// Faults one after the other, each with its time since the start. Where what came before takes longer than planned, as
/// starting a process does on a busy machine, it follows at once: so a schedule has all its faults and is not much longer.
pub(super) type Lane = Vec<(Duration, Fault)>;

fn millis(random: &mut SmallRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.random_range(range))
}

impl Fault {
    fn of_server(_: Cast, random: &mut SmallRng) -> Self {
        match random.random_range(0..100u8) {
            0..35 => Self::ServerCrash(millis(random, 0..800)),
            35..45 => Self::ServerRestart,
            45..65 => Self::ServerFrozen(millis(random, 100..1_500)),
            65..80 => Self::StoreLocked(millis(random, 100..1_500)),
            _ => Self::DiskFull(millis(random, 100..1_500)),
        }
    }

    fn of_node(cast: Cast, random: &mut SmallRng) -> Self {
        let node = cast.draw(random);
        if random.random_range(0..100) < 60 {
            return Self::NodeCrash(node, millis(random, 0..800));
        }
        let frozen = match node {
            Who::Shield | Who::Edge => millis(random, 100..2_500),
            Who::Varnish | Who::Nginx => FROZEN_MAX.mul_f64(random.random_range(0.1..1.0)),
        };
        Self::NodeFrozen(node, frozen)
    }

    fn of_network(cast: Cast, random: &mut SmallRng) -> Self {
        let node = cast.draw(random);
        match random.random_range(0..100u8) {
            0..25 => Self::Cut(node, millis(random, 50..1_500)),
            25..50 => Self::Stalled(node, millis(random, 50..2_000)),
            50..70 => Self::Slow(node, millis(random, 20..600)),
            _ => Self::Repeated(node),
        }
    }

    /// By minutes and by hours, both ways; the most leaves the day.
    fn of_clocks(_: Cast, random: &mut SmallRng) -> Self {
        let clock = [Clocked::Server, Clocked::Server, Clocked::Shield, Clocked::Edge][random.random_range(0..4)];
        let seconds =
            if random.random() { random.random_range(60..3_600) } else { random.random_range(3_600..30 * 3_600) };
        let seconds = if random.random() { seconds } else { -seconds };
        Self::ClockTurned(clock, seconds, millis(random, 100..2_000))
    }

    /// How long it lasts.
    pub(super) const fn lasts(self) -> Duration {
        match self {
            Self::ServerCrash(lasts)
            | Self::ServerFrozen(lasts)
            | Self::StoreLocked(lasts)
            | Self::DiskFull(lasts)
            | Self::NodeCrash(_, lasts)
            | Self::NodeFrozen(_, lasts)
            | Self::Cut(_, lasts)
            | Self::Stalled(_, lasts)
            | Self::ClockTurned(_, _, lasts) => lasts,
            // Lasting longer than what it delays, or it would be no more than one late message.
            Self::Slow(_, late) => late.saturating_mul(3),
            Self::ServerRestart | Self::Repeated(_) => Duration::ZERO,
        }
    }
}

/// The lanes of a seed, about this long.
pub(super) fn draw(seed: u64, length: Duration) -> [Lane; 4] {
    let mut random = SmallRng::seed_from_u64(seed);
    [Fault::of_server, Fault::of_node, Fault::of_network, Fault::of_clocks].map(|fault| {
        let (mut lane, mut total) = (Lane::new(), Duration::ZERO);
        while total < length {
            let (pause, fault) = (millis(&mut random, 50..1_200), fault(Cast::of(seed), &mut random));
            lane.push((total + pause, fault));
            total += pause + fault.lasts();
        }
        lane
    })
}

#[test]
fn chaos_schedule_is_the_same_for_the_same_seed_and_holds_every_fault() {
    let length = Duration::from_secs(6);
    assert_eq!(draw(3, length), draw(3, length));
    let all: Vec<Fault> = (0..300).flat_map(|seed| draw(seed, length)).flatten().map(|(_, fault)| fault).collect();
    let kinds: std::collections::HashSet<_> = all.iter().map(std::mem::discriminant).collect();
    assert_eq!(kinds.len(), 12);
    let too_long =
        |fault: &Fault| matches!(fault, Fault::NodeFrozen(Who::Varnish | Who::Nginx, it) if *it > FROZEN_MAX);
    assert!(!all.iter().any(too_long), "a third-party cache stands still no longer than its fence allows");
}
