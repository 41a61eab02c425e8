//! HTCP CLR (RFC 2756 section 5.5) as Squid 5 understands it, with acknowledgement.
//!
//! What this is: a datagram for each URL, at most [`WINDOW`] unanswered at a time, sent again when no
//! answer comes. What this is not: a blast; of 5,000 datagrams that nobody acknowledged, Squid lost 95 %
//! (measured).
//!
//! The method is HEAD. For GET Squid looks among what came by GET only; for HEAD it takes what came by HEAD and then,
//! since it answers a HEAD from there too, what came by GET (measured: one datagram clears both).
//!
//! Invariant: only an answer to the very transaction counts. Squid says nothing to one that it denies,
//! so silence is never a success.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use catharsis_core::receipt::{Outcome, Reason, Unreachable};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::purger::address::{HttpLimits, NodeAddress};

/// Longest URL that Squid was seen to answer, bytes. It is silent about one of 16,000.
pub(super) const URL_BYTES_MAX: usize = 8_000;
/// Datagrams that wait for an answer at a time; with 256 some were lost (measured).
const WINDOW: usize = 64;
/// Times that one URL is sent.
const TRIES_MAX: u32 = 6;
/// How long to wait for an answer before sending again. A busy Squid takes some milliseconds.
const RESEND_AFTER: Duration = Duration::from_millis(400);
/// Bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: usize = 512;

/// Whose copies go: see the module.
const METHOD: &str = "HEAD";
const OPCODE_CLR: u8 = 4;
/// An answer is wanted.
const FLAG_RD: u8 = 2;
/// This is an answer.
const FLAG_RR: u8 = 1;
/// Length, version, data length, opcode, flags, transaction.
const HEAD_BYTES: usize = 12;

/// One Squid's HTCP port.
#[derive(Debug)]
pub(super) struct Htcp {
    address: NodeAddress,
    limits: HttpLimits,
    next: AtomicU32,
    /// Whose batch it is: two windows at once would be too much for it.
    turn: Semaphore,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleared {
    /// A copy was removed.
    Gone,
    /// There was none.
    Absent,
    /// Something else (RFC 2756 section 3.1), by its code.
    Failed(u8),
}

/// The datagram that asks to forget a URL; `None` when that is longer than Squid answers.
#[must_use]
pub fn encode(transaction: u32, url: &str) -> Option<Vec<u8>> {
    if url.len() > URL_BYTES_MAX {
        return None;
    }
    let mut operation = vec![0, 0];
    for text in [METHOD, url, "HTTP/1.1", ""] {
        operation.extend(u16::try_from(text.len()).ok()?.to_be_bytes());
        operation.extend(text.as_bytes());
    }
    let data = u16::try_from(operation.len() + 8).ok()?;
    let mut datagram = Vec::with_capacity(usize::from(data) + 6);
    datagram.extend((data + 6).to_be_bytes());
    datagram.extend([0, 1]);
    datagram.extend(data.to_be_bytes());
    datagram.extend([OPCODE_CLR << 4, FLAG_RD]);
    datagram.extend(transaction.to_be_bytes());
    datagram.extend(operation);
    // No authentication: its length is its own.
    datagram.extend([0, 2]);
    Some(datagram)
}

/// The transaction that a datagram answers, and what it says; `None` when it is no answer to a CLR.
#[must_use]
pub fn decode(datagram: &[u8]) -> Option<(u32, Cleared)> {
    let head = datagram.get(..HEAD_BYTES)?;
    let length = usize::from(u16::from_be_bytes([head[0], head[1]]));
    let data = usize::from(u16::from_be_bytes([head[4], head[5]]));
    if length != datagram.len() || data + 4 > length || head[2] != 0 || head[6] >> 4 != OPCODE_CLR {
        return None;
    }
    if head[7] & FLAG_RR == 0 {
        return None;
    }
    let transaction = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
    let said = match head[6] & 0x0f {
        0 => Cleared::Gone,
        2 => Cleared::Absent,
        code => Cleared::Failed(code),
    };
    Some((transaction, said))
}

/// A URL that waits for its answer.
struct Waiting {
    index: usize,
    transaction: u32,
    datagram: Vec<u8>,
    again_at: Instant,
    tries: u32,
}

impl Htcp {
    pub(super) const fn new(address: NodeAddress, limits: HttpLimits) -> Self {
        Self { address, limits, next: AtomicU32::new(1), turn: Semaphore::const_new(1) }
    }

