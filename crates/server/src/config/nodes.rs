//! `[[node]]` and `[[edge]]`: the caches that are purged, and those that run here.

use std::net::SocketAddr;
use std::path::PathBuf;

use catharsis_edge::protocol::LocalOrigins;
use serde::{Deserialize, Serialize};

use super::leases::{EdgeLeaseName, LeaseName};
use super::units::{Secret, Size, Span};

/// A cache that is purged.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSection {
    /// Its name, unique: lower-case letters, digits, `-`, `_`, `.`. Cursors are kept by it.
    pub name: String,
    /// The place where it runs, default `default`.
    #[serde(default = "NodeSection::pop")]
    pub pop: String,
    /// Whose purges it takes: `mainland` or `overseas`.
    pub area: NodeAreaName,
    /// `edge` (default) or `shield`.
    #[serde(default)]
    pub tier: TierName,
    /// What kind of cache it is.
    pub kind: KindName,
    /// Where it is told: the listener that takes PURGE, or an edge's or agent's control listener. Purges go
    /// nowhere else.
    pub address: SocketAddr,
    /// Where its clients connect, over plain HTTP: prefetches are fetched through it. Absent: a prefetch
    /// in its area fails there, and says so.
    pub traffic: Option<SocketAddr>,
    /// Squid: its HTCP port, by which it is then told where a URL fits into a datagram. Absent: by PURGE only.
    pub htcp: Option<SocketAddr>,
    /// The shield through which it fetches.
    pub shield: Option<String>,
    /// How a purge is kept from being undone by a fetch under way. Default: `exact` for the built-in
    /// edge and a Squid with an agent (and nothing else is possible there), else `bounded`.
    pub fence: Option<FenceSection>,
    /// What it holds when it is added to a running installation, default `everything`: unknown, so
    /// it is told to forget everything. `empty`: you vouch that it is empty. nginx and Squid without
    /// an agent cannot be told, so `empty` is the only choice there.
    #[serde(default)]
    pub join: JoinName,
    /// Whether clients are sent to it: `in` (default), or `drained`: it is told every purge, but a task is
    /// `done` without it. Sending them elsewhere is yours to do, before.
    #[serde(default)]
    pub rotation: RotationName,
    /// What an edge's or agent's control listener asks for.
    pub token: Option<Secret>,
    /// A file that holds the token and nothing else.
    pub token_file: Option<PathBuf>,
    /// The built-in edge: how long it may use its copies unasked after it was reached last, from `1s` to `10m`, default
    /// `10s`; a task waits about that long for one that is cut off. `none`: it gets no leases, and tasks wait for it
    /// however long it is away. To be set to `none` here before its own `[[edge]] lease` is.
    pub lease: Option<LeaseName>,
    /// Traffic Server: the control listener of the agent beside it, which is told of directories. Absent:
    /// directories are refused there, and `join` must be `empty`.
    pub agent: Option<SocketAddr>,
    /// Varnish: its management port (`-T`), through which the length of its ban list is seen. Absent: there
    /// is no cap on it.
    pub management: Option<SocketAddr>,
    /// Varnish: the secret file of its management port (`-S`), or a copy of it.
    pub management_secret_file: Option<PathBuf>,
    /// Varnish: with so many bans in its list or more, directories wait. Default 1,000.
    pub bans_max: Option<u32>,
}

impl NodeSection {
    fn pop() -> String {
        "default".to_owned()
    }
}

/// The area of a node: one, never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeAreaName {
    /// Mainland China.
    Mainland,
    /// Elsewhere.
    Overseas,
}

/// Where a node stands between clients and origins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TierName {
    /// Fetches for edges.
    Shield,
    /// Answers clients.
    #[default]
    Edge,
}

/// The kind of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KindName {
    /// Varnish with the sample VCL.
    Varnish,
    /// nginx with the cache purge module and the sample configuration.
    Nginx,
    /// Apache Traffic Server with the sample configuration.
    TrafficServer,
    /// Squid with the sample configuration.
    Squid,
    /// nginx without the module, with an agent beside it.
    #[serde(rename = "nginx-agent")]
    NginxAgent,
    /// Squid that asks an agent beside it how to name what it stores.
    #[serde(rename = "squid-agent")]
    SquidAgent,
    /// The built-in edge.
    Edge,
}

/// What a node holds when it joins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinName {
    /// Unknown.
    #[default]
    Everything,
    /// Nothing.
    Empty,
}

/// Whether clients are sent to a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RotationName {
    /// They are.
    #[default]
    In,
    /// They are not.
    Drained,
}

