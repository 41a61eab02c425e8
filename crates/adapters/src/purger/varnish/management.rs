//! Varnish's command line over TCP (`varnishd -T`, `-S`): how long the list of bans is.
//!
//! What this is: one connection for each look, which proves the secret, asks for `ban.list` and counts its
//! lines as they come. What this is not: a way to give orders; only these two commands are ever sent.
//!
//! Invariant: bounded in time and memory whatever answers; the secret leaves only as a digest with the
//! other side's challenge.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::purger::NodeAddress;

/// Time for a whole look, connecting included. The management process answers one command at a time and
/// compiles configurations in between.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// Bytes of a list that are read. A thousand bans of the longest text are 17 MB.
const LIST_BYTES_MAX: u64 = 64 << 20;
/// Bytes of any other answer: a challenge, a banner.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Bytes of an answer's first line: status, length and a line feed.
const HEAD_BYTES: usize = 13;
/// Bytes of a challenge.
const CHALLENGE_BYTES: usize = 32;

/// The management port of one Varnish.
#[derive(Clone)]
pub struct Management {
    address: NodeAddress,
    /// The content of the secret file, every byte of it.
    secret: Box<[u8]>,
}

impl std::fmt::Debug for Management {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Management").field("address", &self.address).finish_non_exhaustive()
    }
}

/// How long a list of bans is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// So many.
    Exactly(u64),
    /// So many were shown, then Varnish cut the answer off (`cli_limit`).
    AtLeast(u64),
}

/// Why the length is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    /// No answer in time.
    #[error("its management port does not answer in time")]
    Timeout,
    /// The connection failed.
    #[error("its management port: {0}")]
    Io(#[from] std::io::Error),
    /// The answer is not what `varnishd` says.
    #[error("its management port does not speak Varnish's protocol")]
    Protocol,
    /// The secret is wrong.
    #[error("its management port refuses the secret")]
    Secret,
    /// A command was refused.
    #[error("its management port answers {0}")]
    Refused(u16),
}

impl Management {
    /// The management port at this address. `secret` is what the secret file of `varnishd -S` holds,
    /// byte by byte: also a line feed at its end counts.
    #[must_use]
    pub fn new(address: NodeAddress, secret: &[u8]) -> Self {
        Self { address, secret: secret.into() }
    }

    /// Asks how many bans there are.
    pub(super) async fn bans(&self) -> Result<Length, LookError> {
        timeout(LOOK_MAX, self.look()).await.unwrap_or(Err(LookError::Timeout))
    }

    async fn look(&self) -> Result<Length, LookError> {
        let mut stream = BufReader::new(TcpStream::connect(self.address.pair()).await?);
        let (status, length) = head(&mut stream).await?;
        let greeting = text(&mut stream, length).await?;
        match status {
            200 => {}
            107 => {
                let challenge = greeting.get(..CHALLENGE_BYTES).ok_or(LookError::Protocol)?;
                let command = format!("auth {}\n", self.answer(challenge));
                stream.get_mut().write_all(command.as_bytes()).await?;
                let (status, length) = head(&mut stream).await?;
                text(&mut stream, length).await?;
                if status != 200 {
                    return Err(LookError::Secret);
                }
            }
            _ => return Err(LookError::Protocol),
        }
        stream.get_mut().write_all(b"ban.list\n").await?;
        let (status, length) = head(&mut stream).await?;
        if length > LIST_BYTES_MAX {
            return Err(LookError::Protocol);
        }
        // The first line is a title.
        let lines = lines(&mut stream, length).await?.saturating_sub(1);
        match status {
            200 => Ok(Length::Exactly(lines)),
            201 => Ok(Length::AtLeast(lines)),
            status => Err(LookError::Refused(status)),
        }
    }

    /// The answer to a challenge: a digest of it, the secret, and it again.
    fn answer(&self, challenge: &[u8]) -> String {
        let mut digest = Sha256::new();
        for part in [challenge, b"\n", &self.secret, challenge, b"\n"] {
            digest.update(part);
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Reads an answer's first line: its status and the bytes of its text.
async fn head(stream: &mut BufReader<TcpStream>) -> Result<(u16, u64), LookError> {
    let mut line = [0; HEAD_BYTES];
    stream.read_exact(&mut line).await?;
    let line = std::str::from_utf8(&line).map_err(|_| LookError::Protocol)?;
    let mut parts = line.split_ascii_whitespace();
    let status = parts.next().and_then(|part| part.parse().ok()).ok_or(LookError::Protocol)?;
    let length = parts.next().and_then(|part| part.parse().ok()).ok_or(LookError::Protocol)?;
    Ok((status, length))
}

/// Reads a short text and the line feed behind it.
async fn text(stream: &mut BufReader<TcpStream>, length: u64) -> Result<Vec<u8>, LookError> {
    if length > ANSWER_BYTES_MAX {
        return Err(LookError::Protocol);
    }
    let mut text = Vec::new();
    (&mut *stream).take(length + 1).read_to_end(&mut text).await?;
    if text.pop() == Some(b'\n') { Ok(text) } else { Err(LookError::Protocol) }
}

/// Counts the lines of a text without keeping it.
async fn lines(stream: &mut BufReader<TcpStream>, length: u64) -> Result<u64, LookError> {
    let mut text = stream.take(length);
    let mut lines = 0;
    loop {
        let part = text.fill_buf().await?;
        if part.is_empty() {
            break;
        }
        lines += part.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        let read = part.len();
        text.consume(read);
    }
    if text.limit() == 0 { Ok(lines) } else { Err(LookError::Protocol) }
}

#[cfg(test)]
#[path = "management_tests.rs"]
mod tests;
