//! What the quickstart does from outside: it fetches like a browser and calls the API like an SDK.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use catharsis_core::ports::Clock;
use catharsis_tcapi::cdn::VERSION;
use catharsis_tcapi::client::{Moment, Signer};
use catharsis_tcapi::envelope;

/// Everything here is on this machine and small.
const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetched {
    /// `HIT` or `MISS`, as the edge says.
    pub cache: String,
    /// The body.
    pub body: String,
}

/// Fetches a page through an edge.
///
/// # Errors
/// When the edge does not answer 200 in time.
pub(super) async fn fetch(edge: SocketAddr, host: &str, path: &str) -> anyhow::Result<Fetched> {
    let request = Request::get(path).header(HOST, host).body(Full::default())?;
    let response = send(edge, request).await?;
    let cache = response.headers().get("x-cache").and_then(|value| value.to_str().ok()).unwrap_or("?").to_owned();
    let status = response.status();
    let body = String::from_utf8_lossy(response.body()).into_owned();
    if status.is_success() { Ok(Fetched { cache, body }) } else { Err(anyhow!("the edge answered {status}: {body}")) }
}

/// Calls an action, signed like any client.
///
/// # Errors
/// The API's own error, or that it did not answer.
pub(super) async fn call<T: DeserializeOwned>(
    api: SocketAddr,
    signer: &Signer,
    clock: &dyn Clock,
    action: &str,
    parameters: &impl Serialize,
) -> anyhow::Result<T> {
    let unix = i64::try_from(clock.wall().seconds()).unwrap_or(i64::MAX);
    let request = signer.sign(action, VERSION, parameters, Moment { unix, nonce: clock.random() })?;
    let response = send(api, request.map(Full::new)).await?;
    let answer = envelope::parse(response.body()).with_context(|| format!("{action} failed"))?;
    Ok(answer.fields)
}

async fn send(to: SocketAddr, request: Request<Full<Bytes>>) -> anyhow::Result<http::Response<Bytes>> {
    let exchange = async {
        let stream = TcpStream::connect(to).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the exchange: the connection is driven only while the answer is awaited.
        let answer = async {
            let (parts, body) = sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| anyhow!(error))?;
            anyhow::Ok(http::Response::from_parts(parts, body.to_bytes()))
        };
        tokio::select! {
            biased;
            answer = answer => answer,
            ended = connection => Err(anyhow!("{to} closed the connection: {ended:?}")),
        }
    };
    tokio::time::timeout(TIMEOUT, exchange)
        .await
        .map_err(|_| anyhow!("{to} did not answer in {TIMEOUT:?}"))?
        .with_context(|| format!("no answer from {to}"))
}
