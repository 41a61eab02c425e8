//! Which notices may be sent now (pure).
//!
//! What this is: the bounds on what is under way, in all and to each endpoint, and the rest of endpoints
//! that do not answer. What this is not: durable; after a restart each endpoint is tried anew.
//!
//! Invariant: one notice is under way once; an endpoint that does not answer is tried by one message at a
//! time, with rests between, so that it cannot take the others' places.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use catharsis_core::clock::Tick;
use catharsis_core::notice::Notice;
use catharsis_core::notify::{Answer, rest};
use catharsis_core::task::{AccountId, TaskId};

/// Messages under way to one endpoint.
const PER_ENDPOINT: usize = 2;

/// The bounds and what counts towards them.
#[derive(Debug)]
pub(super) struct Desk {
    at_once: usize,
    endpoints: HashMap<(AccountId, Box<str>), Endpoint>,
}

#[derive(Debug, Default)]
struct Endpoint {
    under_way: HashSet<TaskId>,
    trouble: Option<Trouble>,
}

impl Endpoint {
    fn rests(&self, now: Tick) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.rests_until > now)
    }
}

#[derive(Debug)]
struct Trouble {
    failures: u32,
    rests_until: Tick,
    why: String,
}

/// What may be done about a due notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts as under way from now on.
    Send,
    /// It is under way already, or its endpoint has enough.
    Wait,
    /// Its endpoint rests.
    Rests {
        /// For how long.
        left: Duration,
        /// Why.
        why: String,
    },
}

impl Desk {
    /// A desk for so many messages at once.
    pub(super) fn new(at_once: usize) -> Self {
        Self { at_once, endpoints: HashMap::new() }
    }

    /// Whether there is room for another message.
    pub(super) fn has_room(&self) -> bool {
        self.endpoints.values().map(|endpoint| endpoint.under_way.len()).sum::<usize>() < self.at_once
    }

    /// Decides about a due notice.
    pub(super) fn admit(&mut self, notice: &Notice, now: Tick) -> Verdict {
        let has_room = self.has_room();
        let endpoint = self.endpoints.entry(key(notice)).or_default();
        if endpoint.under_way.contains(&notice.task) {
            return Verdict::Wait;
        }
        let most = match &endpoint.trouble {
            None => PER_ENDPOINT,
            Some(trouble) if trouble.rests_until > now => {
                return Verdict::Rests { left: trouble.rests_until.since(now), why: trouble.why.clone() };
            }
            Some(_) => 1,
        };
        if !has_room || endpoint.under_way.len() >= most {
            return Verdict::Wait;
        }
        endpoint.under_way.insert(notice.task.clone());
        Verdict::Send
    }

    /// A message is no longer under way; `answer` is what its endpoint said, if it was asked.
    pub(super) fn landed(&mut self, notice: &Notice, answer: Option<&Answer>, now: Tick) {
        let Some(endpoint) = self.endpoints.get_mut(&key(notice)) else { return };
        endpoint.under_way.remove(&notice.task);
        match answer {
            None => {}
            // The rest has begun meanwhile: both messages met the same silence.
            Some(answer) if answer.is_of_all() && endpoint.rests(now) => {}
            Some(answer) if answer.is_of_all() => {
                let failures = endpoint.trouble.as_ref().map_or(0, |it| it.failures).saturating_add(1);
                let rests_until = now.after(rest(failures, answer));
                endpoint.trouble = Some(Trouble { failures, rests_until, why: answer.to_string() });
            }
            Some(_) => endpoint.trouble = None,
        }
    }

    /// Forgets endpoints about which there is nothing to know, or that are gone.
    pub(super) fn sweep(&mut self, exists: impl Fn(AccountId, &str) -> bool) {
        self.endpoints.retain(|(account, name), endpoint| {
            !endpoint.under_way.is_empty() || (endpoint.trouble.is_some() && exists(*account, name))
        });
    }
}

fn key(notice: &Notice) -> (AccountId, Box<str>) {
    (notice.account, notice.endpoint.clone())
}

#[cfg(test)]
mod tests {
    use catharsis_core::clock::UnixMillis;
    use catharsis_core::receipt::Reason;

    use super::*;

    fn notice(endpoint: &str, task: u64) -> Notice {
        let task = TaskId::new(UnixMillis(0), task);
        Notice { task, account: AccountId(1), endpoint: endpoint.into(), attempts: 0 }
    }

    fn at(seconds: u64) -> Tick {
        Tick(Duration::from_secs(seconds))
    }

    fn silent() -> Answer {
        Answer::Silent(Reason::new("nobody there"))
    }

    #[test]
    fn places_are_bounded_in_all_and_for_each_endpoint() {
        let mut desk = Desk::new(3);
        let verdicts: Vec<Verdict> = [("a", 1), ("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5)]
            .map(|(endpoint, task)| desk.admit(&notice(endpoint, task), at(0)))
            .into();
        use Verdict::{Send, Wait};
        assert_eq!(verdicts, [Send, Wait, Send, Wait, Send, Wait]);
        desk.landed(&notice("a", 1), Some(&Answer::Confirmed), at(0));
        assert_eq!(desk.admit(&notice("c", 5), at(0)), Send);
    }

    #[test]
    fn endpoint_that_does_not_answer_rests_longer_and_longer_and_is_tried_by_one_message() {
        let mut desk = Desk::new(8);
        let (first, second) = (notice("a", 1), notice("a", 2));
        let mut now = 0;
        for seconds in [5, 30, 120, 600, 600] {
            assert_eq!(desk.admit(&first, at(now)), Verdict::Send);
            assert_eq!(desk.admit(&second, at(now)), if now == 0 { Verdict::Send } else { Verdict::Wait });
            desk.landed(&first, Some(&silent()), at(now));
            if now == 0 {
                desk.landed(&second, Some(&silent()), at(now));
            }
            let left = Duration::from_secs(seconds);
            let rests = Verdict::Rests { left, why: "no answer: nobody there".to_owned() };
            assert_eq!(desk.admit(&second, at(now)), rests);
            now += seconds;
        }
        assert_eq!(desk.admit(&notice("b", 3), at(1)), Verdict::Send, "others do not rest");
    }

    #[test]
    fn any_answer_ends_the_trouble() {
        let mut desk = Desk::new(8);
        let first = notice("a", 1);
        desk.admit(&first, at(0));
        desk.landed(&first, Some(&silent()), at(0));
        desk.admit(&first, at(5));
        let failed = Answer::Failed { status: 500, said: Reason::new(""), wait: None };
        desk.landed(&first, Some(&failed), at(5));
        assert_eq!(desk.admit(&first, at(5)), Verdict::Send);
        assert_eq!(desk.admit(&notice("a", 2), at(5)), Verdict::Send);
    }

    #[test]
    fn desk_forgets_what_does_not_matter() {
        let mut desk = Desk::new(8);
        for (endpoint, answer) in [("fine", Answer::Confirmed), ("dead", silent()), ("deleted", silent())] {
            let notice = notice(endpoint, 1);
            desk.admit(&notice, at(0));
            desk.landed(&notice, Some(&answer), at(0));
        }
        desk.admit(&notice("busy", 1), at(0));
        desk.sweep(|_, name| name != "deleted" && name != "busy");
        let mut left: Vec<&str> = desk.endpoints.keys().map(|(_, name)| &**name).collect();
        left.sort_unstable();
        assert_eq!(left, ["busy", "dead"]);
    }
}
