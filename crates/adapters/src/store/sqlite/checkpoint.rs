//! Copying the write-ahead log back into the main file.
//!
//! What this is: a thread with a connection of its own that does, a few times a second, what SQLite
//! would otherwise do inside single commits, which made one commit in a hundred three times slower
//! (measured). What this is not: needed for durability; that is the commit's own sync.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::{OpenError, Shared, schema};

/// How often the log is copied back while there are commits.
const EVERY: Duration = Duration::from_millis(250);
/// Pages in the log (4 KiB each) beyond which the writer is held for a moment so that the log can
/// begin anew: under steady load a polite checkpoint never finds it unused. 64 MiB.
const PAGES_MAX: i64 = 16_384;

/// The writer's end: dropping it ends the thread after a last checkpoint.
#[derive(Debug)]
pub(super) struct Checkpoints {
    dirty: Arc<AtomicBool>,
    _alive: SyncSender<()>,
}

impl Checkpoints {
    /// Notes that there is something to copy.
    pub(super) fn wanted(&self) {
        // Relaxed: only a hint; a missed one is seen a quarter of a second later.
        self.dirty.store(true, Ordering::Relaxed);
    }
}

/// Starts the thread.
pub(super) fn start(path: &Path, shared: Arc<Shared>) -> Result<(Checkpoints, JoinHandle<()>), OpenError> {
    let connection = schema::connect(path)?;
    let dirty = Arc::new(AtomicBool::new(true));
    let (alive, gone) = sync_channel(0);
    let seen = Arc::clone(&dirty);
    let thread = std::thread::Builder::new().name("store-checkpoint".to_owned()).spawn(move || {
        run(&connection, &gone, &seen);
        // The lock inside goes last: until here this thread may touch the file.
        drop(connection);
        drop(shared);
    })?;
    let checkpoints = Checkpoints { dirty, _alive: alive };
    Ok((checkpoints, thread))
}

fn run(connection: &Connection, gone: &Receiver<()>, dirty: &AtomicBool) {
    while gone.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        if dirty.swap(false, Ordering::Relaxed) {
            let pages = checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)");
            if pages > PAGES_MAX {
                checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)");
            }
        }
    }
    checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
}

/// Returns the pages in the log.
fn checkpoint(connection: &Connection, pragma: &str) -> i64 {
    match connection.query_row(pragma, [], |row| row.get(1)) {
        Ok(pages) => pages,
        Err(error) => {
            // Nothing is lost: the log stays as it is, and the next round tries again.
            tracing::warn!(%error, "the write-ahead log could not be copied back");
            0
        }
    }
}
