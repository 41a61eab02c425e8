//! The mutations.

use super::Mutation;

/// See the module above.
pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "fence: comparison flipped",
        file: "crates/edge/src/fence.rs",
        text: "if stamp < mark.delete.max(self.floor) {",
        instead: "if stamp > mark.delete.max(self.floor) {",
    },
    Mutation {
        name: "fence: expiry ignored",
        file: "crates/edge/src/fence.rs",
        text: "} else if stamp < mark.expire {",
        instead: "} else if stamp > mark.expire {",
    },
    Mutation {
        name: "fence: directories not looked at",
        file: "crates/edge/src/fence.rs",
        text: "url.directories().map(named).fold(mark, Mark::or)",
        instead: "url.directories().map(named).fold(mark, |mark, _| mark)",
    },
    Mutation {
        name: "fence: floor not raised",
        file: "crates/edge/src/fence.rs",
        text: "self.floor = self.floor.max(oldest);",
        instead: "let _ = oldest;",
    },
    Mutation {
        name: "fence: changes not counted",
        file: "crates/edge/src/fence.rs",
        text: "self.changes.fetch_add(1, Ordering::Release);",
        instead: "self.changes.fetch_add(0, Ordering::Release);",
    },
    Mutation {
        name: "fence: mark goes back",
        file: "crates/edge/src/fence.rs",
        text: "*newest = point.max(*newest);",
        instead: "*newest = point;",
    },
    Mutation {
        name: "fence: new log begins at 0",
        file: "crates/edge/src/fence.rs",
        text: "position.checked_add(1).ok_or(Exhausted)?",
        instead: "0",
    },
    Mutation {
        name: "relay: receipt before the last pass",
        file: "crates/core/src/relay.rs",
        text: "(pass == progress.last_pass()).then(",
        instead: "(pass == 0).then(",
    },
    Mutation {
        name: "relay: cursor shown before it is kept",
        file: "crates/core/src/relay.rs",
        text: "let mut attempt = 0;\n        while let Err(error) = self.relay.store.advance",
        instead: "let mut attempt = 0;\n        self.relay.board.settled(&self.node, receipt.cursor(), receipt.at);\n        while let Err(error) = self.relay.store.advance",
    },
    Mutation {
        name: "board: edge goes by what its shield was sent",
        file: "crates/core/src/standing.rs",
        text: "Membership::Member => standing.settled,",
        instead: "Membership::Member => standing.applied,",
    },
    Mutation {
        name: "relay: rest of a part skipped",
        file: "crates/core/src/relay/deliver.rs",
        text: "batch.extend(more);\n                    continue;",
        instead: "batch.extend(more);\n                    return Ok(batch);",
    },
    Mutation {
        name: "join: nothing forgotten",
        file: "crates/core/src/relay/joining.rs",
        text: "                    self.forget_everything(upto).await?;\n                    // From",
        instead: "                    // From",
    },
    Mutation {
        name: "progress: pass due early",
        file: "crates/core/src/progress.rs",
        text: "mark.last.after(self.passes[pass]) <= now",
        instead: "mark.last.after(self.passes[pass - 1]) <= now",
    },
    Mutation {
        name: "duty: watermark is the highest cursor",
        file: "crates/core/src/duty.rs",
        text: "lowest.min(settled)",
        instead: "lowest.max(settled)",
    },
    Mutation {
        name: "duty: a returning node counts at once",
        file: "crates/core/src/duty.rs",
        text: "(Rotation::In, Self::Returning | Self::Drained) => Self::Returning",
        instead: "(Rotation::In, Self::Returning | Self::Drained) => Self::Counts",
    },
    Mutation {
        name: "duty: a returning node does not hold",
        file: "crates/core/src/duty.rs",
        text: "Duty::Returning => return self.shown,",
        instead: "Duty::Returning => {}",
    },
    Mutation {
        name: "batch: string prefix stands for a directory",
        file: "crates/core/src/batch.rs",
        text: "&& prefix_covers(start, path) && directory.covers(url)",
        instead: "&& (path.starts_with(start) || prefix_covers(start, path) || directory.covers(url))",
    },
    Mutation {
        name: "retry: unreachable is settled",
        file: "crates/core/src/retry.rs",
        text: "Outcome::Unreachable(why) => Decision::Retry(why),",
        instead: "Outcome::Unreachable(why) => { let _ = why; Decision::Settle(Settled::Applied) }",
    },
    Mutation {
        name: "tier: an edge does not wait for its shield",
        file: "crates/core/src/standing.rs",
        text: "Duty::Counts | Duty::Returning | Duty::Drained => known(standing),",
        instead: "Duty::Counts | Duty::Returning | Duty::Drained => Seq(u64::MAX),",
    },
    Mutation {
        name: "hop: second pass before it has landed",
        file: "crates/core/src/progress.rs",
        text: "            Some(landed) => landed,\n",
        instead: "            Some(_) => self.cursors[0],\n",
    },
    Mutation {
        name: "hop: asked beyond its own settlement",
        file: "crates/core/src/relay/hop.rs",
        text: "answer = hop.landed(landed, asked) => answer,",
        instead: "answer = hop.landed(landed, asked.plus(1_000)) => answer,",
    },
    Mutation {
        name: "hop: a flight is forgotten when it is sent",
        file: "crates/edge/src/flights.rs",
        text: "            flight.stage = Stage::Sent;\n        }",
        instead: "            flight.stage = Stage::Sent;\n            table.land(id.peer);\n            return self.show(&table);\n        }",
    },
    Mutation {
        name: "hop: an overtaken response may be kept",
        file: "crates/edge/src/flights.rs",
        text: "Stage::Barred => Departure::Overtaken,",
        instead: "Stage::Barred => Departure::Free,",
    },
    Mutation {
        name: "hop: a purge overtakes nothing",
        file: "crates/edge/src/flights.rs",
        text: "for peer in table.named(scope) {",
        instead: "for peer in table.named(scope).into_iter().take(0) {",
    },
    Mutation {
        name: "lease: counted from its arrival",
        file: "crates/edge/src/lease.rs",
        text: "self.ends.fetch_max(until.min(furthest).0, Ordering::Release);",
        instead: "self.ends.fetch_max(until.max(clock.after(catharsis_core::limits::LEASE)).min(furthest).0, Ordering::Release);",
    },
    Mutation {
        name: "lease: copies are trusted after its end",
        file: "crates/edge/src/lease.rs",
        text: "Lease::Required if now.0 < self.ends.load(Ordering::Acquire) => Trust::Held,",
        instead: "Lease::Required if now.0 > 0 && self.ends.load(Ordering::Acquire) > 0 => Trust::Held,",
    },
    Mutation {
        name: "lease: the relay takes it for ended too early",
        file: "crates/core/src/leasing.rs",
        text: "                    && self.terms.has_ended(now)\n                    && silent.is_some_and(|silent| silent >= self.patience()) =>",
        instead: "                    && silent.is_some() =>",
    },
];
