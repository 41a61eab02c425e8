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

use crate::client::Client;
use crate::ended::Ended;
use crate::{Connection, urls};

/// First and longest pause between two questions while waiting; four tasks at a time stay below the
/// 20 calls a second that an account has.
const POLL_FIRST: Duration = Duration::from_millis(200);
const POLL_MAX: Duration = Duration::from_secs(5);

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
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
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
    urls: usize,
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
    error: Option<String>,
}

/// Carries it out.
///
/// # Errors
/// [`Ended`], after what was accepted until then has been told.
pub(crate) async fn run(purge: Purge) -> Result<(), Ended> {
    let urls = list(&purge)?;
    let client = Client::new(&purge.connection)?;
    let mut sent = Vec::new();
    let mut result = send(&client, &purge, &urls, &mut sent).await;
    if result.is_ok() && purge.wait {
        result = wait(&client, &purge, &mut sent).await;
    }
    tell(&purge, &sent, result.as_ref().err());
    result
}

fn list(purge: &Purge) -> Result<Vec<String>, Ended> {
    let mut all = Vec::new();
    for url in &purge.urls {
        if url == "-" {
            all.extend(urls::read(url.as_ref())?);
        } else {
            urls::check(url).map_err(|why| Ended::Usage(format!("{why}: {url:?}")))?;
            all.push(url.clone());
        }
    }
    if let Some(file) = &purge.file {
        all.extend(urls::read(file)?);
    }
    if all.is_empty() { Err(Ended::Usage("the list holds no URL".to_owned())) } else { Ok(all) }
}

async fn send(client: &Client, purge: &Purge, urls: &[String], sent: &mut Vec<Sent>) -> Result<(), Ended> {
    let bar = bar(urls.len() as u64, "sent");
    for call in urls::split(urls, purge.batch as usize) {
        let request = PurgeUrlsCacheRequest {
            urls: call.iter().map(|url| url.as_str().into()).collect(),
            area: purge.area.map(PurgeArea::from),
            url_encode: purge.url_encode,
        };
        let answer: Result<PurgeUrlsCacheResponse, Ended> = client.call(Action::PurgeUrlsCache, &request).await;
        let answer = answer.map_err(|ended| match ended {
            Ended::Network(why) => Ended::Network(format!(
                "{why}. It is unknown whether the last call was accepted; calling again is harmless"
            )),
            ended @ (Ended::Failed(_) | Ended::Usage(_) | Ended::Refused(_) | Ended::TimedOut(_)) => ended,
        })?;
        sent.push(Sent { task_id: answer.task_id, urls: call.len(), status: None });
        bar.inc(call.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

async fn wait(client: &Client, purge: &Purge, sent: &mut [Sent]) -> Result<(), Ended> {
    let deadline = Instant::now() + purge.timeout;
    let bar = bar(sent.iter().map(|task| task.urls as u64).sum(), "settled everywhere");
    for task in sent.iter_mut() {
        let mut pause = POLL_FIRST;
        let before = bar.position();
        loop {
            let open = count(client, &task.task_id, TaskStatus::Process).await?;
            bar.set_position(before + (task.urls as u64).saturating_sub(open));
            if open == 0 {
                break;
            }
            if Instant::now() >= deadline {
                return Err(Ended::TimedOut(format!(
                    "{open} URLs of task {} are not settled everywhere after {:?}; the service goes on with them",
                    task.task_id, purge.timeout
                )));
            }
            tokio::time::sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 3 / 2).min(POLL_MAX);
        }
        let failed = count(client, &task.task_id, TaskStatus::Fail).await?;
        task.status = Some(if failed == 0 { TaskStatus::Done } else { TaskStatus::Fail });
    }
    bar.finish_and_clear();
    let failed: Vec<&Sent> = sent.iter().filter(|task| task.status == Some(TaskStatus::Fail)).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let mut reasons = Vec::new();
    for task in failed {
        reasons.push(format!("task {} failed{}", task.task_id, why(client, &task.task_id).await));
    }
    Err(Ended::Failed(reasons.join("\n")))
}

async fn count(client: &Client, task_id: &str, status: TaskStatus) -> Result<u64, Ended> {
    let mut request = DescribePurgeTasksRequest::of(TaskFilter::Task(task_id.into(), None));
    request.status = Some(status);
    request.limit = 1;
    let page: DescribePurgeTasksResponse = client.call(Action::DescribePurgeTasks, &request).await?;
    Ok(page.total_count)
}

/// The nodes and reasons behind a failure, where the server can tell them; Tencent's cannot.
async fn why(client: &Client, task_id: &str) -> String {
    let request = DescribePurgeReceiptsRequest { task_id: task_id.into() };
    let receipts: Result<DescribePurgeReceiptsResponse, Ended> =
        client.call(Action::DescribePurgeReceipts, &request).await;
    let Ok(receipts) = receipts else { return String::new() };
    let mut text = String::new();
    for node in receipts.nodes {
        for refused in node.refused {
            text.push_str(&format!("\n  node {} refused {}: {}", node.node, refused.url, refused.reason));
        }
        if node.pending > 0 {
            let trouble = node.trouble.as_deref().unwrap_or("it has not come that far");
            text.push_str(&format!("\n  node {} has {} left: {trouble}", node.node, node.pending));
        }
    }
    text
}

fn tell(purge: &Purge, sent: &[Sent], ended: Option<&Ended>) {
    if purge.json {
        let report = Report { tasks: sent, error: ended.map(ToString::to_string) };
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
        return;
    }
    for task in sent {
        let status = match task.status {
            Some(status) => status.as_str(),
            None => "accepted",
        };
        println!("{}  {status}  {} URLs", task.task_id, task.urls);
    }
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
