//! A fetch under way, and those who read along.
//!
//! What this is: the pieces of a body in the order in which they come, one writer, many readers at
//! their own pace.
//!
//! Invariant: a reader gets the whole body or an error, never a silent end; and what a fill holds
//! is bounded by `limit` plus one piece. A body within the limit is kept whole. One that outgrows it
//! can no longer be joined, and its pieces go once all readers have passed them; a reader that lies
//! more than the limit behind is given up. The writer cannot wait for it: the proxy drives the
//! writer and its own reader in one task. That reader takes all there is at once, and while the
//! proxy sends it to the client it writes nothing, so it keeps up by itself.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

/// The body will not be complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FillError {
    /// The upstream failed, or the writer was dropped.
    #[error("the fetch ended before the body did")]
    Broken,
    /// This reader was too slow for a body that is too large to keep.
    #[error("the body is too large to keep, and was read too slowly")]
    Lagging,
}

/// The pieces of a body under way.
#[derive(Debug)]
pub(crate) struct Fill {
    state: Mutex<State>,
    changed: Notify,
    limit: usize,
}

#[derive(Debug)]
struct State {
    pieces: VecDeque<Bytes>,
    /// Number of the piece that stands first in `pieces`.
    first: usize,
    bytes_held: usize,
    phase: Phase,
    /// The piece that each reader reads next.
    readers: HashMap<u64, usize>,
    next_reader: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Oversize,
    Complete,
    Failed,
}

/// Whether a body can still be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Kept,
    /// This piece made it too large.
    Outgrown,
}

enum Next {
    Piece(Bytes),
    End,
    Wait,
}

impl Fill {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::new(State {
                pieces: VecDeque::new(),
                first: 0,
                bytes_held: 0,
                phase: Phase::Open,
                readers: HashMap::new(),
                next_reader: 0,
            }),
            changed: Notify::new(),
            limit,
        }
    }

    /// Appends a piece.
    pub(crate) fn push(&self, piece: Bytes) -> Result<Size, FillError> {
        let mut state = self.state();
        let size = state.push(piece, self.limit)?;
        drop(state);
        self.changed.notify_waiters();
        Ok(size)
    }

    /// The body has ended well; gives it when it was kept.
    pub(crate) fn complete(&self) -> Option<Bytes> {
        let mut state = self.state();
        let body = match state.phase {
            // One exact buffer: pieces are slices of larger read buffers, which they keep alive.
            Phase::Open => {
                let mut body = BytesMut::with_capacity(state.bytes_held);
                state.pieces.iter().for_each(|it| body.extend_from_slice(it));
                Some(body.freeze())
            }
            Phase::Oversize | Phase::Complete | Phase::Failed => None,
        };
        if matches!(state.phase, Phase::Open | Phase::Oversize) {
            state.phase = Phase::Complete;
        }
        drop(state);
        self.changed.notify_waiters();
        body
    }

    /// The body will not be complete, unless it already is.
    pub(crate) fn fail(&self) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Open | Phase::Oversize) {
            state.phase = Phase::Failed;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Reads along from the beginning, when that is still there.
    pub(crate) fn join(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.state();
        match state.phase {
            Phase::Open | Phase::Complete if state.first == 0 => {}
            Phase::Open | Phase::Complete | Phase::Oversize | Phase::Failed => return None,
        }
        let id = state.next_reader;
        state.next_reader += 1;
        state.readers.insert(id, 0);
        drop(state);
        Some(Reader { fill: Arc::clone(self), id })
    }

    // Every change of the state is one step, so a poisoned lock holds a whole state.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, piece: Bytes, limit: usize) -> Result<Size, FillError> {
        if self.phase == Phase::Failed {
            return Err(FillError::Broken);
        }
        if piece.is_empty() {
            return Ok(Size::Kept);
        }
        self.bytes_held += piece.len();
        self.pieces.push_back(piece);
        if self.bytes_held <= limit {
            return Ok(Size::Kept);
        }
        let size = match self.phase {
            Phase::Open => Size::Outgrown,
            Phase::Oversize | Phase::Complete | Phase::Failed => Size::Kept,
        };
        self.phase = Phase::Oversize;
        self.drop_passed();
        while self.bytes_held > limit && self.pieces.len() > 1 {
            // Those who still stand at the first piece; when nobody is left all pieces go.
            let first = self.first;
            self.readers.retain(|_, at| *at > first);
            self.drop_passed();
        }
        Ok(size)
    }

    fn next(&mut self, reader: u64) -> Result<Next, FillError> {
        if self.phase == Phase::Failed {
            return Err(FillError::Broken);
        }
        let Some(at) = self.readers.get_mut(&reader) else {
            return Err(FillError::Lagging);
        };
        let mut pending = self.pieces.range(*at - self.first..);
        if let Some(piece) = pending.next() {
            let mut piece = piece.clone();
            *at += 1;
            if self.phase == Phase::Oversize {
                let mut all = BytesMut::from(piece);
                pending.for_each(|it| all.extend_from_slice(it));
                *at = self.first + self.pieces.len();
                piece = all.freeze();
                self.drop_passed();
            }
            return Ok(Next::Piece(piece));
        }
        Ok(match self.phase {
            Phase::Complete => Next::End,
            Phase::Open | Phase::Oversize | Phase::Failed => Next::Wait,
        })
    }

    /// Drops the pieces that every reader has passed; all of them when nobody reads.
    fn drop_passed(&mut self) {
        let end = self.first + self.pieces.len();
        let slowest = self.readers.values().copied().min().unwrap_or(end);
        while self.first < slowest {
            let Some(piece) = self.pieces.pop_front() else {
                break;
            };
            self.bytes_held -= piece.len();
            self.first += 1;
        }
    }
}

