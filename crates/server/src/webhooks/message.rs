//! What an endpoint is told about a task that has ended (pure).
//!
//! What this is: the JSON text, from the task's receipts. What this is not: its signature or its way.
//!
//! Invariant: its size is bounded whatever the task: refused items are listed up to a number of bytes and
//! counted beyond it, and so are nodes.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use serde::Serialize;

use catharsis_core::clock::UnixMillis;
use catharsis_core::status::ItemStatus;
use catharsis_core::task_receipts::{NodeReceipts, TaskReceipts};
use catharsis_tcapi::cdn::TaskStatus;
use catharsis_tcapi::time::{MAX_UNIX, format_utc8};

/// Refused items of one node that are listed.
const REFUSED_MAX: usize = 10;

/// Bytes of refused URLs and reasons in one message: the specification asks for less than 20 KB in all.
const REFUSED_BYTES_MAX: usize = 12 << 10;

/// Nodes that are listed, about 150 bytes each. Of more, those come first that have something to tell.
const NODES_MAX: usize = 500;

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Data<'a> {
    task_id: &'a str,
    status: TaskStatus,
    create_time: String,
    item_count: usize,
    nodes: Vec<NodePart<'a>>,
    nodes_more: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NodePart<'a> {
    node: &'a str,
    area: &'static str,
    applied: u32,
    absent: u32,
    refused: Vec<RefusedPart<'a>>,
    refused_more: usize,
    pending: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RefusedPart<'a> {
    url: &'a str,
    reason: String,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    Fail,
}

/// The message about a task; `None` while it has not ended. `fail_after` is what its status is derived with.
///
/// # Panics
/// Never: the message has text keys and finite numbers.
pub(super) fn body(task: &TaskReceipts, fail_after: Duration) -> Option<Bytes> {
    let end = match task.status {
        ItemStatus::Process => return None,
        ItemStatus::Done => End::Done,
        ItemStatus::Fail => End::Fail,
    };
    let mut nodes: Vec<&NodeReceipts> = task.nodes.iter().collect();
    if nodes.len() > NODES_MAX {
        // Stable: the rest keeps its order.
        nodes.sort_by_key(|node| node.refused.is_empty() && pending(node, end) == 0);
    }
    let mut left = REFUSED_BYTES_MAX;
    let listed = nodes.iter().take(NODES_MAX).map(|node| node_part(node, end, &mut left)).collect();
    let body = Body {
        r#type: match end {
            End::Done => "purge.done",
            End::Fail => "purge.failed",
        },
        timestamp: rfc3339(ended_at(task, end, fail_after)),
        data: Data {
            task_id: task.task.id.as_str(),
            status: match end {
                End::Done => TaskStatus::Done,
                End::Fail => TaskStatus::Fail,
            },
            create_time: format_utc8(i64::try_from(task.task.accepted_at.seconds()).unwrap_or(i64::MAX)),
            item_count: task.task.items.len(),
            nodes: listed,
            nodes_more: nodes.len().saturating_sub(NODES_MAX),
        },
    };
    Some(serde_json::to_vec(&body).expect("a message is plain data").into())
}

fn node_part<'a>(report: &'a NodeReceipts, end: End, left: &mut usize) -> NodePart<'a> {
    let mut refused = Vec::new();
    for (url, why) in report.refused.iter().take(REFUSED_MAX) {
        let part = RefusedPart { url, reason: why.to_string() };
        let Some(rest) = left.checked_sub(part.url.len() + part.reason.len()) else { break };
        *left = rest;
        refused.push(part);
    }
    NodePart {
        node: report.node.id.as_str(),
        area: report.node.area.as_str(),
        applied: report.applied,
        absent: report.absent,
        refused_more: report.refused.len() - refused.len(),
        refused,
        pending: pending(report, end),
        trouble: report.standing.trouble.as_ref().map(|trouble| trouble.why.to_string()),
    }
}

/// Items that are not settled at a node. Of a task that is done there are none, even where a node has no
/// receipt for them: it was told to forget everything instead.
fn pending(report: &NodeReceipts, end: End) -> u32 {
    match end {
        End::Done => 0,
        End::Fail => report.pending(),
    }
}

/// When it ended: with the last receipt, or when its time was over.
fn ended_at(task: &TaskReceipts, end: End, fail_after: Duration) -> UnixMillis {
    if task.nodes.iter().any(|node| pending(node, end) > 0) {
        let span = u64::try_from(fail_after.as_millis()).unwrap_or(u64::MAX);
        return UnixMillis(task.task.accepted_at.0.saturating_add(span));
    }
    let last = task.nodes.iter().filter_map(|node| node.at).max();
    last.unwrap_or(task.task.accepted_at)
}

fn rfc3339(at: UnixMillis) -> String {
    // Years beyond 9999 have no such form.
    let latest = MAX_UNIX.unsigned_abs() * 1_000;
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at.0.min(latest))).to_string()
}

#[cfg(test)]
mod tests {
    use catharsis_core::area::AreaSet;
    use catharsis_core::board::{Standing, Trouble};
    use catharsis_core::invalidation::Seq;
    use catharsis_core::ports::Membership;
    use catharsis_core::receipt::{Refusal, Unreachable};
    use catharsis_core::target::{Encode, Mode};
    use catharsis_core::task::{AccountId, Item, Task, TaskId, TaskKind};
    use catharsis_core::topology::FenceStrength;
    use catharsis_testkit::plans;
    use serde_json::{Value, json};

