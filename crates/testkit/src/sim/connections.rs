//! A cache's connections to its origin hop.
//!
//! What this is: what the hop's `Flights` see of a cache without sockets: connections that are used one response after
//! the other, that the cache closes when the hop has ended its direction of them, once it has taken in what came before,
//! and that end with a fetch that is given up. What this is not: a network: what is sent arrives, or the fetch fails.
//!
//! Invariant: a connection is idle, or has ended, only after its cache has kept what came over it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use catharsis_edge::fence::RequestUrl;
use catharsis_edge::flights::{ConnectionId, Departure, Ending, FlightId, Flights};
use tokio::time::sleep;

use super::Chance;

/// How long a cache may take to see that the hop has ended its direction of an idle connection, milliseconds.
const SEEN_WITHIN: u64 = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Idle,
    Busy,
    /// Busy, and the hop has ended its direction.
    BusyLast,
    Closed,
}

/// One connection.
#[derive(Debug)]
struct Line {
    peer: SocketAddr,
    /// Not kept alive by what it keeps account of.
    flights: Weak<Flights>,
    id: OnceLock<ConnectionId>,
    usage: Mutex<Use>,
    chance: Chance,
}

impl Line {
    fn usage(&self) -> MutexGuard<'_, Use> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        *self.usage() = Use::Closed;
        if let (Some(id), Some(flights)) = (self.id.get(), self.flights.upgrade()) {
            flights.ended(*id);
        }
    }
}

/// The hop's hold of a connection.
#[derive(Debug)]
struct Hold(Arc<Line>);

impl Ending for Hold {
    fn end(&self) {
        let line = Arc::clone(&self.0);
        // The hop holds its table meanwhile, and the cache sees it later anyway.
        tokio::spawn(async move {
            sleep(Duration::from_millis(line.chance.below(SEEN_WITHIN))).await;
            let mut usage = line.usage();
            match *usage {
                Use::Idle => {
                    drop(usage);
                    line.close();
                }
                Use::Busy => *usage = Use::BusyLast,
                Use::BusyLast | Use::Closed => {}
            }
        });
    }
}

/// The connections of one cache to one run of its hop.
#[derive(Debug)]
pub(super) struct Connections {
    flights: Arc<Flights>,
    lines: Vec<Arc<Line>>,
    chance: Chance,
}

impl Connections {
    /// None yet.
    pub(super) const fn new(flights: Arc<Flights>, chance: Chance) -> Self {
        Self { flights, lines: Vec::new(), chance }
    }

    /// Whether they lead to that run of the hop.
    pub(super) fn lead_to(&self, flights: &Arc<Flights>) -> bool {
        Arc::ptr_eq(&self.flights, flights)
    }

    /// Asks the hop for a page over one that is idle, or a new one.
    pub(super) fn ask(&mut self, url: &Arc<RequestUrl>) -> Option<Asked> {
        self.lines.retain(|it| *it.usage() != Use::Closed);
        let line = match self.lines.iter().find(|it| *it.usage() == Use::Idle) {
            Some(line) => Arc::clone(line),
            None => self.connect()?,
        };
        *line.usage() = Use::Busy;
        self.flights.landed_by_the_next(line.peer);
        let flight = self.flights.asked(line.peer, url)?;
        Some(Asked { line, flights: Arc::clone(&self.flights), flight })
    }

    fn connect(&mut self) -> Option<Arc<Line>> {
        // Ports come again once they are free.
        let is_free = |port: &u16| self.lines.iter().all(|it| it.peer.port() != *port);
        let port = (1..u16::MAX).find(is_free)?;
        let line = Arc::new(Line {
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            flights: Arc::downgrade(&self.flights),
            id: OnceLock::new(),
            usage: Mutex::new(Use::Idle),
            chance: self.chance.apart(self.chance.bits()),
        });
        let id = self.flights.connected(line.peer, Hold(Arc::clone(&line)));
        line.id.get_or_init(|| id);
        self.lines.push(Arc::clone(&line));
        Some(line)
    }

    /// The cache was killed: all that is idle ends, and what is under way with its fetch.
    pub(super) fn end(&self) {
        for line in self.lines.iter().filter(|it| *it.usage() == Use::Idle) {
            line.close();
        }
    }
}

/// A request under way to the hop. Dropped before its response was kept, it ends its connection.
pub(super) struct Asked {
    line: Arc<Line>,
    flights: Arc<Flights>,
    flight: FlightId,
}

impl Asked {
    /// The hop sends the head.
    pub(super) fn departs(&self) -> Departure {
        self.flights.departs(self.flight)
    }

    /// The hop has sent all of it.
    pub(super) fn sent(&self) {
        self.flights.sent(self.flight);
    }

    /// The cache has kept, or passed on, what came.
    pub(super) fn kept(self) {
        let mut usage = self.line.usage();
        if *usage == Use::Busy {
            *usage = Use::Idle;
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // Kept, the connection lives on, unless it was the last response over it.
        let is_over = matches!(*self.line.usage(), Use::Busy | Use::BusyLast);
        if is_over {
            self.line.close();
        }
    }
}