/// One who reads along.
#[derive(Debug)]
pub(crate) struct Reader {
    fill: Arc<Fill>,
    id: u64,
}

impl Reader {
    /// The next piece; `None` at the end of a complete body.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FillError> {
        loop {
            let changed = self.fill.changed.notified();
            tokio::pin!(changed);
            // Listens before it looks: a piece that comes in between is not missed.
            changed.as_mut().enable();
            let next = self.fill.state().next(self.id)?;
            match next {
                Next::Piece(piece) => return Ok(Some(piece)),
                Next::End => return Ok(None),
                Next::Wait => changed.await,
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.fill.state();
        state.readers.remove(&self.id);
        if state.phase == Phase::Oversize {
            state.drop_passed();
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[tokio::test]
    async fn readers_get_the_whole_body_at_their_own_pace() {
        let fill = Arc::new(Fill::new(10));
        let mut early = fill.join().unwrap();
        fill.push(bytes("ab")).unwrap();
        assert_eq!(early.next().await, Ok(Some(bytes("ab"))));
        fill.push(bytes("cd")).unwrap();
        let mut late = fill.join().unwrap();
        assert_eq!(fill.complete(), Some(bytes("abcd")));
        assert_eq!(early.next().await, Ok(Some(bytes("cd"))));
        assert_eq!(early.next().await, Ok(None));
        assert_eq!(late.next().await, Ok(Some(bytes("ab"))));
    }

    #[tokio::test]
    async fn broken_fetch_is_an_error_and_not_an_end() {
        let fill = Arc::new(Fill::new(10));
        let mut reader = fill.join().unwrap();
        fill.push(bytes("ab")).unwrap();
        fill.fail();
        assert_eq!(reader.next().await, Err(FillError::Broken));
    }

    #[tokio::test]
    async fn oversize_body_passes_through_in_bounded_memory() {
        let fill = Arc::new(Fill::new(3));
        let mut reader = fill.join().unwrap();
        fill.push(bytes("ab")).unwrap();
        assert_eq!(reader.next().await, Ok(Some(bytes("ab"))));
        assert_eq!(fill.push(bytes("cd")), Ok(Size::Outgrown));
        assert!(fill.join().is_none());
        assert_eq!(reader.next().await, Ok(Some(bytes("cd"))));
        assert_eq!(fill.state().bytes_held, 0);
        assert_eq!(fill.push(bytes("efgh")), Ok(Size::Kept), "one piece always fits");
        assert_eq!(reader.next().await, Ok(Some(bytes("efgh"))));
        fill.push(bytes("i")).unwrap();
        fill.push(bytes("j")).unwrap();
        assert_eq!(reader.next().await, Ok(Some(bytes("ij"))), "all there is at once");
        assert_eq!(fill.complete(), None);
    }

    #[tokio::test]
    async fn slow_reader_of_an_oversize_body_is_given_up_and_others_are_not() {
        let fill = Arc::new(Fill::new(3));
        let (mut fast, mut slow) = (fill.join().unwrap(), fill.join().unwrap());
        for piece in ["ab", "cd", "ef"] {
            fill.push(bytes(piece)).unwrap();
            assert_eq!(fast.next().await, Ok(Some(bytes(piece))));
        }
        assert_eq!(slow.next().await, Err(FillError::Lagging));
        fill.complete();
        assert_eq!(fast.next().await, Ok(None));
    }
}