/// The fence of a node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "lowercase")]
pub enum FenceSection {
    /// The node refuses what it began to fetch before the purge.
    Exact,
    /// The purge is repeated until no older fetch can still end.
    Bounded {
        /// The longest time that a fetch of this node can take, default 60 s.
        #[serde(default = "FenceSection::fetch_max")]
        fetch_max: Span,
        /// Repeats before that; default 2 s and 10 s, as far as they lie before `fetch_max`.
        repeats: Option<Vec<Span>>,
    },
    /// All its fetches pass through its `shield`, a built-in edge with `hop = true`: the purge is repeated once
    /// what it overtook has landed. Not for Traffic Server, which was seen to bring old variants back.
    Hop,
    /// One purge; a fetch under way may bring the old copy back.
    None,
}

impl FenceSection {
    const fn fetch_max() -> Span {
        Span::seconds(60)
    }

    /// The bounded fence with its defaults.
    #[must_use]
    pub const fn bounded() -> Self {
        Self::Bounded { fetch_max: Self::fetch_max(), repeats: None }
    }
}

/// A built-in edge that runs in this process.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeSection {
    /// Its name, as `Cache-Status` shows it.
    pub name: String,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where the relay connects. A token is required unless this is a loopback address.
    pub control: SocketAddr,
    /// What the control listener asks for.
    pub token: Option<Secret>,
    /// A file that holds the token and nothing else.
    pub token_file: Option<PathBuf>,
    /// Memory for cached copies, default 256 MiB.
    #[serde(default = "EdgeSection::memory")]
    pub memory: Size,
    /// Largest copy kept, default 8 MiB; at most half of the memory.
    #[serde(default = "EdgeSection::object_max")]
    pub object_max: Size,
    /// Purged URLs remembered one by one, default 1,000,000; beyond that the oldest are remembered
    /// together, which costs some copies fetched before them.
    #[serde(default = "EdgeSection::marks_max")]
    pub marks_max: usize,
    /// Time to connect to an upstream, default 5 s.
    #[serde(default = "EdgeSection::connect_timeout")]
    pub connect_timeout: Span,
    /// Longest pause while an upstream answers, default 60 s.
    #[serde(default = "EdgeSection::read_timeout")]
    pub read_timeout: Span,
    /// Longest fetch as a whole, default 300 s.
    #[serde(default = "EdgeSection::fetch_timeout")]
    pub fetch_timeout: Span,
    /// How long a response stays fresh that is cacheable but does not say how long; absent: it is not kept.
    pub default_ttl: Option<Span>,
    /// Whether it uses its copies only while its relay lets it by a lease: `required` (default), or `none`. Without a
    /// lease each copy is confirmed by its origin before it is used; an edge that no relay tells wants `none`.
    #[serde(default)]
    pub lease: EdgeLeaseName,
    /// Whether a domain's origin may be on this machine or its link: `refuse` (default) or `allow`. Looked at
    /// when its name is looked up, too. Where routes lead is not asked.
    #[serde(default)]
    pub local_origins: LocalOrigins,
    /// Whether caches of other kinds fetch through it, whose `fence` is `hop`: it then knows what is on its way to
    /// them, for a second file descriptor a connection. Default false.
    #[serde(default)]
    pub hop: bool,
    /// Where requests go, by host, beside the domains of the API; may be absent.
    #[serde(default, rename = "route")]
    pub routes: Vec<RouteSection>,
}

impl EdgeSection {
    const fn memory() -> Size {
        Size::mebibytes(256)
    }
    const fn object_max() -> Size {
        Size::mebibytes(8)
    }
    const fn marks_max() -> usize {
        1_000_000
    }
    const fn connect_timeout() -> Span {
        Span::seconds(5)
    }
    const fn read_timeout() -> Span {
        Span::seconds(60)
    }
    const fn fetch_timeout() -> Span {
        Span::seconds(300)
    }

    /// The defaults: everything goes to one upstream.
    #[must_use]
    pub fn with_upstream(name: &str, listen: SocketAddr, control: SocketAddr, upstream: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            listen,
            control,
            token: None,
            token_file: None,
            memory: Self::memory(),
            object_max: Self::object_max(),
            marks_max: Self::marks_max(),
            connect_timeout: Self::connect_timeout(),
            read_timeout: Self::read_timeout(),
            fetch_timeout: Self::fetch_timeout(),
            default_ttl: None,
            lease: EdgeLeaseName::Required,
            local_origins: LocalOrigins::Refuse,
            hop: false,
            routes: vec![RouteSection { host: "*".to_owned(), upstream }],
        }
    }
}

/// Where an edge sends the requests of a host.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSection {
    /// A host name, `*.` and a host name, or `*` for every host.
    pub host: String,
    /// The origin, or a shield's traffic listener; plain HTTP.
    pub upstream: SocketAddr,
}
