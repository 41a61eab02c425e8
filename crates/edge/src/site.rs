//! The origins of a host, and the shield before them.
//!
//! What this is: weighted turns among origins, what is remembered of each (its address, a failure of
//! late), and the order in which one fetch tries them. A shield is tried before all of them, by plain HTTP and with
//! the client's `Host`: what it is told of the same table leads it further.
//!
//! What this is not: a health check. Only what requests run into is remembered, and an origin that
//! failed is tried again when no other is left.
//!
//! Invariant: a fetch tries each origin once at most, hence ends.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pingora_core::{Error, ErrorType, Result};

use crate::config::Upstream;
use crate::protocol::{KeyHost, LocalAddress, LocalOrigins};

/// How long a looked-up upstream address is used.
const RESOLVED_FOR: Duration = Duration::from_secs(30);

/// How long an origin that could not be reached is tried last. Short: it costs one failed connection
/// in that time to notice that it is back, and a fetch that tries it pays at most the connect time.
const AVOIDED_FOR: Duration = Duration::from_secs(10);

/// How the origins of a site are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Plain HTTP.
    Plain,
    /// Verified TLS.
    Tls,
}

/// What a host leads to.
#[derive(Debug)]
pub(crate) struct Site {
    shield: Option<Shield>,
    origins: Vec<Origin>,
    /// Counts fetches, to give each origin its turns.
    turn: AtomicU32,
    /// What the origins get as `Host`, when it is not the client's.
    host: Option<KeyHost>,
    way: Way,
}

/// A shield, and whether it may be fetched through.
#[derive(Debug)]
pub(crate) struct Shield {
    pub(crate) server: Origin,
    pub(crate) passable: Passable,
}

/// Whether the shields of a table may be fetched through: see `routes`. Clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passable(Arc<AtomicBool>);

impl Passable {
    pub(crate) fn set(&self, is_so: bool) {
        self.0.store(is_so, Ordering::Release);
    }

    fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// One origin, or a shield.
#[derive(Debug)]
pub(crate) struct Origin {
    upstream: Upstream,
    weight: u8,
    local: LocalOrigins,
    state: Mutex<Known>,
}

/// What is known of an origin.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    resolved: Option<(Instant, SocketAddr)>,
    failed: Option<Instant>,
}

/// Whom a fetch may try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// The shield.
    Shield,
    /// The origin at this place.
    Origin(usize),
}

/// Whom a fetch has not tried yet, the present one first.
#[derive(Debug)]
pub(crate) struct Attempts(std::collections::VecDeque<Turn>);

impl Site {
    /// A site; `origins` is not empty.
    pub(crate) fn new(origins: Vec<Origin>, host: Option<KeyHost>, way: Way) -> Self {
        Self { shield: None, origins, turn: AtomicU32::new(0), host, way }
    }

    /// The same behind a shield.
    pub(crate) fn behind(self, shield: Option<Shield>) -> Self {
        Self { shield, ..self }
    }

    fn at(&self, turn: Turn) -> Option<&Origin> {
        match turn {
            Turn::Shield => self.shield.as_ref().map(|it| &it.server),
            Turn::Origin(at) => self.origins.get(at),
        }
    }

    /// How whoever the present attempt is for is spoken to.
    pub(crate) fn way(&self, attempts: &Attempts) -> Way {
        match attempts.0.front() {
            Some(Turn::Shield) => Way::Plain,
            Some(Turn::Origin(_)) | None => self.way,
        }
    }

    /// What whoever the present attempt is for gets as `Host`; `None` for the client's.
    pub(crate) fn host(&self, attempts: &Attempts) -> Option<&KeyHost> {
        match attempts.0.front() {
            Some(Turn::Shield) => None,
            Some(Turn::Origin(_)) | None => self.host.as_ref(),
        }
    }

    #[cfg(test)]
    pub(crate) fn begins_at_its_shield(&self) -> bool {
        matches!(self.attempts().0.front(), Some(Turn::Shield))
    }

    #[cfg(test)]
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        self.origins.iter().map(|it| &it.upstream)
    }

    /// The order for one fetch: whose turn it is, then those that follow in the list; last those
    /// that failed a short while ago.
    pub(crate) fn attempts(&self) -> Attempts {
        let count = self.origins.len();
        let first = self.whose_turn(self.turn.fetch_add(1, Ordering::Relaxed));
        let mut order: Vec<usize> = (first..count).chain(0..first).collect();
        if count > 1 {
            order.sort_by_key(|at| self.origins[*at].is_avoided());
        }
        let mut order: std::collections::VecDeque<Turn> = order.into_iter().map(Turn::Origin).collect();
        match &self.shield {
            None => {}
            Some(shield) if !shield.passable.is_so() => {}
            Some(shield) if shield.server.is_avoided() => order.push_back(Turn::Shield),
            Some(_) => order.push_front(Turn::Shield),
        }
        Attempts(order)
    }

    /// Of as many turns in a row as the weights add up to, each origin has as many as its weight.
    fn whose_turn(&self, turn: u32) -> usize {
        let weights = || self.origins.iter().map(|it| u32::from(it.weight));
        let mut left = turn % weights().sum::<u32>().max(1);
        for (at, weight) in weights().enumerate() {
            if left < weight {
                return at;
            }
            left -= weight;
        }
        0
    }

    /// The address of the present attempt's origin, or of the next one that has an address.
    ///
    /// # Errors
    /// When none is left that has one.
    pub(crate) async fn address(&self, attempts: &mut Attempts, within: Duration) -> Result<SocketAddr> {
        loop {
            let Some(origin) = attempts.0.front().and_then(|turn| self.at(*turn)) else {
                return Err(unresolved());
            };
            match origin.address(within).await {
                Ok(address) => return Ok(address),
                Err(why) if self.next(attempts) == Next::None => return Err(why),
                Err(_) => {}
            }
        }
    }

    /// Goes on from an origin that could not be reached.
    pub(crate) fn next(&self, attempts: &mut Attempts) -> Next {
        if let Some(origin) = attempts.0.pop_front().and_then(|turn| self.at(turn)) {
            origin.known().failed = Some(Instant::now());
        }
        if attempts.0.is_empty() { Next::None } else { Next::Another }
    }
}

