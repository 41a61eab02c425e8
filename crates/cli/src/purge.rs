//! `catharsis purge`.
//!
//! What this is: a list of any length, split into calls, sent, and waited for if asked. Invariant: a
//! task that was accepted is always told, whatever happens to the rest of the list.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use catharsis_tcapi::cdn::{
    Action, DescribePurgeReceiptsRequest, DescribePurgeReceiptsResponse, DescribePurgeTasksRequest,
    DescribePurgeTasksResponse, PurgeArea, PurgeUrlsCacheRequest, PurgeUrlsCacheResponse, TaskFilter, TaskStatus,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::Connection;
use crate::client::Client;
use crate::console::Console;
use crate::ended::{Complaint, Ended};
use crate::list::List;

/// First and longest pause between two questions while waiting; four tasks at a time stay below the
/// 20 calls a second that an account has.
const POLL_FIRST: Duration = Duration::from_millis(200);
const POLL_MAX: Duration = Duration::from_secs(5);

/// Longer than any service goes on with a purge.
const WAIT_MAX: Duration = Duration::from_secs(365 * 86_400);

/// What to purge.
#[derive(Clone, Debug, clap::Args)]
pub struct Purge {
    /// The URLs, each with http:// or https://; `-` reads a list from standard input
    #[arg(value_name = "URL", required_unless_present = "file")]
    urls: Vec<String>,
    /// A list: a URL a line, `#` begins a comment line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Where to purge. Default: where each domain is served
    #[arg(long, value_enum)]
    area: Option<AreaArg>,
    /// Percent-encode non-ASCII characters, and purge only that spelling
    #[arg(long)]
    url_encode: bool,
    /// Wait until every node has settled every URL
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = waiting_time)]
    timeout: Duration,
    /// URLs in one call
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    batch: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A region, as an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum AreaArg {
    /// Mainland China.
    Mainland,
    /// Elsewhere.
    Overseas,
}

impl From<AreaArg> for PurgeArea {
    fn from(area: AreaArg) -> Self {
        match area {
            AreaArg::Mainland => Self::Mainland,
            AreaArg::Overseas => Self::Overseas,
        }
    }
}

/// What became of one call.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    task_id: String,
    urls: u64,
    /// Absent unless waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<TaskStatus>,
}

/// The whole result, for machines.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Report<'a> {
    tasks: &'a [Sent],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Complaint>,
}

/// Carries it out.
///
/// # Errors
/// [`Ended`], after what was accepted until then has been told.
pub(crate) async fn run(purge: Purge, console: &mut Console) -> Result<(), Ended> {
    let mut ledger = Ledger { console, json: purge.json, sent: Vec::new(), told: 0 };
    let result = carry_out(&purge, &mut ledger).await;
    ledger.close(result.as_ref().err());
    result
}

async fn carry_out(purge: &Purge, ledger: &mut Ledger<'_>) -> Result<(), Ended> {
    let list = List::open(&purge.urls, purge.file.as_deref())?;
    let client = Client::new(&purge.connection, ledger.console)?;
    send(&client, purge, list, ledger).await?;
    if purge.wait { wait(&client, purge, ledger).await } else { Ok(()) }
}

/// The tasks that were accepted, and how many of them have been told.
struct Ledger<'a> {
    console: &'a mut Console,
    json: bool,
    sent: Vec<Sent>,
    told: usize,
}

impl Ledger<'_> {
    /// Tells people of the tasks up to `end`; nothing will change about them.
    fn tell(&mut self, end: usize) {
        if self.json {
            return;
        }
        for task in &self.sent[self.told..end] {
            let status = task.status.map_or("accepted", TaskStatus::as_str);
            self.console.line(&format!("{}  {status}  {} URLs", task.task_id, task.urls));
        }
        self.told = end;
    }

    /// Tells what has not been told yet.
    fn close(&mut self, ended: Option<&Ended>) {
        if self.json {
            self.console.json(&Report { tasks: &self.sent, error: ended.map(Ended::complaint) });
        } else {
            self.tell(self.sent.len());
        }
    }
}

