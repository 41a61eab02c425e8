//! `receipts`: what became of a task at each node; as a signed statement; and the check of one, offline.
//!
//! Invariant: a statement is shown only after its signature was checked, and nothing that is not `done` ends with 0.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use catharsis_statement::{
    self as said, ENVELOPE_BYTES_MAX, Envelope, NodeStatement, OutcomeRun, PublicKey, Statement, Status,
};
use catharsis_tcapi::cdn::{
    Action, DescribePurgeReceiptsRequest, DescribePurgeReceiptsResponse, ItemAudit, ItemOutcomes, NodeReceipt,
};
use catharsis_tcapi::time::format_utc;
use serde::Serialize;

use crate::Connection;
use crate::admin::{Operator, path};
use crate::client::Client;
use crate::console::Console;
use crate::ended::Ended;
use crate::show::span;

/// Bytes of a key file.
const KEY_BYTES_MAX: u64 = 4_096;

/// Whose receipts to show, or which statement to check.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Receipts {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The task
    #[arg(value_name = "TASK_ID", required = true)]
    task: Option<String>,
    /// List what became of each item at each node
    #[arg(long, conflicts_with = "signed")]
    items: bool,
    /// Get a statement that is signed with the server's key, for `receipts verify`
    #[arg(long, conflicts_with = "json")]
    signed: bool,
    /// Write the statement into this file instead of to standard output
    #[arg(long, short, value_name = "FILE", requires = "signed")]
    output: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What else can be done with receipts.
#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Check a signed statement, without asking anybody, and say what it says
    ///
    /// Ends with 0 only if the signature fits and the task was done. 1: it fits, and the task was not done. 2: a file
    /// cannot be read, or the key is none. 7: the file is no statement that this key signed.
    Verify {
        /// The statement, as `receipts --signed` wrote it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The server's public key, as `receipts public-key` printed it
        #[arg(long, value_name = "PEM_FILE")]
        key: PathBuf,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Print the public key that checks statements (operator)
    PublicKey {
        #[command(flatten)]
        operator: Operator,
    },
}

impl Receipts {
    /// Whether a document was asked for, with or without a verb.
    pub(crate) fn prints_json(&self) -> bool {
        match &self.verb {
            None => self.json,
            Some(Verb::Verify { json, .. }) => *json,
            Some(Verb::PublicKey { operator }) => operator.json,
        }
    }
}

/// Carries it out.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn run(options: Receipts, console: &mut Console) -> Result<(), Ended> {
    match &options.verb {
        None => of_task(&options, console).await,
        Some(Verb::Verify { file, key, json }) => {
            let checked = check(file, key)?;
            if *json {
                console.json(&checked);
            } else {
                tell(&checked, console);
            }
            checked.verdict()
        }
        Some(Verb::PublicKey { operator }) => public_key(operator, console).await,
    }
}

async fn of_task(options: &Receipts, console: &mut Console) -> Result<(), Ended> {
    let client = Client::new(&options.connection, console)?;
    let task = options.task.as_deref().unwrap_or_default();
    let request = DescribePurgeReceiptsRequest {
        list_items: options.items,
        signed: options.signed,
        ..DescribePurgeReceiptsRequest::of(task)
    };
    let answer: DescribePurgeReceiptsResponse = client.call(Action::DescribePurgeReceipts, &request).await?;
    if options.signed {
        let statement = answer.statement.as_deref();
        let statement = statement.ok_or_else(|| Ended::Network("the server signs no receipts".to_owned()))?;
        return write(statement, answer.status.as_str(), options.output.as_deref(), console);
    }
    if options.json {
        console.json(&answer);
    } else {
        show(&answer, console);
    }
    Ok(())
}

/// Writes a statement; what is not done is said, so that nobody files it as a proof.
fn write(statement: &str, status: &str, output: Option<&Path>, console: &mut Console) -> Result<(), Ended> {
    let text = format!("{statement}\n");
    match output {
        None => console.text(&text),
        Some(path) => std::fs::File::create(path)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .map_err(|error| Ended::Output(format!("{}: {error}", path.display())))?,
    }
    if status != Status::Done.as_str() {
        console.note(&format!("catharsis: warning: the task is `{status}`: this statement is no proof of a removal"));
    }
    Ok(())
}

