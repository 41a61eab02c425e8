//! `[api]`: the door for callers, in the clear, with TLS, or both, and its bounds.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use catharsis_edge::protocol::LocalOrigins;
use serde::{Deserialize, Serialize};

use super::units::{Size, Span};
use crate::http::{DRAIN_TIMEOUT, Door, DoorLimits, Tls, TlsFiles};

/// `[api]`: the Tencent Cloud API door.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ApiSection {
    /// Address to listen on for plain HTTP. This, `tls_listen`, or both.
    pub listen: Option<SocketAddr>,
    /// Address to listen on for HTTPS; then `tls_certificate` and `tls_key` are needed.
    pub tls_listen: Option<SocketAddr>,
    /// The certificate chain in PEM, the server's own certificate first.
    pub tls_certificate: Option<PathBuf>,
    /// Its private key in PEM, without a password.
    pub tls_key: Option<PathBuf>,
    /// How often both files are looked at for a new certificate, default 10 s.
    #[serde(default = "ApiSection::tls_reload")]
    pub tls_reload: Span,
    /// Connections at once, on both addresses together, default 4096; more wait in the system's queue.
    /// From 1 to 1,000,000.
    #[serde(default = "ApiSection::connections_max")]
    pub connections_max: usize,
    /// Requests on one connection, default 10000; then the client must connect anew. At least 1.
    #[serde(default = "ApiSection::requests_per_connection")]
    pub requests_per_connection: u32,
    /// Requests at once on one HTTP/2 connection, default 128. From 1 to 1024.
    #[serde(default = "ApiSection::streams_per_connection")]
    pub streams_per_connection: u32,
    /// Request line and headers, default 96 KiB, from 40 KiB (a GET of the documented 32 KB fits) to
    /// 1 MiB.
    #[serde(default = "ApiSection::header_bytes")]
    pub header_bytes: Size,
    /// Memory for request bodies being read, all together, default 256 MiB. A request waits until
    /// its body fits. Less than one largest body (10 MB) counts as that.
    #[serde(default = "ApiSection::body_memory")]
    pub body_memory: Size,
    /// Time for a TLS handshake, default 10 s. This and all times below: from 1 ms to 1 h.
    #[serde(default = "ApiSection::handshake_timeout")]
    pub handshake_timeout: Span,
    /// Time to send a request's headers, default 10 s. A new connection's first request must come within it.
    #[serde(default = "ApiSection::header_timeout")]
    pub header_timeout: Span,
    /// Time to send a request's body, default 30 s, the wait for memory included.
    #[serde(default = "ApiSection::body_timeout")]
    pub body_timeout: Span,
    /// Time to take an answer, default 60 s: the time after which the SDKs give up.
    #[serde(default = "ApiSection::write_timeout")]
    pub write_timeout: Span,
    /// How long a connection is kept without a request, default 60 s.
    #[serde(default = "ApiSection::idle_timeout")]
    pub idle_timeout: Span,
    /// Whether `X-TC-Content-SHA256: UNSIGNED-PAYLOAD` is accepted, default true. Such a request's
    /// body is not covered by its signature: switch it off where clients do not need it.
    #[serde(default = "ApiSection::unsigned_payload")]
    pub unsigned_payload: bool,
    /// Whether AddCdnDomain takes origins that are loopback, link-local, unspecified or multicast addresses:
    /// `refuse` (default), since edges would fetch from themselves or their own machine, or `allow`. An edge
    /// has a switch of its own.
    #[serde(default)]
    pub local_origins: LocalOrigins,
}

const CONNECTIONS: RangeInclusive<usize> = 1..=1_000_000;
const STREAMS: RangeInclusive<u32> = 1..=1_024;
const HEADER_BYTES: RangeInclusive<u64> = 40 << 10..=1 << 20;
const TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3_600);

impl ApiSection {
    const fn tls_reload() -> Span {
        Span::seconds(10)
    }
    const fn connections_max() -> usize {
        DoorLimits::USUAL.connections_max
    }
    const fn requests_per_connection() -> u32 {
        DoorLimits::USUAL.requests_per_connection
    }
    const fn streams_per_connection() -> u32 {
        DoorLimits::USUAL.streams_per_connection
    }
    const fn header_bytes() -> Size {
        Size(DoorLimits::USUAL.header_bytes as u64)
    }
    const fn body_memory() -> Size {
        Size::mebibytes(256)
    }
    const fn handshake_timeout() -> Span {
        Span(DoorLimits::USUAL.handshake_timeout)
    }
    const fn header_timeout() -> Span {
        Span(DoorLimits::USUAL.header_timeout)
    }
    const fn body_timeout() -> Span {
        Span::seconds(30)
    }
    const fn write_timeout() -> Span {
        Span(DoorLimits::USUAL.write_timeout)
    }
    const fn idle_timeout() -> Span {
        Span(DoorLimits::USUAL.idle_timeout)
    }
    const fn unsigned_payload() -> bool {
        true
    }