async fn send(client: &Client, purge: &Purge, list: List, ledger: &mut Ledger<'_>) -> Result<(), Ended> {
    let bar = bar(list.count(), "sent");
    for call in list.calls(purge.batch as usize) {
        let call = call?;
        let request = PurgeUrlsCacheRequest {
            area: purge.area.map(PurgeArea::from),
            url_encode: purge.url_encode,
            ..PurgeUrlsCacheRequest::of(call.iter().map(|url| url.as_str().into()).collect())
        };
        let answer: Result<PurgeUrlsCacheResponse, Ended> = client.call(Action::PurgeUrlsCache, &request).await;
        let answer = answer.map_err(|ended| match ended {
            Ended::Network(why) => Ended::Network(format!(
                "{why}. It is unknown whether the last call was accepted; calling again is harmless"
            )),
            ended
            @ (Ended::Failed(_) | Ended::Usage(_) | Ended::Refused(_) | Ended::TimedOut(_) | Ended::Output(_)) => ended,
        })?;
        ledger.sent.push(Sent { task_id: answer.task_id, urls: call.len() as u64, status: None });
        if !purge.wait {
            bar.suspend(|| ledger.tell(ledger.sent.len()));
        }
        bar.inc(call.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

async fn wait(client: &Client, purge: &Purge, ledger: &mut Ledger<'_>) -> Result<(), Ended> {
    let deadline = Instant::now() + purge.timeout;
    let bar = bar(ledger.sent.iter().map(|task| task.urls).sum(), "settled everywhere");
    let mut failed = Vec::new();
    for index in 0..ledger.sent.len() {
        let task = ledger.sent[index].clone();
        let before = bar.position();
        let status = settled(client, &task, deadline, &|urls| bar.set_position(before + urls)).await?;
        ledger.sent[index].status = Some(status);
        bar.suspend(|| ledger.tell(index + 1));
        if status == TaskStatus::Fail {
            failed.push(task.task_id);
        }
    }
    bar.finish_and_clear();
    if failed.is_empty() {
        return Ok(());
    }
    let mut reasons = Vec::new();
    for task_id in failed {
        reasons.push(format!("task {task_id} failed"));
        reasons.extend(why(client, &task_id).await);
    }
    Err(Ended::Failed(reasons))
}

/// Waits until the service shows every URL of a task, and none under way.
///
/// A service may show a task, or the last of its rows, only a while after it accepted it: so what
/// is not under way is not done for that, and rows are counted against the URLs that were sent.
async fn settled(client: &Client, task: &Sent, deadline: Instant, progress: &dyn Fn(u64)) -> Result<TaskStatus, Ended> {
    let mut pause = POLL_FIRST;
    loop {
        let open = count(client, &task.task_id, TaskStatus::Process).await?;
        let (mut done, mut failed) = (task.urls.saturating_sub(open), 0);
        if open == 0 {
            failed = count(client, &task.task_id, TaskStatus::Fail).await?;
            done = count(client, &task.task_id, TaskStatus::Done).await?;
            if done + failed >= task.urls {
                progress(task.urls);
                return Ok(if failed == 0 { TaskStatus::Done } else { TaskStatus::Fail });
            }
        }
        progress(done + failed);
        if Instant::now() >= deadline {
            return Err(Ended::TimedOut(format!(
                "the time is over: {} of {} URLs of task {} are settled everywhere; the service goes on with the others",
                done + failed,
                task.urls,
                task.task_id
            )));
        }
        tokio::time::sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        pause = (pause * 3 / 2).min(POLL_MAX);
    }
}

async fn count(client: &Client, task_id: &str, status: TaskStatus) -> Result<u64, Ended> {
    let mut request = DescribePurgeTasksRequest::of(TaskFilter::Task(task_id.into(), None));
    request.status = Some(status);
    request.limit = 1;
    let page: DescribePurgeTasksResponse = client.call(Action::DescribePurgeTasks, &request).await?;
    Ok(page.total_count)
}

/// The nodes and reasons behind a failure, where the server can tell them; Tencent's cannot.
async fn why(client: &Client, task_id: &str) -> Vec<String> {
    let request = DescribePurgeReceiptsRequest { task_id: task_id.into() };
    let receipts: Result<DescribePurgeReceiptsResponse, Ended> =
        client.call(Action::DescribePurgeReceipts, &request).await;
    let Ok(receipts) = receipts else { return Vec::new() };
    let mut lines = Vec::new();
    for node in receipts.nodes {
        for refused in node.refused {
            lines.push(format!("  node {} refused {}: {}", node.node, refused.url, refused.reason));
        }
        if node.pending > 0 {
            let trouble = node.trouble.as_deref().unwrap_or("it has not come that far");
            lines.push(format!("  node {} has {} left: {trouble}", node.node, node.pending));
        }
    }
    lines
}

/// How long to wait, at most [`WAIT_MAX`]: a clock cannot count further than its type.
fn waiting_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time > WAIT_MAX {
        return Err(format!("at most {} days can be waited", WAIT_MAX.as_secs() / 86_400));
    }
    Ok(time)
}

/// A bar on a terminal; nothing elsewhere, where the lines that follow say it all.
fn bar(length: u64, what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {msg} {elapsed}");
    let bar = ProgressBar::new(length).with_message(what.to_owned());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_time_beyond_any_clock_is_refused_with_the_limit() {
        assert_eq!(waiting_time("15m"), Ok(Duration::from_secs(900)));
        let told = waiting_time("500000000000y").expect_err("it is long");
        assert!(told.contains("365 days"), "{told}");
        assert!(waiting_time("99999999999999999999999y").is_err());
    }
}