fn show(answer: &DescribePurgeReceiptsResponse, console: &mut Console) {
    console.line(&format!(
        "task {}  {}  {} URLs, accepted {} (UTC+8)",
        answer.task_id,
        answer.status.as_str(),
        answer.item_count,
        answer.create_time
    ));
    let heading =
        ["NODE", "AREA", "TIER", "APPLIED", "ABSENT", "REFUSED", "BEFORE", "PENDING", "TOOK", "FENCE", "ATTEMPTS"];
    console.table(&heading, &answer.nodes.iter().map(row).collect::<Vec<_>>());
    for node in &answer.nodes {
        for refused in &node.refused {
            console.line(&format!("{} refused {}: {}", node.node, refused.url, refused.reason));
        }
        if let (true, Some(trouble)) = (node.pending > 0, &node.trouble) {
            console.line(&format!("{}: {trouble}", node.node));
        }
    }
    let audits = answer.nodes.iter().flat_map(|node| node.audits.iter().map(|audit| audit_row(node, audit)));
    let audits: Vec<Vec<String>> = audits.collect();
    if !audits.is_empty() {
        console.table(&["AUDITED AT (UTC)", "NODE", "VERDICT", "URL", "WHY"], &audits);
    }
    if !answer.items.is_empty() {
        let rows = answer.nodes.iter().flat_map(|node| item_rows(answer, node)).collect::<Vec<_>>();
        console.table(&["ITEM", "NODE", "OUTCOME", "COPIES", "URL"], &rows);
    }
}

/// A fence, and how long it waited, if it did.
fn fence(fence: &str, wait_ms: u64) -> String {
    match wait_ms {
        0 => fence.to_owned(),
        wait => format!("{fence} {}", span(wait)),
    }
}

fn row(node: &NodeReceipt) -> Vec<String> {
    let fence = fence(&node.fence, node.fence_wait_ms);
    vec![
        node.node.clone(),
        node.area.clone(),
        node.tier.clone(),
        node.applied.to_string(),
        node.absent.to_string(),
        node.refused.len().to_string(),
        node.before.to_string(),
        node.pending.to_string(),
        node.took_ms.map_or_else(|| "-".to_owned(), span),
        fence,
        node.attempts.to_string(),
    ]
}

fn audit_row(node: &NodeReceipt, audit: &ItemAudit) -> Vec<String> {
    let at = format_utc(i64::try_from(audit.at_ms / 1_000).unwrap_or(i64::MAX));
    vec![at, node.node.clone(), audit.verdict.clone(), audit.url.clone(), audit.reason.clone()]
}

/// A row for each item that concerns a node.
fn item_rows(answer: &DescribePurgeReceiptsResponse, node: &NodeReceipt) -> Vec<Vec<String>> {
    let row = |run: &ItemOutcomes, number: u32| {
        // A server that names items that it does not list shows no URL for them.
        let place = usize::try_from(number).unwrap_or_default().wrapping_sub(1);
        let url = answer.items.get(place).map(|item| item.url.clone()).unwrap_or_default();
        let copies = run.copies.map_or_else(|| "-".to_owned(), |copies| copies.to_string());
        vec![number.to_string(), node.node.clone(), run.outcome.clone(), copies, url]
    };
    let last = u32::try_from(answer.items.len()).unwrap_or(u32::MAX);
    let runs = node.outcomes.iter();
    runs.flat_map(|run| (run.first..=run.last.min(last)).map(move |number| row(run, number))).collect()
}

async fn public_key(operator: &Operator, console: &mut Console) -> Result<(), Ended> {
    let key = operator.open(console)?.client.get(&path(&[&"receipts", &"key"])).await?;
    if operator.json {
        console.json(&key);
        return Ok(());
    }
    let pem = key["PublicKey"].as_str().unwrap_or_default();
    let pem = PublicKey::from_pem(pem).map_err(|error| Ended::Network(format!("the server's key: {error}")))?;
    console.text(&pem.to_pem());
    Ok(())
}

