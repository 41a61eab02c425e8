//! DescribePurgeTasks: one row for each URL or directory of past purges.
//!
//! An empty text counts as an absent filter, since forms and scripts send such; a purge, where that could do more than was meant, refuses it instead.
//! How far back rows are kept is not decided here, and neither is their order.

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::{Action, FlushType, PurgeType, Request, TaskArea, TaskStatus, param_error, word};
use crate::code::{ErrorCode, WireError};
use crate::limits::{MAX_KEYWORD, MAX_OFFSET, MAX_PAGE};
use crate::params::{ParamError, Params};
use crate::time::{format_utc8, parse_utc8};

/// The 13 codes that the vendor's SDK lists for the action.
pub(super) const CODES: &[ErrorCode] = &[
    ErrorCode::CamSystemError,
    ErrorCode::CdnDbError,
    ErrorCode::CdnQuerySystemError,
    ErrorCode::CdnSystemError,
    ErrorCode::InternalServiceError,
    ErrorCode::ProxyServer,
    ErrorCode::RouteError,
    ErrorCode::UnknownError,
    ErrorCode::CdnParamError,
    ErrorCode::CdnUserNotExists,
    ErrorCode::CdnCamUnauthorized,
    ErrorCode::OpNoAuth,
    ErrorCode::OperationTooOften,
];

const DEFAULT_LIMIT: u32 = 20;

/// Which tasks: the contract wants a task or a beginning, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskFilter<'a> {
    /// One task, opaque text; an unknown one gives no rows, and no error. Perhaps within a span of time.
    Task(Cow<'a, str>, Option<Span>),
    /// All tasks created within a span of time.
    Created(Span),
}

/// A span of creation times, Unix seconds, both ends included, `start <= end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// `None`: from the first kept row.
    pub start: Option<i64>,
    /// `None`: until now.
    pub end: Option<i64>,
}

/// Which URL or domain, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keyword<'a> {
    /// A domain's name.
    Domain(Cow<'a, str>),
    /// A whole URL, beginning with `http://` or `https://`.
    Url(Cow<'a, str>),
}

impl Keyword<'_> {
    /// The text as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Keyword::Domain(text) | Keyword::Url(text) => text,
        }
    }
}

/// The request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribePurgeTasksRequest<'a> {
    /// Which tasks.
    pub tasks: TaskFilter<'a>,
    /// `None`: both types.
    pub purge_type: Option<PurgeType>,
    /// `None`: any.
    pub keyword: Option<Keyword<'a>>,
    /// `None`: any.
    pub status: Option<TaskStatus>,
    /// `None`: any.
    pub area: Option<TaskArea>,
    /// Rows to pass over, 0 to 1,000,000,000; default 0.
    pub offset: u32,
    /// Rows to give, 1 to 1,000; default 20. The vendor states no maximum.
    pub limit: u32,
}

impl DescribePurgeTasksRequest<'_> {
    /// The first 20 rows of these tasks, without any other filter.
    #[must_use]
    pub const fn of(tasks: TaskFilter<'_>) -> DescribePurgeTasksRequest<'_> {
        DescribePurgeTasksRequest {
            tasks,
            purge_type: None,
            keyword: None,
            status: None,
            area: None,
            offset: 0,
            limit: DEFAULT_LIMIT,
        }
    }
}