/// Whether there is another origin to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is.
    Another,
    /// All were tried.
    None,
}

impl Origin {
    pub(crate) fn new(upstream: Upstream, weight: u8, local: LocalOrigins) -> Self {
        Self { upstream, weight, local, state: Mutex::default() }
    }

    fn is_avoided(&self) -> bool {
        self.known().failed.is_some_and(|it| it.elapsed() < AVOIDED_FOR)
    }

    async fn address(&self, within: Duration) -> Result<SocketAddr> {
        let (name, port) = match &self.upstream {
            Upstream::Address(address) => return if self.takes(address) { Ok(*address) } else { Err(local()) },
            Upstream::Name(name, port) => (name, *port),
        };
        if let Some((at, address)) = self.known().resolved
            && at.elapsed() < RESOLVED_FOR
        {
            return Ok(address);
        }
        // Several requests may look it up at once: they find the same.
        let lookup = tokio::net::lookup_host((&**name, port));
        let found = tokio::time::timeout(within, lookup).await;
        let found = found.map_err(|_| unresolved())?.map_err(|_| unresolved())?;
        // What is connected to is what was looked at: a name that changes its address changes nothing here.
        let mut refused = false;
        let address = { found }.find(|address| {
            refused |= !self.takes(address);
            self.takes(address)
        });
        let address = address.ok_or_else(|| if refused { local() } else { unresolved() })?;
        self.known().resolved = Some((Instant::now(), address));
        Ok(address)
    }

    /// Whether this address may be the origin's.
    fn takes(&self, address: &SocketAddr) -> bool {
        self.local == LocalOrigins::Allow || LocalAddress::of(address.ip()).is_none()
    }

    // Two independent values, each whole.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unresolved() -> Box<Error> {
    Error::explain(ErrorType::ConnectError, "the upstream's name has no address").into_up()
}

fn local() -> Box<Error> {
    Error::explain(ErrorType::ConnectError, "the origin's address is on this machine or its link").into_up()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(weights: &[u8]) -> Site {
        let origin = |(weight, port): (&u8, u16)| {
            Origin::new(Upstream::Address(SocketAddr::from(([127, 0, 0, 1], port))), *weight, LocalOrigins::Allow)
        };
        Site::new(weights.iter().zip(1..).map(origin).collect(), None, Way::Plain)
    }

    fn places(attempts: &Attempts) -> Vec<usize> {
        let place = |turn: &Turn| match turn {
            Turn::Shield => usize::MAX,
            Turn::Origin(at) => *at,
        };
        attempts.0.iter().map(place).collect()
    }

    #[test]
    fn shield_is_tried_first_and_when_it_failed_lately_last_by_its_own_way() {
        let server = Origin::new(Upstream::Address(SocketAddr::from(([127, 0, 0, 1], 9))), 1, LocalOrigins::Allow);
        let passable = Passable::default();
        let shield = Shield { server, passable: passable.clone() };
        let host = KeyHost::parse("origin.test").expect("a host");
        let site = Site { way: Way::Tls, host: Some(host), ..site(&[1, 1]) }.behind(Some(shield));
        assert_eq!(places(&site.attempts()), [0, 1], "it may not be fetched through");
        passable.set(true);
        assert_eq!(places(&site.attempts()), [usize::MAX, 1, 0]);
        let mut attempts = site.attempts();
        assert_eq!(places(&attempts), [usize::MAX, 0, 1]);
        assert_eq!((site.way(&attempts), site.host(&attempts)), (Way::Plain, None));
        assert_eq!(site.next(&mut attempts), Next::Another);
        assert_eq!((site.way(&attempts), site.host(&attempts).is_some()), (Way::Tls, true));
        assert_eq!(places(&site.attempts()), [1, 0, usize::MAX]);
    }

    #[test]
    fn each_origin_has_turns_by_its_weight() {
        let site = site(&[3, 1, 2]);
        let mut turns = [0; 3];
        for _ in 0..60 {
            let Turn::Origin(first) = site.attempts().0[0] else { panic!("there is no shield") };
            turns[first] += 1;
        }
        assert_eq!(turns, [30, 10, 20]);
    }

    #[test]
    fn fetch_tries_each_origin_once_and_those_that_failed_lately_last() {
        let site = site(&[1, 1, 1]);
        let mut attempts = site.attempts();
        assert_eq!(places(&attempts), [0, 1, 2]);
        assert_eq!(site.next(&mut attempts), Next::Another);
        assert_eq!(places(&attempts), [1, 2]);
        assert_eq!(places(&site.attempts()), [1, 2, 0]);
        assert_eq!(places(&site.attempts()), [2, 1, 0]);
        assert_eq!(places(&site.attempts()), [1, 2, 0], "whose turn it was failed");
        assert_eq!(site.next(&mut attempts), Next::Another);
        assert_eq!(site.next(&mut attempts), Next::None);
        assert_eq!(places(&site.attempts()), [1, 2, 0], "all failed, so all are tried");
    }
}
