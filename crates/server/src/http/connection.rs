//! One connection, and how long it may take over each thing.
//!
//! What this is: a record of what a connection is doing ([`Watch`]), kept by its stream and its requests;
//! a decision of what its peer must do by when ([`Doing::next`]); and the loop that ends it when the peer
//! does not. What this is not: a limit on answering itself; whoever answers bounds that.
//!
//! Invariant: at every moment in which the peer must act, there is a time by which it must have.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, Version};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a look is put off when the peer owes nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What a peer has time for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// To send the headers of a request, and to begin the first one.
    pub header: Duration,
    /// To begin another request.
    pub idle: Duration,
    /// To take an answer.
    pub write: Duration,
    /// Requests that a connection may make.
    pub requests: u32,
}

/// Why a connection was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Overdue {
    /// It did not send the headers of a request in time.
    #[error("no whole request headers in time")]
    Headers,
    /// It did not take an answer in time.
    #[error("the answer was not taken in time")]
    Answer,
    /// It was asked to end and did not.
    #[error("it did not end when it was idle")]
    Idle,
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nothing before this moment.
    Wait(Instant),
    /// No further request is wanted.
    Close,
    /// The peer's time is over.
    Drop(Overdue),
}

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// HTTP/1: bytes that come while nothing is under way begin the next request.
    OneByOne,
    /// HTTP/2: they may as well be the protocol's own, such as a PING.
    Multiplexed,
}

/// What a connection is doing.
#[derive(Debug)]
struct Doing {
    /// The last moment at which it became idle; at first, that of its opening.
    idle_since: Instant,
    /// HTTP/1: when the first byte of the next request came.
    head_since: Option<Instant>,
    /// When it began to take no more bytes; it has not taken all since.
    blocked_since: Option<Instant>,
    /// Requests being answered.
    answering: usize,
    /// Answers being sent, oldest first: as many as there are streams at most.
    sending: VecDeque<(u32, Instant)>,
    /// Requests so far.
    requests: u32,
    order: Order,
    /// Since when no further request is wanted.
    closing: Option<Instant>,
}

impl Doing {
    const fn new(now: Instant) -> Self {
        Self {
            idle_since: now,
            head_since: None,
            blocked_since: None,
            answering: 0,
            sending: VecDeque::new(),
            requests: 0,
            order: Order::OneByOne,
            closing: None,
        }
    }

    fn is_idle(&self) -> bool {
        self.answering == 0 && self.sending.is_empty()
    }

    /// What is to be done now, or when to look again.
    fn next(&self, now: Instant, patience: &Patience) -> Next {
        if self.closing.is_none() && self.requests >= patience.requests {
            return Next::Close;
        }
        let unsent = self.sending.front().map(|(_, since)| *since);
        if let Some(since) = [self.blocked_since, unsent].into_iter().flatten().min() {
            return wait_or(now, since + patience.write, Next::Drop(Overdue::Answer));
        }
        if !self.is_idle() {
            return Next::Wait(now + LOOK_AGAIN);
        }
        if let Some(since) = self.closing {
            // HTTP/2 answers may still be under way within the connection's own buffers.
            return wait_or(now, since + patience.write, Next::Drop(Overdue::Idle));
        }
        let head = if self.requests == 0 { Some(self.idle_since) } else { self.head_since };
        match head {
            Some(since) => wait_or(now, since + patience.header, Next::Drop(Overdue::Headers)),
            None => wait_or(now, self.idle_since + patience.idle, Next::Close),
        }
    }
}

fn wait_or(now: Instant, until: Instant, then: Next) -> Next {
    if now < until { Next::Wait(until) } else { then }
}

/// The record of a connection, shared by its stream, its requests and its loop.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    doing: Arc<Mutex<Doing>>,
    patience: Patience,
}

impl Watch {
    pub(super) fn new(patience: Patience) -> Self {
        Self { doing: Arc::new(Mutex::new(Doing::new(Instant::now()))), patience }
    }

    /// Never held across an await; a panic while it is held leaves counts that are at worst one off.
    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has arrived.
    pub(super) fn begin(&self, version: Version) -> Exchange {
        let mut doing = self.doing();
        doing.head_since = None;
        doing.answering += 1;
        doing.requests = doing.requests.saturating_add(1);
        let id = doing.requests;
        let last = id >= self.patience.requests;
        if version == Version::HTTP_2 {
            doing.order = Order::Multiplexed;
        }
        drop(doing);
        Exchange { watch: self.clone(), id, version, stage: Stage::Answering, last }
    }

