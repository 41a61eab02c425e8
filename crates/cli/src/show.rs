//! `tasks`, `quota`, `nodes` and `receipts`: what the service knows, for people or as JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use catharsis_tcapi::cdn::{
    Action, CacheNode, DescribeCacheNodesRequest, DescribeCacheNodesResponse, DescribePurgeQuotaRequest,
    DescribePurgeQuotaResponse, DescribePurgeReceiptsRequest, DescribePurgeReceiptsResponse, DescribePurgeTasksRequest,
    DescribePurgeTasksResponse, Keyword, NodeReceipt, Span, TaskArea, TaskFilter, TaskStatus,
};
use catharsis_tcapi::time::parse_utc8;

use crate::client::Client;
use crate::console::Console;
use crate::ended::Ended;
use crate::{Connection, admin};

/// Which purges to list.
#[derive(Clone, Debug, clap::Args)]
pub struct Tasks {
    /// This task only
    #[arg(long, value_name = "TASK_ID")]
    task: Option<String>,
    /// Accepted within this time, such as 24h. Default, without --task and --start: 24h
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// Accepted at or after this: "YYYY-MM-DD HH:MM:SS" in UTC+8
    #[arg(long, value_name = "WHEN", conflicts_with = "since")]
    start: Option<String>,
    /// Accepted at or before this
    #[arg(long, value_name = "WHEN")]
    end: Option<String>,
    /// A domain, or a whole URL
    #[arg(long)]
    keyword: Option<String>,
    /// Of this status only
    #[arg(long, value_enum)]
    status: Option<StatusArg>,
    /// Of this area only
    #[arg(long, value_enum)]
    area: Option<TaskAreaArg>,
    /// Rows to pass over
    #[arg(long, default_value_t = 0)]
    offset: u32,
    /// Rows to show, at most 1000
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Show all rows, page by page
    #[arg(long, conflicts_with_all = ["offset", "limit"])]
    all: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A status, as an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum StatusArg {
    Process,
    Done,
    Fail,
}

/// Areas, as an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum TaskAreaArg {
    Mainland,
    Overseas,
    Global,
}

/// How to show the quota, or what to do with that of any account.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Quota {
    #[command(subcommand)]
    verb: Option<admin::quota::Verb>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Quota {
    /// Whether a document was asked for, with or without a verb.
    pub(crate) fn prints_json(&self) -> bool {
        self.verb.as_ref().map_or(self.json, |verb| verb.operator().json)
    }
}

/// How to show the caches.
#[derive(Clone, Debug, clap::Args)]
pub struct Nodes {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Whose receipts to show.
#[derive(Clone, Debug, clap::Args)]
pub struct Receipts {
    /// The task
    #[arg(value_name = "TASK_ID")]
    task: String,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Lists purges.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn tasks(options: Tasks, console: &mut Console) -> Result<(), Ended> {
    let client = Client::new(&options.connection, console)?;
    let mut request = tasks_request(&options)?;
    let mut shown = DescribePurgeTasksResponse { purge_logs: Vec::new(), total_count: 0 };
    loop {
        let page: DescribePurgeTasksResponse = client.call(Action::DescribePurgeTasks, &request).await?;
        shown.total_count = page.total_count;
        let rows = u32::try_from(page.purge_logs.len()).unwrap_or(u32::MAX);
        shown.purge_logs.extend(page.purge_logs);
        request.offset = request.offset.saturating_add(rows);
        if !options.all || rows == 0 || u64::from(request.offset) >= page.total_count {
            break;
        }
    }
    if options.json {
        console.json(&shown);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = shown
        .purge_logs
        .iter()
        .map(|row| vec![row.create_time.clone(), row.status.as_str().to_owned(), row.task_id.clone(), row.url.clone()])
        .collect();
    console.table(&["CREATED (UTC+8)", "STATUS", "TASK", "URL"], &rows);
    console.note(&format!("{} of {} rows", rows.len(), shown.total_count));
    Ok(())
}

fn tasks_request(options: &Tasks) -> Result<DescribePurgeTasksRequest<'_>, Ended> {
    let moment = |name: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => parse_utc8(text).map(Some).map_err(|error| Ended::Usage(format!("--{name}: {error}"))),
    };
    let since = options
        .since
        .or_else(|| (options.task.is_none() && options.start.is_none()).then_some(Duration::from_secs(86_400)));
    let start = match since {
        Some(since) => Some(now().saturating_sub(i64::try_from(since.as_secs()).unwrap_or(i64::MAX)).max(0)),
        None => moment("start", &options.start)?,
    };
    let span = Span { start, end: moment("end", &options.end)? };
    let mut request = DescribePurgeTasksRequest::of(match &options.task {
        Some(task) => TaskFilter::Task(task.into(), Some(span)),
        None => TaskFilter::Created(span),
    });
    request.keyword = options
        .keyword
        .as_deref()
        .map(|text| if text.contains("://") { Keyword::Url(text.into()) } else { Keyword::Domain(text.into()) });
    request.status = options.status.map(|status| match status {
        StatusArg::Process => TaskStatus::Process,
        StatusArg::Done => TaskStatus::Done,
        StatusArg::Fail => TaskStatus::Fail,
    });
    request.area = options.area.map(|area| match area {
        TaskAreaArg::Mainland => TaskArea::Mainland,
        TaskAreaArg::Overseas => TaskArea::Overseas,
        TaskAreaArg::Global => TaskArea::Global,
    });
    request.offset = options.offset;
    request.limit = if options.all { 1_000 } else { options.limit };
    Ok(request)
}

/// Shows today's quota, or manages that of any account.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn quota(options: Quota, console: &mut Console) -> Result<(), Ended> {
    if let Some(verb) = options.verb {
        return admin::quota::run(verb, console).await;
    }
    let client = Client::new(&options.connection, console)?;
    let request = DescribePurgeQuotaRequest {};
    let quota: DescribePurgeQuotaResponse = client.call(Action::DescribePurgeQuota, &request).await?;
    if options.json {
        console.json(&quota);
        return Ok(());
    }
    let kinds = [("url", &quota.url_purge), ("path", &quota.path_purge)];
    let rows: Vec<Vec<String>> = kinds
        .iter()
        .flat_map(|(kind, quotas)| quotas.iter().map(move |it| (kind, it)))
        .map(|(kind, it)| {
            let numbers = [it.available, it.total, it.batch].map(|number| number.to_string());
            [vec![(*kind).to_owned(), it.area.as_str().to_owned()], numbers.to_vec()].concat()
        })
        .collect();
    console.table(&["KIND", "AREA", "AVAILABLE", "A DAY", "A CALL"], &rows);
    Ok(())
}

