//! A real cache that crashes, comes back, and stands still.
//!
//! What this is: signals to a cache's own processes, the first one and those that it started, found by
//! their parents. What this is not: a way to reach any other process.

use std::process::Command;

use super::RealCache;

impl RealCache {
    /// Ends all its processes at once (SIGKILL), as a machine does that loses its power; what it wrote stays.
    ///
    /// # Panics
    /// When they cannot be ended.
    pub fn crash(&mut self) {
        // Stopped first: the first process must not start others in the place of those that die.
        self.signal("STOP");
        self.signal("KILL");
        self.process.wait().expect("our own child");
    }

    /// Starts it again at the same addresses, with what it had kept on disk.
    ///
    /// # Panics
    /// When it does not come back.
    pub async fn restart(&mut self) {
        // Its processes that were not our own children may need a moment to leave their ports.
        self.process = super::start(&mut self.command, &self.directory, "what it was started with");
        self.listens(self.traffic).await;
        self.listens(self.purge).await;
    }

    /// Sends a signal (`STOP`, `CONT`, `KILL`) to each of its processes.
    ///
    /// # Panics
    /// When its first process cannot be reached.
    pub fn signal(&self, name: &str) {
        for process in descent(self.process.id()) {
            let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).output();
            // One of its workers may have ended by itself meanwhile; the first has not, it is our child.
            let reached = sent.is_ok_and(|sent| sent.status.success());
            assert!(reached || process != self.process.id(), "our own child can be reached");
        }
    }
}

/// A process and all that descend from it, parents first.
fn descent(first: u32) -> Vec<u32> {
    let mut found = vec![first];
    let mut next = 0;
    while let Some(process) = found.get(next) {
        // Children are listed by the thread that started them.
        let threads = std::fs::read_dir(format!("/proc/{process}/task"));
        for thread in threads.into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        next += 1;
    }
    found
}
