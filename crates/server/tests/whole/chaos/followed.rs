//! The API as a publisher sees it who follows the server through all its restarts.
//!
//! What this is: the newest address, a clock that is set with the server's (a call signed by another is refused, and then
//! nothing was promised), and a look at each `fail`. A task may be shown so when a node has kept it waiting for `fail_after`, by
//! the server's own clock; that clock may have been turned since the task was accepted, and for no other reason may a task of some
//! seconds be shown as failed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use catharsis_tcapi::cdn::TaskStatus;
use catharsis_testkit::oracle::run::{NoAnswer, Purges, Wish};
use tokio::time::timeout;

use super::clock::Clock;
use crate::oracle::Publisher;
use crate::support::{Client, Server};

/// How long a publisher waits for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(4);

/// See the module.
#[derive(Debug)]
pub(super) struct Followed {
    client: Mutex<Client>,
    clock: Arc<Clock>,
    fail_after: Duration,
    /// When each task was sent.
    sent: Mutex<HashMap<String, Instant>>,
    failed_early: Mutex<Vec<String>>,
}

impl Followed {
    /// A server that shows tasks as failed after `fail_after`.
    pub(super) fn new(client: Client, clock: &Arc<Clock>, fail_after: Duration) -> Self {
        Self {
            client: Mutex::new(client),
            clock: Arc::clone(clock),
            fail_after,
            sent: Mutex::default(),
            failed_early: Mutex::default(),
        }
    }

    fn now(&self) -> Publisher {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        Publisher(client.turned(self.clock.turned()))
    }

    /// It listens elsewhere now.
    pub(super) fn follow(&self, server: &Server) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = server.client();
    }

    /// Tasks that were shown as failed too early.
    pub(super) fn failed_early(&self) -> Vec<String> {
        self.failed_early.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether `fail_after` may have passed on the server's clock since a task was sent.
    fn may_have_failed(&self, sent: Instant) -> bool {
        let turned = self.clock.turned_since(sent);
        let leap = u64::try_from(turned.end() - turned.start()).unwrap_or(0);
        sent.elapsed() + Duration::from_secs(leap) >= self.fail_after
    }

    fn judge(&self, task: &str, statuses: &[TaskStatus]) {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner).get(task).copied();
        if let Some(sent) = sent.filter(|_| statuses.contains(&TaskStatus::Fail))
            && !self.may_have_failed(sent)
        {
            let early = format!("task {task} was shown as failed {:.1?} after it was sent", sent.elapsed());
            self.failed_early.lock().unwrap_or_else(PoisonError::into_inner).push(early);
        }
    }
}

#[async_trait]
impl Purges for Followed {
    async fn purge(&self, wish: &Wish) -> Result<String, NoAnswer> {
        let sent = Instant::now();
        let answer = timeout(ANSWER_MAX, self.now().purge(wish)).await;
        let task = answer.unwrap_or_else(|_| Err(NoAnswer("no answer in time".to_owned())))?;
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).insert(task.clone(), sent);
        Ok(task)
    }

    async fn is_done(&self, task: &str) -> Result<bool, NoAnswer> {
        let answer = timeout(ANSWER_MAX, self.now().statuses(task)).await;
        let statuses = answer.unwrap_or_else(|_| Err(NoAnswer("no answer in time".to_owned())))?;
        self.judge(task, &statuses);
        Ok(Publisher::all_done(&statuses))
    }

    async fn why_not(&self, task: &str) -> String {
        let told = timeout(ANSWER_MAX, self.now().why_not(task)).await;
        told.unwrap_or_else(|_| "no answer in time".to_owned())
    }
}

#[test]
fn chaos_catches_a_task_that_is_shown_as_failed_before_its_time() {
    let (nowhere, clock) = (std::net::SocketAddr::from(([127, 0, 0, 1], 1)), Arc::new(Clock::right()));
    let api = Followed::new(Client::new(nowhere), &clock, Duration::from_secs(600));
    let sent = |task: &str| api.sent.lock().expect("not poisoned").insert(task.to_owned(), Instant::now());
    let shown = |task: &str| {
        api.judge(task, &[TaskStatus::Done, TaskStatus::Fail]);
        api.failed_early().len()
    };
    sent("a");
    assert_eq!(shown("a"), 1, "nothing happened to the clock");
    clock.turn(500);
    assert_eq!(shown("a"), 2, "it was not turned far enough");
    clock.turn(-500);
    assert_eq!(shown("a"), 2, "first one way and then the other is a thousand seconds");
    sent("b");
    assert_eq!(shown("b"), 3, "accepted after it was turned");
}