/// Shows where the caches stand.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn nodes(options: Nodes, console: &mut Console) -> Result<(), Ended> {
    let client = Client::new(&options.connection, console)?;
    let request = DescribeCacheNodesRequest {};
    let answer: DescribeCacheNodesResponse = client.call(Action::DescribeCacheNodes, &request).await?;
    if options.json {
        console.json(&answer);
        return Ok(());
    }
    let heading = ["NODE", "AREA", "TIER", "KIND", "FENCE", "STATE", "CURSOR", "LAG", "LAST RECEIPT"];
    console.table(&heading, &answer.nodes.iter().map(node_row).collect::<Vec<_>>());
    for node in &answer.nodes {
        if let Some(trouble) = &node.trouble {
            console.line(&format!("{}: {trouble}", node.node));
        }
    }
    Ok(())
}

fn node_row(node: &CacheNode) -> Vec<String> {
    let last = node.last_receipt_ms.map_or_else(|| "never".to_owned(), |at| ago(now_ms().saturating_sub(at)));
    vec![
        node.node.clone(),
        node.area.clone(),
        node.tier.clone(),
        node.kind.clone(),
        node.fence.clone(),
        node.state.clone(),
        node.cursor.to_string(),
        node.lag.to_string(),
        last,
    ]
}

/// Shows what became of a task at each node.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn receipts(options: Receipts, console: &mut Console) -> Result<(), Ended> {
    let client = Client::new(&options.connection, console)?;
    let request = DescribePurgeReceiptsRequest { task_id: options.task.as_str().into() };
    let answer: DescribePurgeReceiptsResponse = client.call(Action::DescribePurgeReceipts, &request).await?;
    if options.json {
        console.json(&answer);
        return Ok(());
    }
    console.line(&format!(
        "task {}  {}  {} URLs, accepted {} (UTC+8)",
        answer.task_id,
        answer.status.as_str(),
        answer.item_count,
        answer.create_time
    ));
    let heading = ["NODE", "AREA", "TIER", "APPLIED", "ABSENT", "REFUSED", "PENDING", "TOOK", "FENCE", "ATTEMPTS"];
    console.table(&heading, &answer.nodes.iter().map(receipt_row).collect::<Vec<_>>());
    for node in &answer.nodes {
        for refused in &node.refused {
            console.line(&format!("{} refused {}: {}", node.node, refused.url, refused.reason));
        }
        if let (true, Some(trouble)) = (node.pending > 0, &node.trouble) {
            console.line(&format!("{}: {trouble}", node.node));
        }
    }
    Ok(())
}

fn receipt_row(node: &NodeReceipt) -> Vec<String> {
    let fence = match node.fence_wait_ms {
        0 => node.fence.clone(),
        wait => format!("{} {}", node.fence, span(wait)),
    };
    vec![
        node.node.clone(),
        node.area.clone(),
        node.tier.clone(),
        node.applied.to_string(),
        node.absent.to_string(),
        node.refused.len().to_string(),
        node.pending.to_string(),
        node.took_ms.map_or_else(|| "-".to_owned(), span),
        fence,
        node.attempts.to_string(),
    ]
}

fn span(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..100_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => humantime::format_duration(Duration::from_secs(millis / 1_000)).to_string(),
    }
}

fn ago(millis: u64) -> String {
    format!("{} ago", span(millis))
}

fn now() -> i64 {
    i64::try_from(now_ms() / 1_000).unwrap_or(i64::MAX)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short_and_exact_enough() {
        assert_eq!([3, 2_345, 3_723_000].map(span), ["3 ms", "2.3 s", "1h 2m 3s"]);
    }
}
