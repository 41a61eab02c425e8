//! A load generator: ready-made requests over kept connections, pipelined if asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What to send.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// To whom.
    pub address: SocketAddr,
    /// Over how many connections.
    pub connections: usize,
    /// Requests under way on one connection.
    pub depth: usize,
    /// The requests, taken in turn.
    pub requests: Arc<Vec<Vec<u8>>>,
    /// How many in all.
    pub total: usize,
    /// What every answer must hold.
    pub expect: &'static str,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Done {
    /// Answers.
    pub count: usize,
    /// From the first request to the last answer.
    pub took: Duration,
    /// Time of each answer (of the group that it was pipelined in), sorted.
    pub latencies: Vec<Duration>,
}

impl Done {
    /// Answers a second.
    #[must_use]
    pub(super) fn rate(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }

    /// The latency that so many percent of the answers stay below.
    #[must_use]
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let place = self.latencies.len() * percent / 100;
        self.latencies.get(place.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// Sends it all.
///
/// # Errors
/// When a connection breaks or an answer is not the expected one.
pub(super) async fn send(load: &Load) -> anyhow::Result<Done> {
    let started = Instant::now();
    let mut connections = JoinSet::new();
    for number in 0..load.connections {
        connections.spawn(connection(load.clone(), number));
    }
    let mut latencies = Vec::with_capacity(load.total);
    while let Some(ended) = connections.join_next().await {
        latencies.extend(ended??);
    }
    let took = started.elapsed();
    latencies.sort_unstable();
    Ok(Done { count: latencies.len(), took, latencies })
}

async fn connection(load: Load, number: usize) -> anyhow::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(load.address).await?;
    stream.set_nodelay(true)?;
    let share = load.total / load.connections;
    let mut latencies = Vec::with_capacity(share);
    let mut buffer = Vec::with_capacity(64 << 10);
    let mut next = number * share;
    while latencies.len() < share {
        let group = load.depth.min(share - latencies.len());
        let mut bytes = Vec::new();
        for _ in 0..group {
            bytes.extend_from_slice(&load.requests[next % load.requests.len()]);
            next += 1;
        }
        let sent = Instant::now();
        stream.write_all(&bytes).await?;
        for _ in 0..group {
            answer(&mut stream, &mut buffer, load.expect).await?;
        }
        let took = sent.elapsed();
        latencies.extend(std::iter::repeat_n(took, group));
    }
    Ok(latencies)
}

/// Reads one answer and takes it out of the buffer.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>, expect: &str) -> anyhow::Result<()> {
    loop {
        if let Some(length) = answer_length(buffer)?
            && buffer.len() >= length
        {
            let text = String::from_utf8_lossy(&buffer[..length]);
            if !text.contains(expect) {
                bail!("not the expected answer ({expect}): {text:.500}");
            }
            buffer.drain(..length);
            return Ok(());
        }
        if stream.read_buf(buffer).await? == 0 {
            bail!("the connection ended within an answer");
        }
    }
}

/// The length of the first answer, once its head is whole.
fn answer_length(buffer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&buffer[..end]).context("a head is text")?;
    let field = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value.trim())
    });
    let body: usize = field.context("an answer without a length")?.parse()?;
    Ok(Some(end + 4 + body))
}
