//! `catharsis purge`, `purge-path` and `push`: what each sends, and how its tasks are counted.

use catharsis_tcapi::cdn::{
    Action, CallOptions, DescribePurgeReceiptsRequest, DescribePurgeReceiptsResponse, DescribePurgeTasksRequest,
    DescribePurgeTasksResponse, DescribePushTasksRequest, DescribePushTasksResponse, FlushType, HttpHeader, Layer,
    PurgeArea, PurgePathCacheRequest, PurgePathCacheResponse, PurgeUrlsCacheRequest, PurgeUrlsCacheResponse,
    PushStatus, PushUrlsCacheRequest, PushUrlsCacheResponse, TaskArea, TaskFilter, TaskStatus,
};

use crate::client::Client;
use crate::console::Console;
use crate::ended::Ended;
use crate::submit::{self, Standing, Submission, Work};

/// What to purge.
#[derive(Clone, Debug, clap::Args)]
pub struct Purge {
    /// Where to purge. Default: where each domain is served
    #[arg(long, value_enum)]
    area: Option<AreaArg>,
    /// URLs in one call
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    batch: u32,
    #[command(flatten)]
    submission: Submission,
}

/// Which directories to purge, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct PurgePath {
    #[command(flatten)]
    how: How,
    /// Where to purge. Default: where each domain is served
    #[arg(long, value_enum)]
    area: Option<AreaArg>,
    /// Directories in one call
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    batch: u32,
    #[command(flatten)]
    submission: Submission,
}

/// One of both; there is no default, as in the contract.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct How {
    /// Have what changed at the origin fetched anew
    #[arg(long)]
    flush: bool,
    /// Have everything fetched anew
    #[arg(long)]
    delete: bool,
}

/// What to fetch into the caches.
#[derive(Clone, Debug, clap::Args)]
pub struct Push {
    /// Where to
    #[arg(long, value_enum, default_value = "mainland")]
    area: TaskAreaArg,
    /// User-Agent of the fetches. Default: the service's
    #[arg(long, value_name = "TEXT")]
    user_agent: Option<String>,
    /// A header of the fetches; may be given again
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Fetch what a playlist lists, too
    #[arg(long)]
    parse_m3u8: bool,
    /// Fetch into the shields only
    #[arg(long)]
    middle: bool,
    /// URLs in one call
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    batch: u32,
    #[command(flatten)]
    submission: Submission,
}

/// A region, as an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum AreaArg {
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

/// Regions, as an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TaskAreaArg {
    /// Mainland China.
    Mainland,
    /// Elsewhere.
    Overseas,
    /// Both.
    Global,
}

impl From<TaskAreaArg> for TaskArea {
    fn from(area: TaskAreaArg) -> Self {
        match area {
            TaskAreaArg::Mainland => Self::Mainland,
            TaskAreaArg::Overseas => Self::Overseas,
            TaskAreaArg::Global => Self::Global,
        }
    }
}

/// Purges URLs.
///
/// # Errors
/// [`Ended`], after what was accepted until then has been told.
pub(crate) async fn run(purge: Purge, console: &mut Console) -> Result<(), Ended> {
    submit::run(&purge, &purge.submission, purge.batch, console).await
}

/// Purges directories.
///
/// # Errors
/// [`Ended`], after what was accepted until then has been told.
pub(crate) async fn run_path(purge: PurgePath, console: &mut Console) -> Result<(), Ended> {
    submit::run(&purge, &purge.submission, purge.batch, console).await
}

/// Fetches URLs into the caches.
///
/// # Errors
/// [`Ended`], after what was accepted until then has been told.
pub(crate) async fn run_push(push: Push, console: &mut Console) -> Result<(), Ended> {
    submit::run(&push, &push.submission, push.batch, console).await
}

impl Work for Purge {
    async fn send(&self, client: &Client, urls: &[String], options: CallOptions<'_>) -> Result<String, Ended> {
        let request = PurgeUrlsCacheRequest {
            area: self.area.map(PurgeArea::from),
            url_encode: self.submission.url_encode,
            options,
            ..PurgeUrlsCacheRequest::of(urls.iter().map(Into::into).collect())
        };
        let answer: PurgeUrlsCacheResponse = client.call(Action::PurgeUrlsCache, &request).await?;
        Ok(answer.task_id)
    }

    async fn count(&self, client: &Client, task_id: &str, standing: Standing) -> Result<u64, Ended> {
        count_purged(client, task_id, standing).await
    }