impl<'a> Request<'a> for DescribePurgeTasksRequest<'a> {
    const ACTION: Action = Action::DescribePurgeTasks;

    fn from_params(mut params: Params<'a>) -> Result<Self, WireError> {
        params.only(&[
            "PurgeType",
            "StartTime",
            "EndTime",
            "TaskId",
            "Offset",
            "Limit",
            "Keyword",
            "Status",
            "Area",
        ])?;
        // All types before any value, so that what is refused does not depend on the order of the checks below.
        let mut text = |name| Ok::<_, ParamError>(params.text(name)?.filter(|text| !text.is_empty()));
        let (purge_type, start, end) = (text("PurgeType")?, text("StartTime")?, text("EndTime")?);
        let (task_id, keyword, status, area) = (text("TaskId")?, text("Keyword")?, text("Status")?, text("Area")?);
        let (offset, limit) = (params.int("Offset")?, params.int("Limit")?);
        let span = Span { start: time("StartTime", start)?, end: time("EndTime", end)? };
        Ok(Self {
            tasks: tasks(task_id, span)?,
            purge_type: purge_type.map(|text| word("PurgeType", &text)).transpose()?,
            keyword: keyword.map(self::keyword).transpose()?,
            status: status.map(|text| word("Status", &text)).transpose()?,
            area: area.map(|text| word("Area", &text)).transpose()?,
            offset: count("Offset", offset.unwrap_or(0), 0, MAX_OFFSET)?,
            limit: count("Limit", limit.unwrap_or(i64::from(DEFAULT_LIMIT)), 1, MAX_PAGE)?,
        })
    }
}

fn time(name: &str, text: Option<Cow<'_, str>>) -> Result<Option<i64>, WireError> {
    text.map(|text| parse_utc8(&text).map_err(|why| param_error(name, &why.to_string()))).transpose()
}

