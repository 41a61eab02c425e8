//! `tasks` and `push-tasks`: what became of purges and of prefetches, for people or as JSON.

use std::time::Duration;

use catharsis_tcapi::cdn::{
    Action, DescribePurgeTasksRequest, DescribePurgeTasksResponse, DescribePushTasksRequest, DescribePushTasksResponse,
    Keyword, PushStatus, Span, TaskArea, TaskFilter, TaskStatus,
};
use catharsis_tcapi::time::parse_utc8;

use crate::Connection;
use crate::client::Client;
use crate::console::Console;
use crate::ended::Ended;
use crate::pages::{self, PAGE, Rows};
use crate::purge::TaskAreaArg;
use crate::show::now;

/// Which purges to list.
#[derive(Clone, Debug, clap::Args)]
pub struct Tasks {
    /// Of this status only
    #[arg(long, value_enum)]
    status: Option<StatusArg>,
    #[command(flatten)]
    pub(crate) query: Query,
}

/// Which prefetches to list.
#[derive(Clone, Debug, clap::Args)]
pub struct PushTasks {
    /// Of this status only; `invalid` is what the origin answered with an error
    #[arg(long, value_enum)]
    status: Option<PushStatusArg>,
    #[command(flatten)]
    pub(crate) query: Query,
}

/// What both have in common.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Query {
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

/// A status of a prefetch, as an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum PushStatusArg {
    Process,
    Done,
    Fail,
    Invalid,
}

impl Query {
    fn tasks(&self) -> Result<TaskFilter<'_>, Ended> {
        let moment = |name: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => parse_utc8(text).map(Some).map_err(|error| Ended::Usage(format!("--{name}: {error}"))),
        };
        let since =
            self.since.or_else(|| (self.task.is_none() && self.start.is_none()).then_some(Duration::from_secs(86_400)));
        let start = match since {
            Some(since) => Some(now().saturating_sub(i64::try_from(since.as_secs()).unwrap_or(i64::MAX)).max(0)),
            None => moment("start", &self.start)?,
        };
        let span = Span { start, end: moment("end", &self.end)? };
        Ok(match &self.task {
            Some(task) => TaskFilter::Task(task.into(), Some(span)),
            None => TaskFilter::Created(span),
        })
    }

    fn keyword(&self) -> Option<Keyword<'_>> {
        let text = self.keyword.as_deref()?;
        Some(if text.contains("://") { Keyword::Url(text.into()) } else { Keyword::Domain(text.into()) })
    }

    fn limit(&self) -> u32 {
        if self.all { PAGE } else { self.limit }
    }

    /// All rows, or the page that is asked for.
    async fn rows<T>(&self, ask: impl AsyncFn(u32) -> Result<Rows<T>, Ended>) -> Result<Rows<T>, Ended> {
        if self.all { pages::all(ask).await } else { ask(self.offset).await }
    }
}

/// Lists purges.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn tasks(options: Tasks, console: &mut Console) -> Result<(), Ended> {
    let query = &options.query;
    let client = Client::new(&query.connection, console)?;
    let request = DescribePurgeTasksRequest {
        keyword: query.keyword(),
        status: options.status.map(|status| match status {
            StatusArg::Process => TaskStatus::Process,
            StatusArg::Done => TaskStatus::Done,
            StatusArg::Fail => TaskStatus::Fail,
        }),
        area: query.area.map(TaskArea::from),
        limit: query.limit(),
        ..DescribePurgeTasksRequest::of(query.tasks()?)
    };
    let ask = async |offset| {
        let request = DescribePurgeTasksRequest { offset, ..request.clone() };
        let page: DescribePurgeTasksResponse = client.call(Action::DescribePurgeTasks, &request).await?;
        Ok(Rows { rows: page.purge_logs, total: page.total_count })
    };
    let Rows { rows, total } = query.rows(ask).await?;
    let shown = DescribePurgeTasksResponse { purge_logs: rows, total_count: total };
    if query.json {
        console.json(&shown);
        return Ok(());
    }
    let cells = |row: &catharsis_tcapi::cdn::PurgeTask| {
        vec![row.create_time.clone(), row.status.as_str().to_owned(), row.task_id.clone(), row.url.clone()]
    };
    let rows: Vec<Vec<String>> = shown.purge_logs.iter().map(cells).collect();
    console.table(&["CREATED (UTC+8)", "STATUS", "TASK", "URL"], &rows);
    console.note(&format!("{} of {} rows", rows.len(), shown.total_count));
    Ok(())
}

/// Lists prefetches.
///
/// # Errors
/// [`Ended`].
pub(crate) async fn push_tasks(options: PushTasks, console: &mut Console) -> Result<(), Ended> {
    let query = &options.query;
    let client = Client::new(&query.connection, console)?;
    let request = DescribePushTasksRequest {
        keyword: query.keyword(),
        status: options.status.map(|status| match status {
            PushStatusArg::Process => PushStatus::Process,
            PushStatusArg::Done => PushStatus::Done,
            PushStatusArg::Fail => PushStatus::Fail,
            PushStatusArg::Invalid => PushStatus::Invalid,
        }),
        area: query.area.map(TaskArea::from),
        limit: query.limit(),
        ..DescribePushTasksRequest::of(query.tasks()?)
    };
    let ask = async |offset| {
        let request = DescribePushTasksRequest { offset, ..request.clone() };
        let page: DescribePushTasksResponse = client.call(Action::DescribePushTasks, &request).await?;
        Ok(Rows { rows: page.push_logs, total: page.total_count })
    };
    let Rows { rows, total } = query.rows(ask).await?;
    let shown = DescribePushTasksResponse { push_logs: rows, total_count: total };
    if query.json {
        console.json(&shown);
        return Ok(());
    }
    let cells = |row: &catharsis_tcapi::cdn::PushTask| {
        let status = row.status.as_str().to_owned();
        vec![row.create_time.clone(), status, format!("{} %", row.percent), row.task_id.clone(), row.url.clone()]
    };
    let rows: Vec<Vec<String>> = shown.push_logs.iter().map(cells).collect();
    console.table(&["CREATED (UTC+8)", "STATUS", "FETCHED", "TASK", "URL"], &rows);
    console.note(&format!("{} of {} rows", rows.len(), shown.total_count));
    Ok(())
}