/// A statement whose signature fits.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Checked {
    /// Always true: nothing else is printed.
    verified: bool,
    key_id: String,
    /// Whether it says that the removal is complete.
    proves_removal: bool,
    statement: Statement,
}

impl Checked {
    /// Whether an older copy was seen afterwards.
    fn saw_older(&self) -> bool {
        let mut audits = self.statement.nodes.iter().flat_map(|node| &node.audits);
        audits.any(|audit| audit.verdict == said::Verdict::Older)
    }

    fn verdict(&self) -> Result<(), Ended> {
        if self.proves_removal {
            return Ok(());
        }
        if self.saw_older() {
            return Err(Ended::Failed(vec![
                "NO PROOF OF A REMOVAL: the signature fits, and what it signs is that an older copy was seen afterwards"
                    .to_owned(),
            ]));
        }
        let status = self.statement.status.as_str();
        let by = if self.statement.nodes.is_empty() { " at no node at all" } else { "" };
        Err(Ended::Failed(vec![format!(
            "NO PROOF OF A REMOVAL: the signature fits, and what it signs is that the task was `{status}`{by}"
        )]))
    }
}

fn check(file: &Path, key: &Path) -> Result<Checked, Ended> {
    let usage = |path: &Path, why: &dyn std::fmt::Display| Ended::Usage(format!("{}: {why}", path.display()));
    let pem = read(key, KEY_BYTES_MAX).map_err(|error| usage(key, &error))?;
    let key = PublicKey::from_pem(&String::from_utf8_lossy(&pem)).map_err(|error| usage(key, &error))?;
    let bytes = read(file, ENVELOPE_BYTES_MAX as u64 + 1).map_err(|error| usage(file, &error))?;
    let refuse = |why: &dyn std::fmt::Display| Ended::NotVerified(format!("NOT VERIFIED: {}: {why}", file.display()));
    let text = String::from_utf8(bytes).map_err(|_| refuse(&"it is no text"))?;
    let opened = Envelope::parse(&text).and_then(|envelope| envelope.open(&key));
    let statement = opened.map_err(|error| refuse(&error))?;
    let mut checked = Checked { verified: true, key_id: key.id(), proves_removal: false, statement };
    // Where no node is, nothing could serve a copy; but neither did anybody say that one was removed.
    let said_by_nodes = !checked.statement.nodes.is_empty();
    checked.proves_removal = checked.statement.status == Status::Done && said_by_nodes && !checked.saw_older();
    Ok(checked)
}