fn tasks(task_id: Option<Cow<'_, str>>, span: Span) -> Result<TaskFilter<'_>, WireError> {
    if let (Some(start), Some(end)) = (span.start, span.end)
        && end < start
    {
        return Err(param_error("EndTime", "is before StartTime"));
    }
    match task_id {
        Some(id) if id.len() > MAX_KEYWORD => Err(param_error("TaskId", "is too long")),
        Some(id) => Ok(TaskFilter::Task(id, (span.start.is_some() || span.end.is_some()).then_some(span))),
        None if span.start.is_some() => Ok(TaskFilter::Created(span)),
        None => Err(WireError::new(ErrorCode::CdnParamError, "Either `TaskId` or `StartTime` must be given.")),
    }
}

fn keyword(text: Cow<'_, str>) -> Result<Keyword<'_>, WireError> {
    if text.len() > MAX_KEYWORD {
        return Err(param_error("Keyword", "is too long"));
    }
    let begins_with = |scheme: &str| text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    if begins_with("http://") || begins_with("https://") {
        Ok(Keyword::Url(text))
    } else if text.contains(['/', ' ']) {
        Err(param_error("Keyword", "must be a domain, or a URL that begins with `http://` or `https://`"))
    } else {
        Ok(Keyword::Domain(text))
    }
}

fn count(name: &str, value: i64, least: i64, most: i64) -> Result<u32, WireError> {
    let fits = (least..=most).contains(&value).then(|| u32::try_from(value).ok()).flatten();
    fits.ok_or_else(|| param_error(name, &format!("must be {least} to {most}, and is {value}")))
}

impl Serialize for DescribePurgeTasksRequest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let span = match &self.tasks {
            TaskFilter::Task(id, span) => {
                map.serialize_entry("TaskId", id)?;
                *span
            }
            TaskFilter::Created(span) => Some(*span),
        };
        let (start, end) = span.map_or((None, None), |span| (span.start, span.end));
        for (name, time) in [("StartTime", start), ("EndTime", end)] {
            if let Some(time) = time {
                map.serialize_entry(name, &format_utc8(time))?;
            }
        }
        let words = [
            ("PurgeType", self.purge_type.map(PurgeType::as_str)),
            ("Keyword", self.keyword.as_ref().map(Keyword::as_str)),
            ("Status", self.status.map(TaskStatus::as_str)),
            ("Area", self.area.map(TaskArea::as_str)),
        ];
        for (name, text) in words {
            if let Some(text) = text {
                map.serialize_entry(name, text)?;
            }
        }
        map.serialize_entry("Offset", &self.offset)?;
        map.serialize_entry("Limit", &self.limit)?;
        map.end()
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribePurgeTasksResponse {
    /// The page's rows.
    pub purge_logs: Vec<PurgeTask>,
    /// Rows that match, on all pages.
    pub total_count: u64,
}

/// One row: one URL or directory of one task. The contract has no area, no end time and no reason of failure in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PurgeTask {
    /// The task that it belongs to.
    pub task_id: String,
    /// The URL or directory.
    pub url: String,
    /// What became of it.
    pub status: TaskStatus,
    /// What it is.
    pub purge_type: PurgeType,
    /// How it is forgotten; `delete` for URLs.
    pub flush_type: FlushType,
    /// `YYYY-MM-DD HH:MM:SS` in UTC+8, from [`format_utc8`].
    pub create_time: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<DescribePurgeTasksRequest<'_>, WireError> {
        DescribePurgeTasksRequest::from_params(Params::from_json(json.as_bytes())?)
    }

    #[test]
    fn a_task_or_a_beginning_has_to_be_given() {
        let task = read(r#"{"TaskId":"1533045796-i60rfmzm","StartTime":"","Area":""}"#).expect("a valid request");
        assert_eq!(task, DescribePurgeTasksRequest::of(TaskFilter::Task("1533045796-i60rfmzm".into(), None)));
        let span =
            read(r#"{"StartTime":"2018-07-31 22:03:16","EndTime":"2018-07-31 22:03:16","Limit":1000,"Offset":5}"#)
                .expect("a valid request");
        assert_eq!(span.tasks, TaskFilter::Created(Span { start: Some(1_533_045_796), end: Some(1_533_045_796) }));
        assert_eq!((span.offset, span.limit), (5, 1000));
    }

    #[test]
    fn each_value_outside_of_the_contract_is_refused_by_name() {
        let with = |more: &str| format!(r#"{{"TaskId":"1",{more}}}"#);
        for (json, named) in [
            ("{}".to_owned(), "TaskId"),
            (r#"{"TaskId":""}"#.to_owned(), "TaskId"),
            (r#"{"EndTime":"2018-07-31 22:03:16"}"#.to_owned(), "StartTime"),
            (with(r#""StartTime":"2018-07-31""#), "StartTime"),
            (with(r#""EndTime":"2018-02-30 00:00:00""#), "EndTime"),
            (with(r#""StartTime":"2018-07-31 22:03:16","EndTime":"2018-07-31 22:03:15""#), "EndTime"),
            (with(r#""Limit":0"#), "Limit"),
            (with(r#""Limit":1001"#), "Limit"),
            (with(r#""Offset":-1"#), "Offset"),
            (with(r#""Status":"Done""#), "Status"),
            (with(r#""Area":"china""#), "Area"),
            (with(r#""PurgeType":"dir""#), "PurgeType"),
            (with(r#""Keyword":"www.test.com/a""#), "Keyword"),
        ] {
            let error = read(&json).expect_err(&json);
            assert_eq!(error.code, ErrorCode::CdnParamError, "{json}");
            assert!(error.message.contains(named), "{json}: {}", error.message);
        }
        assert_eq!(read(r#"{"TaskId":1533045796}"#).expect_err("a number").code, ErrorCode::InvalidParameter);
        assert_eq!(read(r#"{"TaskId":"1","Limit":"20"}"#).expect_err("a text").code, ErrorCode::InvalidParameter);
        assert_eq!(read(r#"{"TaskId":"1","Domain":"x"}"#).expect_err("unknown").code, ErrorCode::UnknownParameter);
    }

    #[test]
    fn a_keyword_is_a_domain_or_a_whole_url() {
        let of = |text: &str| keyword(Cow::Owned(text.to_owned())).map(|k| matches!(k, Keyword::Url(_)));
        assert_eq!(of("HTTPS://a.example/x y"), Ok(true));
        assert_eq!(of("a.example"), Ok(false));
        assert!(of("a example").is_err());
    }
}