    /// The defaults, on an address for plain HTTP.
    #[must_use]
    pub const fn on(listen: SocketAddr) -> Self {
        Self {
            listen: Some(listen),
            tls_listen: None,
            tls_certificate: None,
            tls_key: None,
            tls_reload: Self::tls_reload(),
            connections_max: Self::connections_max(),
            requests_per_connection: Self::requests_per_connection(),
            streams_per_connection: Self::streams_per_connection(),
            header_bytes: Self::header_bytes(),
            body_memory: Self::body_memory(),
            handshake_timeout: Self::handshake_timeout(),
            header_timeout: Self::header_timeout(),
            body_timeout: Self::body_timeout(),
            write_timeout: Self::write_timeout(),
            idle_timeout: Self::idle_timeout(),
            unsigned_payload: Self::unsigned_payload(),
            local_origins: LocalOrigins::Refuse,
        }
    }

    fn limits(&self) -> DoorLimits {
        DoorLimits {
            connections_max: self.connections_max,
            header_bytes: u32::try_from(self.header_bytes.0).unwrap_or(u32::MAX),
            handshake_timeout: self.handshake_timeout.0,
            header_timeout: self.header_timeout.0,
            idle_timeout: self.idle_timeout.0,
            write_timeout: self.write_timeout.0,
            requests_per_connection: self.requests_per_connection,
            streams_per_connection: self.streams_per_connection,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }

    /// Opens the door on the section's addresses and logs them.
    ///
    /// # Errors
    /// When an address cannot be bound, or there is none.
    pub async fn open_door(&self, tls: Option<Arc<Tls>>) -> anyhow::Result<Door> {
        let cannot = |address| format!("[api] cannot listen on {address}");
        let limits = self.limits();
        let tls = self.tls_listen.zip(tls);
        let door = match (self.listen, tls) {
            (Some(plain), None) => Door::open(plain, limits).await.with_context(|| cannot(plain))?,
            (None, Some((address, tls))) => {
                Door::open_tls(address, tls, limits).await.with_context(|| cannot(address))?
            }
            (Some(plain), Some((address, tls))) => {
                let door = Door::open(plain, limits).await.with_context(|| cannot(plain))?;
                door.and_tls(address, tls).await.with_context(|| cannot(address))?
            }
            (None, None) => anyhow::bail!("[api] has no address to listen on"),
        };
        door.announce("api")?;
        Ok(door)
    }
}

/// Checks the section, and reads its certificate if it has one.
pub(super) fn check(api: &ApiSection, problems: &mut Vec<String>) -> Option<Tls> {
    let mut must = |holds: bool, text: &str| {
        if !holds {
            problems.push(format!("[api] {text}"));
        }
    };
    must(api.listen.is_some() || api.tls_listen.is_some(), "write listen, tls_listen or both");
    must(CONNECTIONS.contains(&api.connections_max), "connections_max: must be from 1 to 1000000");
    must(api.requests_per_connection > 0, "requests_per_connection: must be at least 1");
    must(STREAMS.contains(&api.streams_per_connection), "streams_per_connection: must be from 1 to 1024");
    must(HEADER_BYTES.contains(&api.header_bytes.0), "header_bytes: must be from 40KiB to 1MiB");
    for (name, span) in [
        ("tls_reload", api.tls_reload),
        ("handshake_timeout", api.handshake_timeout),
        ("header_timeout", api.header_timeout),
        ("body_timeout", api.body_timeout),
        ("write_timeout", api.write_timeout),
        ("idle_timeout", api.idle_timeout),
    ] {
        must(TIMES.contains(&span.0), &format!("{name}: must be from 1ms to 1h"));
    }
    match (api.tls_listen, &api.tls_certificate, &api.tls_key) {
        (None, None, None) => None,
        (Some(_), Some(certificate), Some(key)) => {
            let files = TlsFiles { certificate: certificate.clone(), key: key.clone() };
            Tls::load(files, api.tls_reload.0).map_err(|error| problems.push(format!("[api] tls: {error}"))).ok()
        }
        (Some(_) | None, Some(_) | None, Some(_) | None) => {
            problems.push("[api] tls_listen, tls_certificate and tls_key: write all three or none".to_owned());
            None
        }
    }
}
