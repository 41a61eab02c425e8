//! DescribePushTasks: one row for each URL of past prefetches. How far back rows are kept and their order is not decided here.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::task_query::{self, DEFAULT_LIMIT, NAMES, TaskQuery, given};
use super::{Action, Keyword, PushStatus, Request, TaskArea, TaskFilter, word};
use crate::code::{ErrorCode, WireError};
use crate::params::Params;

/// The 24 codes that the vendor's SDK lists for the action.
pub(super) const CODES: &[ErrorCode] = &[
    ErrorCode::CamSystemError,
    ErrorCode::CdnDbError,
    ErrorCode::CdnQuerySystemError,
    ErrorCode::CdnSystemError,
    ErrorCode::InternalServiceError,
    ErrorCode::ProxyServer,
    ErrorCode::RouteError,
    ErrorCode::CdnHostInvalidParam,
    ErrorCode::CdnInterfaceError,
    ErrorCode::CdnParamError,
    ErrorCode::CdnStatInvalidDate,
    ErrorCode::CdnStatInvalidMetric,
    ErrorCode::CdnStatInvalidProjectId,
    ErrorCode::CdnHostOpTooOften,
    ErrorCode::CdnHostNotExists,
    ErrorCode::CdnUserNotExists,
    ErrorCode::CdnHostIsNotOnline,
    ErrorCode::CdnCamUnauthorized,
    ErrorCode::CdnUserAuthFail,
    ErrorCode::CdnUserAuthWait,
    ErrorCode::CdnUserIsSuspended,
    ErrorCode::CdnUserNoWhitelist,
    ErrorCode::OpNoAuth,
    ErrorCode::OperationTooOften,
];

/// The request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribePushTasksRequest<'a> {
    /// Which tasks.
    pub tasks: TaskFilter<'a>,
    /// `None`: any.
    pub keyword: Option<Keyword<'a>>,
    /// `None`: any.
    pub status: Option<PushStatus>,
    /// `None`: any.
    pub area: Option<TaskArea>,
    /// Rows to pass over, 0 to 1,000,000,000; default 0.
    pub offset: u32,
    /// Rows to give, 1 to 1,000; default 20. The vendor states no maximum.
    pub limit: u32,
}

impl DescribePushTasksRequest<'_> {
    /// The first 20 rows of these tasks, without any other filter.
    #[must_use]
    pub const fn of(tasks: TaskFilter<'_>) -> DescribePushTasksRequest<'_> {
        DescribePushTasksRequest { tasks, keyword: None, status: None, area: None, offset: 0, limit: DEFAULT_LIMIT }
    }
}

impl<'a> Request<'a> for DescribePushTasksRequest<'a> {
    const ACTION: Action = Action::DescribePushTasks;

    fn from_params(mut params: Params<'a>) -> Result<Self, WireError> {
        params.only(&[&["Status"], NAMES.as_slice()].concat())?;
        let status = given(&mut params, "Status")?;
        let TaskQuery { tasks, keyword, area, offset, limit } = TaskQuery::read(&mut params)?;
        let status = status.map(|text| word("Status", &text)).transpose()?;
        Ok(Self { tasks, keyword, status, area, offset, limit })
    }
}

impl Serialize for DescribePushTasksRequest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let words = [
            ("Keyword", self.keyword.as_ref().map(Keyword::as_str)),
            ("Status", self.status.map(PushStatus::as_str)),
            ("Area", self.area.map(TaskArea::as_str)),
        ];
        task_query::write(&mut map, &self.tasks, &words, (self.offset, self.limit))?;
        map.end()
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribePushTasksResponse {
    /// The page's rows.
    pub push_logs: Vec<PushTask>,
    /// Rows that match, on all pages.
    pub total_count: u64,
}

/// One row: one URL of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PushTask {
    /// The task that it belongs to.
    pub task_id: String,
    /// The URL.
    pub url: String,
    /// What became of it.
    pub status: PushStatus,
    /// How much of it is in the caches, 0 to 100.
    pub percent: u32,
    /// `YYYY-MM-DD HH:MM:SS` in UTC+8, from [`crate::time::format_utc8`].
    pub create_time: String,
    /// Where it was prefetched to.
    pub area: TaskArea,
    /// When the row changed last, in the same form; written as `null` before the first change, as documented.
    #[serde(default)]
    pub update_time: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<DescribePushTasksRequest<'_>, WireError> {
        DescribePushTasksRequest::from_params(Params::from_json(json.as_bytes())?)
    }

    #[test]
    fn prefetches_that_the_origin_refused_can_be_listed() {
        let request = read(r#"{"TaskId":"1","Status":"invalid","Area":"global"}"#).expect("a valid request");
        assert_eq!((request.status, request.area), (Some(PushStatus::Invalid), Some(TaskArea::Global)));
        assert_eq!((request.offset, request.limit), (0, 20));
    }

    #[test]
    fn what_only_purges_have_is_unknown_here() {
        let code = |json: &str| read(json).map(drop).expect_err(json).code;
        assert_eq!(code(r#"{"TaskId":"1","PurgeType":"url"}"#), ErrorCode::UnknownParameter);
        assert_eq!(code("{}"), ErrorCode::CdnParamError);
        assert_eq!(code(r#"{"TaskId":"1","Status":"Done"}"#), ErrorCode::CdnParamError);
    }

    #[test]
    fn a_row_that_never_changed_says_so_with_null() {
        let row = PushTask {
            task_id: "1".into(),
            url: "http://a.example/".into(),
            status: PushStatus::Process,
            percent: 40,
            create_time: "2018-07-31 22:03:16".into(),
            area: TaskArea::Mainland,
            update_time: None,
        };
        let page = serde_json::to_string(&DescribePushTasksResponse { push_logs: vec![row], total_count: 1 });
        let expected = r#"{"PushLogs":[{"TaskId":"1","Url":"http://a.example/","Status":"process","Percent":40,"CreateTime":"2018-07-31 22:03:16","Area":"mainland","UpdateTime":null}],"TotalCount":1}"#;
        assert_eq!(page.ok().as_deref(), Some(expected));
    }
}