    use super::*;

    const ACCEPTED: UnixMillis = UnixMillis(1_700_000_000_000);
    const FAIL_AFTER: Duration = Duration::from_secs(600);

    fn node(name: &str, items: u32, applied: u32) -> NodeReceipts {
        let standing = Standing {
            applied: Seq(1),
            settled: Seq(1),
            membership: Membership::Member,
            duty: catharsis_core::duty::Duty::Counts,
            last_receipt: None,
            trouble: None,
            proof: None,
            abilities: None,
            lease: None,
            lease_ends: None,
            owes: Seq(0),
            stay: None,
        };
        NodeReceipts {
            node: plans::node(name).into(),
            standing,
            items,
            applied,
            absent: 0,
            before: 0,
            refused: Vec::new(),
            outcomes: Vec::new(),
            at: Some(UnixMillis(ACCEPTED.0 + 1_500)),
            fence: FenceStrength::Exact,
            waited: Duration::ZERO,
            attempts: 1,
            audits: Vec::new(),
        }
    }

    fn task(status: ItemStatus, items: usize, nodes: Vec<NodeReceipts>) -> TaskReceipts {
        let item = Item { url: "http://a.test/".into(), areas: AreaSet::Global };
        let task = Task {
            id: TaskId::parse("1700000000-abc").expect("a valid id"),
            account: AccountId(1),
            kind: TaskKind::Url,
            mode: Mode::Delete,
            encode: Encode::AsSubmitted,
            accepted_at: ACCEPTED,
            items: vec![item; items],
        };
        TaskReceipts { task, status, nodes }
    }

    fn read(task: &TaskReceipts) -> Value {
        serde_json::from_slice(&body(task, FAIL_AFTER).expect("it has ended")).expect("JSON")
    }

    #[test]
    fn message_tells_what_became_of_the_task_node_by_node() {
        let done = read(&task(ItemStatus::Done, 2, vec![node("a", 2, 2)]));
        let expected = json!({
            "type": "purge.done",
            "timestamp": "2023-11-14T22:13:21.500Z",
            "data": {
                "TaskId": "1700000000-abc",
                "Status": "done",
                "CreateTime": "2023-11-15 06:13:20",
                "ItemCount": 2,
                "Nodes": [{"Node": "a", "Area": "mainland", "Applied": 2, "Absent": 0, "Refused": [],
                           "RefusedMore": 0, "Pending": 0}],
                "NodesMore": 0,
            },
        });
        assert_eq!(done, expected);
        assert_eq!(body(&task(ItemStatus::Process, 1, vec![node("a", 1, 0)]), FAIL_AFTER), None);
    }

    #[test]
    fn failure_names_node_and_reason() {
        let mut refusing = node("a", 2, 1);
        refusing.refused.push(("http://a.test/\"x".into(), Refusal::Malformed { status: 400 }));
        let mut away = node("b", 2, 0);
        let trouble = Trouble { why: Unreachable::Timeout, since: ACCEPTED, attempts: 3 };
        away.standing.trouble = Some(trouble);
        let failed = read(&task(ItemStatus::Fail, 2, vec![refusing, away]));
        assert_eq!(failed["type"], "purge.failed");
        assert_eq!(failed["data"]["Status"], "fail");
        assert_eq!(failed["timestamp"], "2023-11-14T22:23:20.000Z", "its time was over");
        let nodes = &failed["data"]["Nodes"];
        assert_eq!(nodes[0]["Refused"][0]["Url"], "http://a.test/\"x");
        assert_eq!(nodes[0]["Refused"][0]["Reason"], "the node answered 400: it cannot parse this URL");
        assert_eq!(nodes[1]["Pending"], 2);
        assert_eq!(nodes[1]["Trouble"], "no answer in time");
    }

    #[test]
    fn node_that_forgot_everything_has_nothing_pending_when_the_task_is_done() {
        let done = read(&task(ItemStatus::Done, 2, vec![node("a", 2, 0)]));
        assert_eq!(done["data"]["Nodes"][0]["Pending"], 0);
    }

    #[test]
    fn message_stays_small_and_counts_what_it_leaves_out() {
        let long: Box<str> = format!("http://a.test/{}", "x".repeat(7_900)).into();
        let refused = |count: usize| vec![(long.clone(), Refusal::Unsupported); count];
        let nodes = (0..600).map(|place| {
            let mut node = node(&format!("n{place}"), 1_000, 1_000);
            // Only the last two have refused something.
            if place >= 598 {
                node.refused = refused(1_000);
            }
            node
        });
        let failed = task(ItemStatus::Fail, 1_000, nodes.collect());
        let text = body(&failed, FAIL_AFTER).expect("it has ended");
        assert!(text.len() < 100 << 10, "{}", text.len());
        let data = &read(&failed)["data"];
        assert_eq!(data["NodesMore"], 100);
        assert_eq!(data["Nodes"].as_array().map(Vec::len), Some(500));
        assert_eq!(data["Nodes"][0]["Node"], "n598");
        assert_eq!(data["Nodes"][0]["Refused"].as_array().map(Vec::len), Some(1));
        assert_eq!(data["Nodes"][0]["RefusedMore"], 999);
        assert_eq!(data["Nodes"][1]["RefusedMore"], 1_000);
    }
}