/// The beginning of a file.
fn read(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn tell(checked: &Checked, console: &mut Console) {
    let said = &checked.statement;
    let mut fields = vec![
        ("signature", format!("fits; key {}", checked.key_id)),
        ("server", said.server.clone()),
        ("issued at", said.issued_at.clone()),
        ("task", format!("{} of account {}", said.task_id, said.account)),
        ("status", said.status.as_str().to_owned()),
        ("asked for", format!("{} of each {}", said.mode, said.kind)),
        ("accepted at", said.accepted_at.clone()),
    ];
    fields.extend(said.done_at.clone().map(|at| ("done at", at)));
    for (name, value) in fields {
        console.line(&format!("{name:<12} {value}"));
    }
    for (item, number) in said.items.iter().zip(1u32..) {
        console.line(&format!("item {number:<7} {} ({})", item.url, item.area));
    }
    let heading = ["NODE", "AREA", "TIER", "KIND", "OUTCOMES", "FENCE", "ATTEMPTS", "SETTLED AT"];
    console.table(&heading, &said.nodes.iter().map(node_row).collect::<Vec<_>>());
    for node in &said.nodes {
        for run in &node.outcomes {
            if let Some(reason) = &run.reason {
                console.line(&format!("{} refused {}: {reason}", node.node, numbers(run.first, run.last)));
            }
        }
        if node.duty != "counts" {
            console.line(&format!("{}: {}: the task did not wait for it", node.node, node.duty));
        }
        for audit in &node.audits {
            let verdict = match audit.verdict {
                said::Verdict::Younger => "younger than the acceptance",
                said::Verdict::Older => "OLDER THAN THE ACCEPTANCE",
                said::Verdict::NoCopy => "no copy",
                said::Verdict::Untold => "cannot be told",
            };
            console
                .line(&format!("{}: item {} seen at {}: {verdict} ({})", node.node, audit.item, audit.at, audit.why));
        }
        if node.fence == "none" {
            console.line(&format!(
                "{}: no fence: a fetch that was under way may have brought an old copy back",
                node.node
            ));
        }
    }
}

fn node_row(node: &NodeStatement) -> Vec<String> {
    let runs = node.outcomes.iter();
    let outcomes = runs.map(outcome_run);
    let fence = fence(&node.fence, node.fence_wait_ms);
    vec![
        node.node.clone(),
        node.area.clone(),
        node.tier.clone(),
        node.kind.clone(),
        outcomes.collect::<Vec<_>>().join(", "),
        fence,
        node.attempts.to_string(),
        node.settled_at.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

fn outcome_run(run: &OutcomeRun) -> String {
    let outcome = format!("{} {}", numbers(run.first, run.last), run.outcome.as_str());
    match run.copies {
        None => outcome,
        Some(1) => format!("{outcome} to 1 copy"),
        Some(copies) => format!("{outcome} to {copies} copies"),
    }
}

fn numbers(first: u32, last: u32) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

#[cfg(test)]
mod tests {
    use catharsis_statement::Signer;
    use serde_json::{Value, json};

    use super::*;

    /// How the check of a signed statement with this status and what auditors saw at its node ends.
    fn ended(status: &str, verdicts: &[&str]) -> Option<u8> {
        let look = |verdict: &&str| json!({ "Item": 1, "At": "then", "Verdict": verdict, "Why": "Age: 9" });
        let node = json!({
            "Node": "n", "Pop": "p", "Area": "mainland", "Tier": "edge", "Kind": "varnish", "Fence": "exact",
            "FenceWaitMs": 0, "Attempts": 1, "Duty": "counts",
            "Outcomes": [{ "First": 1, "Last": 1, "Outcome": "applied" }],
            "Audits": verdicts.iter().map(look).collect::<Vec<_>>(),
        });
        ended_at(&json!([node]), status)
    }

    fn ended_at(nodes: &Value, status: &str) -> Option<u8> {
        let statement = json!({
            "Version": catharsis_statement::VERSION, "Server": "s", "IssuedAt": "now", "TaskId": "1-a", "Account": 1,
            "Status": status, "Kind": "url", "Mode": "delete", "AcceptedAt": "then",
            "Items": [{ "Url": "http://a.test/", "Area": "mainland" }],
            "Nodes": nodes,
        });
        let statement: Statement = serde_json::from_value(statement).expect("the form of a statement");
        let signer = Signer::new(&[7; 32]);
        let folder = tempfile::tempdir().expect("a folder");
        let (file, key) = (folder.path().join("statement"), folder.path().join("key"));
        std::fs::write(&file, Envelope::seal(&statement, &signer).expect("short").to_string()).expect("ours");
        std::fs::write(&key, signer.public().to_pem()).expect("ours");
        check(&file, &key).expect("it is signed").verdict().err().map(|ended| ended.status())
    }

    #[test]
    fn statement_is_a_proof_only_if_the_task_was_done_and_no_older_copy_was_seen() {
        assert_eq!(ended("done", &[]), None);
        assert_eq!(ended("done", &["younger", "nocopy", "untold"]), None);
        assert_eq!(ended("done", &["younger", "older", "younger"]), Some(1));
        assert_eq!([ended("process", &[]), ended("fail", &["younger"])], [Some(1); 2]);
        assert_eq!(ended_at(&json!([]), "done"), Some(1), "no node said anything");
    }
}