    fn is_closing(&self) -> bool {
        self.doing().closing.is_some()
    }

    /// Marks it as closing; false if it was before.
    fn close(&self) -> bool {
        let mut doing = self.doing();
        let first = doing.closing.is_none();
        doing.closing.get_or_insert_with(Instant::now);
        first
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Answering,
    Sending,
}

/// One request, from its headers to the end of its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    watch: Watch,
    id: u32,
    version: Version,
    stage: Stage,
    last: bool,
}

impl Exchange {
    /// Whether HTTP/1 must be told that this answer is the connection's last.
    pub(super) fn is_last(&self) -> bool {
        self.last && self.version != Version::HTTP_2
    }

    /// The answer is there: from now on it is the peer's turn.
    pub(super) fn answered(mut self, response: Response<Full<Bytes>>) -> Response<Answer> {
        let mut doing = self.watch.doing();
        doing.answering -= 1;
        doing.sending.push_back((self.id, Instant::now()));
        drop(doing);
        self.stage = Stage::Sending;
        response.map(|body| Answer { body, rest: Bytes::new(), exchange: self })
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut doing = self.watch.doing();
        match self.stage {
            Stage::Answering => doing.answering -= 1,
            Stage::Sending => doing.sending.retain(|(id, _)| *id != self.id),
        }
        if doing.is_idle() {
            doing.idle_since = Instant::now();
        }
    }
}

/// Bytes of an answer that HTTP/2 gets at once. It takes over whatever it gets as soon as the peer's window
/// is open at all, and keeps it; the rest stays here, where it shows that the answer is not sent yet.
const PIECE: usize = 64 * 1024;

/// The body of an answer; the exchange ends with it.
#[derive(Debug)]
pub(super) struct Answer {
    body: Full<Bytes>,
    rest: Bytes,
    exchange: Exchange,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.exchange.version != Version::HTTP_2 {
            return Pin::new(&mut self.body).poll_frame(cx);
        }
        if self.rest.is_empty() {
            let Some(Ok(frame)) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else { return Poll::Ready(None) };
            // A body in memory has no trailers.
            self.rest = frame.into_data().unwrap_or_default();
        }
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64 + self.body.size_hint().lower())
    }
}

/// A stream that tells its watch when bytes come, and when none are taken.
#[derive(Debug)]
pub(super) struct WatchedStream<S> {
    stream: S,
    watch: Watch,
}

impl<S> WatchedStream<S> {
    pub(super) const fn new(stream: S, watch: Watch) -> Self {
        Self { stream, watch }
    }

