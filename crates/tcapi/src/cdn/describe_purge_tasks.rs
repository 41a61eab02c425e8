//! DescribePurgeTasks: one row for each URL or directory of past purges.
//!
//! How far back rows are kept is not decided here, and neither is their order.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::task_query::{self, DEFAULT_LIMIT, NAMES, TaskQuery, given};
use super::{Action, FlushType, Keyword, PurgeType, Request, TaskArea, TaskFilter, TaskStatus, word};
use crate::code::{ErrorCode, WireError};
use crate::params::Params;

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
        params.only(&[&["PurgeType", "Status"], NAMES.as_slice()].concat())?;
        let (purge_type, status) = (given(&mut params, "PurgeType")?, given(&mut params, "Status")?);
        let TaskQuery { tasks, keyword, area, offset, limit } = TaskQuery::read(&mut params)?;
        Ok(Self {
            tasks,
            purge_type: purge_type.map(|text| word("PurgeType", &text)).transpose()?,
            keyword,
            status: status.map(|text| word("Status", &text)).transpose()?,
            area,
            offset,
            limit,
        })
    }
}

impl Serialize for DescribePurgeTasksRequest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let words = [
            ("PurgeType", self.purge_type.map(PurgeType::as_str)),
            ("Keyword", self.keyword.as_ref().map(Keyword::as_str)),
            ("Status", self.status.map(TaskStatus::as_str)),
            ("Area", self.area.map(TaskArea::as_str)),
        ];
        task_query::write(&mut map, &self.tasks, &words, (self.offset, self.limit))?;
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
    /// `YYYY-MM-DD HH:MM:SS` in UTC+8, from [`crate::time::format_utc8`].
    pub create_time: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdn::Span;

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
}
