//! The program that Squid starts: it asks the agent for each request.
//!
//! What this is: lines from Squid to the agent and back, over one connection, any number under way
//! (Squid's `concurrency=`). What this is not: a decision; it knows no URL.
//!
//! Invariant: each line is answered once. What the agent does not answer in time is answered by a name
//! that was never given and never will be: such a response is found by nobody, now or later. So a
//! missing agent costs hits, and never a purge. It also lacks the note by which the sample configuration knows
//! what the agent has named, so it is not even kept.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout};

/// How long the agent may leave all lines unanswered. It looks into its memory only.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Time for a connection to a program on the same machine.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// Pause between two tries to reach the agent; meanwhile requests go on without it.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Bytes of a line: more than Squid's longest URL with its header field.
const LINE_BYTES_MAX: u64 = 128 << 10;

struct Agent {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

/// Names that are given once.
struct Unique {
    beginning: String,
    count: u64,
}

impl Unique {
    fn new() -> Self {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_nanos());
        Self { beginning: format!("unnamed:{nanos:x}-{:016x}", rand::random::<u64>()), count: 0 }
    }

    fn answer(&mut self, channel: &str) -> String {
        self.count += 1;
        format!("{channel} OK store-id=\"{}.{}\"\n", self.beginning, self.count)
    }
}

/// Runs until Squid closes standard input.
///
/// # Errors
/// When standard input or output fails: Squid is gone then.
pub async fn run(agent: &str) -> anyhow::Result<()> {
    let (mut squid, mut out) = (BufReader::new(tokio::io::stdin()), tokio::io::stdout());
    let mut state = State { agent: agent.to_owned(), connection: None, again_at: Instant::now(), said: false };
    let mut unique = Unique::new();
    // Channels whose answer the agent owes. Squid bounds them by its `concurrency=`.
    let mut owed: HashSet<String> = HashSet::new();
    let (mut line, mut answer) = (Vec::new(), Vec::new());
    let mut patience = Instant::now() + ANSWER_WITHIN;
    loop {
        let event = next(&mut squid, &mut line, &mut state, &mut answer, (!owed.is_empty()).then_some(patience)).await;
        match event {
            Event::Asked(read) => {
                if read.context("standard input")? == 0 || line.last() != Some(&b'\n') {
                    return Ok(());
                }
                let channel = String::from_utf8_lossy(&line).split(' ').next().unwrap_or_default().to_owned();
                state.connect().await;
                let sent = state.send(&line).await;
                line.clear();
                // From here on, however long Squid asked for nothing before.
                if owed.is_empty() {
                    patience = Instant::now() + ANSWER_WITHIN;
                }
                owed.insert(channel);
                if !sent {
                    give_up(&mut state, &mut owed, &mut unique, &mut out).await?;
                }
            }
            Event::Answered(Ok(read)) if read > 0 && answer.last() == Some(&b'\n') => {
                let text = String::from_utf8_lossy(&answer).into_owned();
                // An answer that nobody waits for any more must not be given twice.
                if owed.remove(text.split(' ').next().unwrap_or_default()) {
                    out.write_all(&answer).await.context("standard output")?;
                    out.flush().await.context("standard output")?;
                }
                answer.clear();
                patience = Instant::now() + ANSWER_WITHIN;
            }
            Event::Answered(_) | Event::Late => {
                answer.clear();
                give_up(&mut state, &mut owed, &mut unique, &mut out).await?;
            }
        }
    }
}

/// Waits for a line of either side, or until patience ends. A line that was read in part stays in its
/// buffer, so whoever loses goes on from there.
async fn next(
    squid: &mut BufReader<tokio::io::Stdin>,
    line: &mut Vec<u8>,
    state: &mut State,
    answer: &mut Vec<u8>,
    patience: Option<Instant>,
) -> Event {
    let mut asking = squid.take(LINE_BYTES_MAX);
    let asked = asking.read_until(b'\n', line);
    let Some(agent) = &mut state.connection else { return Event::Asked(asked.await) };
    let mut answering = (&mut agent.reader).take(LINE_BYTES_MAX);
    let late = async {
        match patience {
            Some(patience) => tokio::time::sleep_until(patience).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        read = asked => Event::Asked(read),
        read = answering.read_until(b'\n', answer) => Event::Answered(read),
        () = late => Event::Late,
    }
}

enum Event {
    Asked(std::io::Result<usize>),
    Answered(std::io::Result<usize>),
    Late,
}

struct State {
    agent: String,
    connection: Option<Agent>,
    again_at: Instant,
    said: bool,
}

impl State {
    async fn connect(&mut self) {
        if self.connection.is_some() || Instant::now() < self.again_at {
            return;
        }
        self.again_at = Instant::now() + AGAIN_AFTER;
        let connected = timeout(CONNECT_WITHIN, TcpStream::connect(&self.agent)).await;
        let why = match connected {
            Ok(Ok(stream)) => match stream.set_nodelay(true) {
                Ok(()) => {
                    let (reader, writer) = stream.into_split();
                    self.connection = Some(Agent { reader: BufReader::with_capacity(64 << 10, reader), writer });
                    self.said = false;
                    return;
                }
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no connection in time".to_owned(),
        };
        self.say(&why);
    }

    async fn send(&mut self, line: &[u8]) -> bool {
        match &mut self.connection {
            None => false,
            Some(agent) => timeout(ANSWER_WITHIN, agent.writer.write_all(line)).await.is_ok_and(|it| it.is_ok()),
        }
    }

    /// Once for each time that the agent is lost; Squid writes it to its log.
    fn say(&mut self, why: &str) {
        if !self.said {
            eprintln!("catharsis store-id: the agent {} is not reached, so nothing is a hit: {why}", self.agent);
            self.said = true;
        }
    }
}

/// Answers all that the agent owes, and leaves its connection: what it says later would be too late.
async fn give_up(
    state: &mut State,
    owed: &mut HashSet<String>,
    unique: &mut Unique,
    out: &mut tokio::io::Stdout,
) -> anyhow::Result<()> {
    if state.connection.take().is_some() {
        state.say("it has closed the connection or does not answer");
    }
    let answers: String = owed.drain().map(|channel| unique.answer(&channel)).collect();
    out.write_all(answers.as_bytes()).await.context("standard output")?;
    out.flush().await.context("standard output")
}