    async fn why(&self, client: &Client, task_id: &str) -> Vec<String> {
        why(client, task_id).await
    }
}

impl Work for PurgePath {
    async fn send(&self, client: &Client, urls: &[String], options: CallOptions<'_>) -> Result<String, Ended> {
        let flush_type = if self.how.flush { FlushType::Flush } else { FlushType::Delete };
        let request = PurgePathCacheRequest {
            area: self.area.map(PurgeArea::from),
            url_encode: self.submission.url_encode,
            options,
            ..PurgePathCacheRequest::of(urls.iter().map(Into::into).collect(), flush_type)
        };
        let answer: PurgePathCacheResponse = client.call(Action::PurgePathCache, &request).await?;
        Ok(answer.task_id)
    }

    async fn count(&self, client: &Client, task_id: &str, standing: Standing) -> Result<u64, Ended> {
        count_purged(client, task_id, standing).await
    }

    async fn why(&self, client: &Client, task_id: &str) -> Vec<String> {
        why(client, task_id).await
    }
}

impl Work for Push {
    async fn send(&self, client: &Client, urls: &[String], options: CallOptions<'_>) -> Result<String, Ended> {
        let mut request = PushUrlsCacheRequest {
            layer: self.middle.then_some(Layer::Middle),
            parse_m3u8: self.parse_m3u8,
            headers: self.headers.iter().map(|text| header(text)).collect::<Result<_, _>>()?,
            url_encode: self.submission.url_encode,
            options,
            ..PushUrlsCacheRequest::of(urls.iter().map(Into::into).collect(), self.area.into())
        };
        if let Some(user_agent) = &self.user_agent {
            request.user_agent = user_agent.into();
        }
        let answer: PushUrlsCacheResponse = client.call(Action::PushUrlsCache, &request).await?;
        Ok(answer.task_id)
    }

    /// What the origin answered with an error has failed, too.
    async fn count(&self, client: &Client, task_id: &str, standing: Standing) -> Result<u64, Ended> {
        let statuses: &[PushStatus] = match standing {
            Standing::Process => &[PushStatus::Process],
            Standing::Done => &[PushStatus::Done],
            Standing::Fail => &[PushStatus::Fail, PushStatus::Invalid],
        };
        let mut rows = 0;
        for status in statuses {
            let mut request = DescribePushTasksRequest::of(TaskFilter::Task(task_id.into(), None));
            request.status = Some(*status);
            request.limit = 1;
            let page: DescribePushTasksResponse = client.call(Action::DescribePushTasks, &request).await?;
            rows += page.total_count;
        }
        Ok(rows)
    }

    /// The first of the URLs that failed; `push-tasks` lists them all.
    async fn why(&self, client: &Client, task_id: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for status in [PushStatus::Fail, PushStatus::Invalid] {
            let mut request = DescribePushTasksRequest::of(TaskFilter::Task(task_id.into(), None));
            request.status = Some(status);
            let page: Result<DescribePushTasksResponse, Ended> = client.call(Action::DescribePushTasks, &request).await;
            let rows = page.map(|page| page.push_logs).unwrap_or_default();
            lines.extend(rows.iter().map(|row| format!("  {}: {}", row.status.as_str(), row.url)));
        }
        lines
    }
}

/// A header may hold a credential: what is wrong with it is told without it.
fn header(text: &str) -> Result<HttpHeader<'_>, Ended> {
    let (name, value) = text.split_once(':').ok_or_else(|| Ended::Usage("--header: write NAME: VALUE".to_owned()))?;
    Ok(HttpHeader { name: name.trim().into(), value: value.trim().into() })
}

async fn count_purged(client: &Client, task_id: &str, standing: Standing) -> Result<u64, Ended> {
    let mut request = DescribePurgeTasksRequest::of(TaskFilter::Task(task_id.into(), None));
    request.status = Some(match standing {
        Standing::Process => TaskStatus::Process,
        Standing::Done => TaskStatus::Done,
        Standing::Fail => TaskStatus::Fail,
    });
    request.limit = 1;
    let page: DescribePurgeTasksResponse = client.call(Action::DescribePurgeTasks, &request).await?;
    Ok(page.total_count)
}

/// The nodes and reasons behind a failure, where the server can tell them; Tencent's cannot.
async fn why(client: &Client, task_id: &str) -> Vec<String> {
    let request = DescribePurgeReceiptsRequest::of(task_id);
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
