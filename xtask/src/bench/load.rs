//! A load generator: ready-made requests over kept connections, pipelined if asked.

use std::collections::VecDeque;
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
    /// Requests under way on one connection, at most: as soon as half of them are answered, the next are sent.
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
    /// Time of each answer, sorted.
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
    let mut received = Vec::with_capacity(64 << 10);
    let mut sent = VecDeque::with_capacity(load.depth);
    let mut bytes = Vec::new();
    let mut next = 0;
    while latencies.len() < share {
        bytes.clear();
        // Filled up again when half of it is answered, so that writes stay large.
        if sent.len() <= load.depth / 2 {
            let now = Instant::now();
            while sent.len() < load.depth && next < share {
                bytes.extend_from_slice(&load.requests[(number * share + next) % load.requests.len()]);
                sent.push_back(now);
                next += 1;
            }
        }
        // What is under way fits into the buffers of both sockets, so nobody waits for the other to read.
        stream.write_all(&bytes).await?;
        if stream.read_buf(&mut received).await? == 0 {
            bail!("the connection ended within an answer");
        }
        let answered = take_answers(&mut received, load.expect)?;
        let now = Instant::now();
        latencies.extend(sent.drain(..answered).map(|sent| now.duration_since(sent)));
    }
    Ok(latencies)
}

/// Takes the whole answers out of what was received.
fn take_answers(received: &mut Vec<u8>, expect: &str) -> anyhow::Result<usize> {
    let (mut taken, mut answers) = (0, 0);
    while let Some(length) = answer_length(&received[taken..])?
        && let Some(answer) = received[taken..].get(..length)
    {
        let text = std::str::from_utf8(answer).context("an answer is text")?;
        if !text.contains(expect) {
            bail!("not the expected answer ({expect}): {text:.500}");
        }
        taken += length;
        answers += 1;
    }
    received.drain(..taken);
    Ok(answers)
}

/// The length of the first answer, once its head is whole.
fn answer_length(received: &[u8]) -> anyhow::Result<Option<usize>> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(end) = head.parse(received).context("an answer of HTTP")? else { return Ok(None) };
    let length = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length = std::str::from_utf8(length.context("an answer without a length")?.value)?;
    Ok(Some(end + length.trim().parse::<usize>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_answers_are_taken_and_a_part_is_left_for_later() {
        let one = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let mut received = [&one[..], &one[..], &one[..20]].concat();
        assert_eq!(take_answers(&mut received, "ok").expect("both as expected"), 2);
        assert_eq!(received, one[..20]);
        received.extend_from_slice(&one[20..one.len() - 1]);
        assert_eq!(take_answers(&mut received, "ok").expect("not whole yet"), 0);
        received.push(b'k');
        assert_eq!(take_answers(&mut received, "ok").expect("as expected"), 1);
        assert!(received.is_empty());
    }

    #[test]
    fn unexpected_answer_ends_the_run() {
        let mut received = b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_vec();
        assert!(take_answers(&mut received, "200").is_err());
    }
}
