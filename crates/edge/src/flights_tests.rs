//! Flights over real sockets, without a proxy: which purge overtakes what, and until when it is waited for.

use std::num::NonZeroUsize;

use catharsis_core::invalidation::Seq;
use catharsis_core::target::Mode;

use super::*;
use crate::fence::Purge;
use crate::key::{Hasher, KeySite, Keyed};
use crate::protocol::LogId;

/// A hop and the connections of caches to it.
struct Hop {
    flights: Flights,
    hasher: Hasher,
    listener: std::net::TcpListener,
    caches: Vec<TcpStream>,
    seq: u64,
}

impl Hop {
    fn new() -> Self {
        let fence = Arc::new(Fence::new(NonZeroUsize::MIN.saturating_add(9)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self { flights: Flights::new(fence), hasher: Hasher::default(), listener, caches: Vec::new(), seq: 0 }
    }

    fn connection(&mut self) -> (SocketAddr, ConnectionId) {
        let address = self.listener.local_addr().expect("a bound socket has an address");
        self.caches.push(TcpStream::connect(address).expect("it listens"));
        let (socket, peer) = self.listener.accept().expect("it was connected");
        (peer, self.flights.connected(peer, socket))
    }

    fn ask(&self, peer: SocketAddr, path: &str) -> FlightId {
        let url = self.hasher.request(KeySite::shared("a.test"), path.as_bytes(), Keyed(0), Keyed(0));
        self.flights.asked(peer, &Arc::new(url)).expect("it is connected")
    }

    /// Purges as the orders do: marks first. Returns the point.
    fn purge(&mut self, scope: Scope) -> Stamp {
        self.seq += 1;
        let purge = Purge { seq: Seq(self.seq), scope, mode: Mode::Delete };
        let log = LogId::new("l").expect("a name");
        let applied = self.flights.fence.apply(&log, Seq(self.seq), &[purge]).expect("room");
        self.flights.overtake([(scope, applied.points[0])].into_iter());
        applied.points[0]
    }

    fn purge_url(&mut self, path: &str) -> Stamp {
        self.purge(Scope::Url(self.hasher.url(&KeySite::shared("a.test"), path.as_bytes())))
    }

    /// How far everything has landed now, up to a point.
    fn landed(&self, upto: Stamp) -> Stamp {
        self.flights.lowest.borrow().map_or(upto, |lowest| lowest.before().min(upto))
    }
}

#[test]
fn response_without_a_head_yet_is_barred_and_waited_for_by_nobody() {
    let mut hop = Hop::new();
    let (peer, _) = hop.connection();
    let flight = hop.ask(peer, "/x");
    let point = hop.purge_url("/x");
    assert_eq!(hop.landed(point), point);
    assert_eq!(hop.flights.departs(flight), Departure::Overtaken);
    let next = hop.ask(peer, "/x");
    assert_eq!(hop.flights.departs(next), Departure::Free, "it came after the purge");
}

#[test]
fn response_that_departed_is_pending_until_the_next_request_of_its_connection() {
    let mut hop = Hop::new();
    let (peer, _) = hop.connection();
    let flight = hop.ask(peer, "/x");
    assert_eq!(hop.flights.departs(flight), Departure::Free);
    let other = hop.purge_url("/y");
    assert_eq!(hop.landed(other), other, "another URL was purged");
    let point = hop.purge_url("/x");
    assert_eq!(hop.landed(point), other);
    hop.flights.sent(flight);
    assert_eq!(hop.landed(point), other, "sent is not landed");
    hop.flights.landed_by_the_next(peer);
    assert_eq!(hop.landed(point), point);
}

#[test]
fn response_that_was_sent_before_the_purge_is_pending_until_its_connection_has_ended() {
    use std::io::Read;

    let mut hop = Hop::new();
    let (peer, id) = hop.connection();
    let flight = hop.ask(peer, "/dir/x");
    assert_eq!(hop.flights.departs(flight), Departure::Free);
    hop.flights.sent(flight);
    let directory = hop.hasher.prefix(&KeySite::shared("a.test"), b"/dir/");
    let point = hop.purge(Scope::Prefix(directory));
    assert!(hop.landed(point) < point);
    // The cache is told that nothing follows: it need not wait for its next request.
    assert_eq!(hop.caches[0].read(&mut [0]).expect("an end, not an error"), 0);
    assert!(hop.landed(point) < point, "it may not have read it yet");
    hop.flights.ended(id);
    assert_eq!(hop.landed(point), point);
}

#[test]
fn everything_overtakes_all_and_a_replayed_purge_pends_no_longer_than_the_first() {
    let mut hop = Hop::new();
    let (first, first_id) = hop.connection();
    let (second, second_id) = hop.connection();
    for (peer, path) in [(first, "/x"), (second, "/y")] {
        let flight = hop.ask(peer, path);
        assert_eq!(hop.flights.departs(flight), Departure::Free);
    }
    let point = hop.purge(Scope::Everything);
    hop.flights.overtake([(Scope::Everything, point)].into_iter());
    hop.flights.ended(first_id);
    assert_eq!(hop.landed(point), point.before());
    hop.flights.ended(second_id);
    assert_eq!(hop.landed(point), point);
}

#[test]
fn connection_from_the_port_of_one_that_ended_is_another() {
    let mut hop = Hop::new();
    let (peer, old) = hop.connection();
    let again = hop.caches[0].try_clone().expect("a descriptor");
    let new = hop.flights.connected(peer, again);
    let flight = hop.ask(peer, "/x");
    assert_eq!(hop.flights.departs(flight), Departure::Free);
    let point = hop.purge_url("/x");
    hop.flights.ended(old);
    assert!(hop.landed(point) < point, "the old connection's end says nothing about the new one");
    hop.flights.ended(new);
    assert_eq!(hop.landed(point), point);
}

#[test]
fn flight_whose_key_may_be_out_of_date_is_overtaken_by_any_purge() {
    let mut hop = Hop::new();
    let (peer, id) = hop.connection();
    let flight = hop.ask(peer, "/x");
    assert_eq!(hop.flights.departs(flight), Departure::Free);
    hop.flights.rekeyed();
    let point = hop.purge_url("/by-another-name");
    assert!(hop.landed(point) < point);
    hop.flights.ended(id);
    assert_eq!(hop.landed(point), point);
    assert!(hop.flights.table().rekeyed.is_empty());
}

#[test]
fn purge_that_comes_late_overtakes_what_began_after_a_later_one() {
    let mut hop = Hop::new();
    let (peer, id) = hop.connection();
    hop.seq = 1;
    hop.purge_url("/later");
    // What it is answered from was not purged yet, whatever the position.
    let flight = hop.ask(peer, "/x");
    assert_eq!(hop.flights.departs(flight), Departure::Free);
    hop.seq = 0;
    let point = hop.purge_url("/x");
    assert!(hop.landed(point) < point);
    hop.flights.ended(id);
    assert_eq!(hop.landed(point), point);
}

#[tokio::test]
async fn who_waits_hears_of_each_landing() {
    let mut hop = Hop::new();
    let (first, first_id) = hop.connection();
    let (second, second_id) = hop.connection();
    for (peer, path) in [(first, "/x"), (second, "/y")] {
        let flight = hop.ask(peer, path);
        assert_eq!(hop.flights.departs(flight), Departure::Free);
    }
    hop.purge_url("/x");
    hop.purge_url("/y");
    let (flights, log) = (&hop.flights, LogId::new("l").expect("a name"));
    let (landed, ()) = tokio::join!(flights.landed(&log, Seq(0), Seq(2)), async { flights.ended(first_id) });
    assert_eq!(landed, Some(Seq(1)));
    let (landed, ()) = tokio::join!(flights.landed(&log, Seq(1), Seq(2)), async { flights.ended(second_id) });
    assert_eq!(landed, Some(Seq(2)));
    let other = LogId::new("m").expect("a name");
    assert_eq!(flights.landed(&other, Seq(0), Seq(1)).await, None);
}