    fn blocked<T>(&self, outcome: Poll<T>) -> Poll<T> {
        if outcome.is_pending() {
            self.watch.doing().blocked_since.get_or_insert_with(Instant::now);
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            let mut doing = self.watch.doing();
            if doing.order == Order::OneByOne && doing.is_idle() {
                doing.head_since.get_or_insert_with(Instant::now);
            }
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.blocked(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.blocked(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Flushed means that everything was taken: HTTP flushes after it has written all that it has.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        if outcome.is_ready() {
            self.watch.doing().blocked_since = None;
        }
        self.blocked(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.blocked(outcome)
    }
}

/// Drives a connection to its end, which may be one that the watch demands. After `stop`, it takes no
/// further request.
pub(super) async fn drive<C>(connection: C, watch: &Watch, stop: &CancellationToken) -> Result<(), Ended<C::Error>>
where
    C: GracefulConnection,
{
    let mut connection = pin!(connection);
    let mut stopped = pin!(stop.cancelled());
    let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
                return Poll::Ready(outcome.map_err(Ended::Http));
            }
            // Everything that shortens the peer's time happens while the connection is polled, or wakes it.
            let now = Instant::now();
            let next = watch.doing().next(now, &watch.patience);
            let close = match next {
                Next::Drop(why) => return Poll::Ready(Err(Ended::Overdue(why))),
                Next::Close => true,
                Next::Wait(until) => {
                    // Armed too early is harmless: then it only looks again.
                    if until < timer.deadline() || timer.is_elapsed() {
                        timer.as_mut().reset(until);
                    }
                    !watch.is_closing() && stopped.as_mut().poll(cx).is_ready()
                }
            };
            if close && watch.close() {
                connection.as_mut().graceful_shutdown();
            } else if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// How a connection failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended<E> {
    /// Its peer took too long.
    #[error(transparent)]
    Overdue(#[from] Overdue),
    /// HTTP itself.
    #[error("{0}")]
    Http(E),
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        header: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(30),
        requests: 3,
    };

    /// What is done at a second, of a connection opened at second 0.
    fn at(second: u64, opened: Instant, watch: &Watch) -> Next {
        watch.doing().next(opened + Duration::from_secs(second), &PATIENCE)
    }

    fn second(opened: Instant, second: u64) -> Next {
        Next::Wait(opened + Duration::from_secs(second))
    }

    fn answer(watch: &Watch, version: Version) -> Response<Answer> {
        watch.begin(version).answered(Response::new(Full::new(Bytes::from_static(b"answer"))))
    }

    #[tokio::test(start_paused = true)]
    async fn first_request_has_the_time_of_headers_and_further_ones_that_of_idleness() {
        let (opened, watch) = (Instant::now(), Watch::new(PATIENCE));
        assert_eq!(at(0, opened, &watch), second(opened, 10));
        assert_eq!(at(10, opened, &watch), Next::Drop(Overdue::Headers));

        drop(answer(&watch, Version::HTTP_11));
        assert_eq!(at(10, opened, &watch), second(opened, 60));
        assert_eq!(at(60, opened, &watch), Next::Close);
        assert!(watch.close() && !watch.close());
        assert_eq!(at(60, opened, &watch), Next::Drop(Overdue::Idle), "closing began at second 0 of the paused clock");
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_begin_a_request_of_http1_and_mean_nothing_in_http2() {
        for (version, expected) in [(Version::HTTP_11, 10), (Version::HTTP_2, 60)] {
            let (opened, watch) = (Instant::now(), Watch::new(PATIENCE));
            drop(answer(&watch, version));
            let mut stream = WatchedStream::new(&b"G"[..], watch.clone());
            tokio::io::AsyncReadExt::read_u8(&mut stream).await.expect("a byte in memory");
            assert_eq!(at(1, opened, &watch), second(opened, expected), "{version:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answering_has_no_time_and_taking_the_oldest_answer_has() {
        let (opened, watch) = (Instant::now(), Watch::new(PATIENCE));
        let long = watch.begin(Version::HTTP_2);
        assert!(matches!(at(1_000, opened, &watch), Next::Wait(_)));
        let oldest = answer(&watch, Version::HTTP_2);
        tokio::time::advance(Duration::from_secs(20)).await;
        let newer = long.answered(Response::default());
        assert_eq!(at(20, opened, &watch), second(opened, 30));
        assert_eq!(at(30, opened, &watch), Next::Drop(Overdue::Answer));
        drop(oldest);
        assert_eq!(at(30, opened, &watch), second(opened, 50));
        drop(newer);
        assert_eq!(at(30, opened, &watch), second(opened, 80));
    }

    #[tokio::test(start_paused = true)]
    async fn connection_closes_after_its_number_of_requests_and_is_told_with_the_last() {
        let (opened, watch) = (Instant::now(), Watch::new(PATIENCE));
        for _ in 0..2 {
            let exchange = watch.begin(Version::HTTP_11);
            assert!(!exchange.is_last());
        }
        assert_eq!(at(0, opened, &watch), second(opened, 60));
        assert!(watch.begin(Version::HTTP_11).is_last());
        assert_eq!(at(0, opened, &watch), Next::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn stream_that_takes_nothing_has_the_time_of_an_answer_until_it_has_taken_all() {
        let (opened, watch) = (Instant::now(), Watch::new(PATIENCE));
        let (near, mut far) = tokio::io::duplex(4);
        let mut near = WatchedStream::new(near, watch.clone());
        drop(answer(&watch, Version::HTTP_11));
        let mut blocked = Box::pin(tokio::io::AsyncWriteExt::write_all(&mut near, b"too much"));
        assert!(poll_fn(|cx| Poll::Ready(blocked.as_mut().poll(cx).is_pending())).await);
        assert_eq!(at(29, opened, &watch), second(opened, 30));
        assert_eq!(at(30, opened, &watch), Next::Drop(Overdue::Answer));

        let mut taken = [0; 8];
        let (wrote, read) = tokio::join!(blocked, tokio::io::AsyncReadExt::read_exact(&mut far, &mut taken));
        wrote.and(read).expect("both ends are here");
        tokio::io::AsyncWriteExt::flush(&mut near).await.expect("both ends are here");
        assert_eq!(at(30, opened, &watch), second(opened, 60));
    }
}
