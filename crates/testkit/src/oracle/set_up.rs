//! The set-ups of the oracle: which caches stand between its origin and its clients.
//!
//! What this is: their names, and the names of the tests that run them. What this is not: how they are started; the server's
//! tests do that, and `cargo xtask oracle` runs those with other numbers.

/// Which caches there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetUp {
    /// One built-in edge in a process of its own.
    Edge,
    /// Two of them: one fetches through the other.
    EdgeBehindShield,
    /// Third-party caches by their sample configurations, with a bounded fence.
    Bounded(Cache),
    /// Third-party caches that fetch through a built-in edge as their origin hop.
    Hop(Cache),
}

/// A kind of third-party cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Varnish.
    Varnish,
    /// nginx with the purge module.
    Nginx,
    /// Squid without an agent.
    Squid,
    /// Apache Traffic Server without an agent.
    TrafficServer,
}

impl Cache {
    /// As configurations and tests call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Varnish => "varnish",
            Self::Nginx => "nginx",
            Self::Squid => "squid",
            Self::TrafficServer => "trafficserver",
        }
    }

    /// Those that the oracle watches. Not Traffic Server: behind a hop old variants came back there (docs/caches), and nothing else was
    /// caught without a fence.
    const WATCHED: [Self; 3] = [Self::Varnish, Self::Nginx, Self::Squid];
}

impl SetUp {
    /// All that are run.
    pub fn all() -> impl Iterator<Item = Self> {
        let bounded = Cache::WATCHED.map(Self::Bounded);
        [Self::Edge, Self::EdgeBehindShield].into_iter().chain(bounded).chain(Cache::WATCHED.map(Self::Hop))
    }

    /// As the command line calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::EdgeBehindShield => "edge-behind-shield",
            Self::Bounded(Cache::Varnish) => "varnish-bounded",
            Self::Bounded(Cache::Nginx) => "nginx-bounded",
            Self::Bounded(Cache::Squid) => "squid-bounded",
            Self::Bounded(Cache::TrafficServer) => "trafficserver-bounded",
            Self::Hop(Cache::Varnish) => "varnish-hop",
            Self::Hop(Cache::Nginx) => "nginx-hop",
            Self::Hop(Cache::Squid) => "squid-hop",
            Self::Hop(Cache::TrafficServer) => "trafficserver-hop",
        }
    }

    /// The tests of the server that run it: with its fence, and without.
    #[must_use]
    pub fn tests(self) -> [String; 2] {
        let [fenced, unfenced] = match self {
            Self::Edge => ["the_edge".to_owned(), "an_edge_that_is_told_nothing".to_owned()],
            Self::EdgeBehindShield => {
                ["an_edge_behind_a_shield".to_owned(), "a_shield_that_is_told_nothing".to_owned()]
            }
            Self::Bounded(cache) => {
                [format!("{}_with_a_bounded_fence", cache.name()), format!("{}_without_a_fence", cache.name())]
            }
            Self::Hop(cache) => {
                [format!("{}_with_a_hop", cache.name()), format!("{}_behind_a_hop_without_its_fence", cache.name())]
            }
        };
        [
            format!("oracle::whole_oracle_sees_nothing_old_at_{fenced}"),
            format!("oracle::whole_oracle_catches_{unfenced}"),
        ]
    }
}