    /// Clears URLs: one outcome for each.
    pub(super) async fn clear(&self, urls: &[String]) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; urls.len()];
        let end = if urls.is_empty() { Ok(()) } else { self.converse(urls, &mut outcomes).await };
        let rest = Outcome::Unreachable(end.err().unwrap_or(Unreachable::Timeout));
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| rest.clone())).collect()
    }

    /// Sends and receives until each URL has its answer or its time is over; the outcomes that are
    /// left open are those of the error.
    async fn converse(&self, urls: &[String], outcomes: &mut [Option<Outcome>]) -> Result<(), Unreachable> {
        let _turn = self.turn.acquire().await.expect("nobody closes it");
        let deadline = Instant::now() + self.limits.batch;
        // A socket of its own for each batch: what is late for the one before does not come here.
        let socket = self.socket().await?;
        let mut waiting: VecDeque<Waiting> = VecDeque::with_capacity(WINDOW);
        let mut unsent = urls.iter().enumerate();
        let mut buffer = [0; ANSWER_BYTES_MAX];
        loop {
            while waiting.len() < WINDOW {
                let Some((index, url)) = unsent.next() else { break };
                let transaction = self.next.fetch_add(1, Ordering::Relaxed);
                let Some(datagram) = encode(transaction, url) else { continue };
                socket.send(&datagram).await.map_err(|error| failed(&error))?;
                let again_at = Instant::now() + RESEND_AFTER;
                waiting.push_back(Waiting { index, transaction, datagram, again_at, tries: 1 });
            }
            // All wait equally long, so the first is the next to be sent again.
            let Some(first) = waiting.front() else { return Ok(()) };
            match timeout_at(first.again_at.min(deadline), socket.recv(&mut buffer)).await {
                Ok(Err(error)) => return Err(failed(&error)),
                Ok(Ok(len)) => settle(&buffer[..len], &mut waiting, outcomes),
                Err(_) if Instant::now() >= deadline => return Err(Unreachable::Timeout),
                Err(_) => {
                    let Some(mut late) = waiting.pop_front() else { return Ok(()) };
                    if late.tries == TRIES_MAX {
                        outcomes[late.index] = Some(Outcome::Unreachable(Unreachable::Timeout));
                        if outcomes.iter().flatten().all(|it| *it == Outcome::Unreachable(Unreachable::Timeout)) {
                            // Nobody is there, or the relay is denied: the others would take as long.
                            return Err(Unreachable::Timeout);
                        }
                        continue;
                    }
                    socket.send(&late.datagram).await.map_err(|error| failed(&error))?;
                    late.tries += 1;
                    late.again_at = Instant::now() + RESEND_AFTER;
                    waiting.push_back(late);
                }
            }
        }
    }

    async fn socket(&self) -> Result<UdpSocket, Unreachable> {
        let addresses = tokio::net::lookup_host(self.address.pair()).await.map_err(|error| failed(&error))?;
        let mut last = Unreachable::Connect(Reason::new("no address"));
        for address in addresses {
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).await.map_err(|error| failed(&error))?;
            // Connected, so that only this address is heard, and a closed port is told.
            match socket.connect(address).await {
                Ok(()) => return Ok(socket),
                Err(error) => last = failed(&error),
            }
        }
        Err(last)
    }
}

fn settle(datagram: &[u8], waiting: &mut VecDeque<Waiting>, outcomes: &mut [Option<Outcome>]) {
    let Some((transaction, said)) = decode(datagram) else { return };
    // At most a window: a search costs less than a table.
    let Some(at) = waiting.iter().position(|it| it.transaction == transaction) else { return };
    let Some(answered) = waiting.remove(at) else { return };
    outcomes[answered.index] = Some(match said {
        Cleared::Gone => Outcome::Applied,
        Cleared::Absent => Outcome::Absent,
        Cleared::Failed(code) => {
            Outcome::Unreachable(Unreachable::Protocol(Reason::new(&format!("HTCP answer {code}"))))
        }
    });
}

fn failed(error: &std::io::Error) -> Unreachable {
    Unreachable::Connect(Reason::new(&format!("HTCP: {error}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn datagram_is_the_one_that_squid_was_seen_to_take() {
        let url = "http://www.example.test/a";
        let mut expect = vec![0x00, 0x3d, 0x00, 0x01, 0x00, 0x37, 0x40, 0x02, 0, 0, 0, 1, 0, 0];
        expect.extend(b"\0\x04HEAD\0\x19");
        expect.extend(url.as_bytes());
        expect.extend(b"\x00\x08HTTP/1.1\x00\x00\x00\x02");
        assert_eq!(encode(1, url).as_deref(), Some(&*expect));
    }

    #[test]
    fn url_that_squid_would_not_answer_is_not_sent() {
        let url = "a".repeat(URL_BYTES_MAX);
        assert!(encode(1, &url).is_some());
        assert_eq!(encode(1, &format!("{url}a")), None);
    }

    proptest! {
        #[test]
        fn request_is_never_taken_for_its_answer(transaction: u32, url in "http://[a-z]{1,9}/[!-~]{0,99}", said in 0_u8..16) {
            let mut datagram = encode(transaction, &url).expect("a short URL");
            prop_assert_eq!(usize::from(u16::from_be_bytes([datagram[0], datagram[1]])), datagram.len());
            prop_assert_eq!(decode(&datagram), None);
            datagram[6] |= said;
            datagram[7] = FLAG_RR;
            let expect = match said { 0 => Cleared::Gone, 2 => Cleared::Absent, code => Cleared::Failed(code) };
            prop_assert_eq!(decode(&datagram), Some((transaction, expect)));
        }

        #[test]
        fn arbitrary_bytes_are_no_reason_to_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _answer = decode(&bytes);
        }
    }
}
