//! ModifyPurgeFetchTaskStatus: the vendor's plugin for scheduled tasks reports how one of its tasks ended.
//!
//! There are no scheduled tasks here, so that a report is checked and answered, and nothing is kept of it.

use std::borrow::Cow;

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Iso8601;
use serde::Serialize;

use super::{Action, ExecutionStatus, Request, param_error, word};
use crate::code::{ErrorCode, WireError};
use crate::limits::MAX_REPORT_TEXT;
use crate::params::Params;

/// The 6 codes that the vendor's SDK lists for the action.
pub(super) const CODES: &[ErrorCode] = &[
    ErrorCode::FailedOperation,
    ErrorCode::ProxyServer,
    ErrorCode::RouteError,
    ErrorCode::ResourceNotFound,
    ErrorCode::CdnCamUnauthorized,
    ErrorCode::UnauthorizedUnknown,
];

/// The request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyPurgeFetchTaskStatusRequest<'a> {
    /// When the task ran, ISO 8601 with its offset from UTC.
    pub execution_time: Cow<'a, str>,
    /// How it ended.
    pub execution_status: ExecutionStatus,
    /// The scheduled task, 1 to 4,096 bytes.
    pub id: Cow<'a, str>,
    /// Details, at most 4,096 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_status_desc: Option<Cow<'a, str>>,
}

impl<'a> Request<'a> for ModifyPurgeFetchTaskStatusRequest<'a> {
    const ACTION: Action = Action::ModifyPurgeFetchTaskStatus;

    fn from_params(mut params: Params<'a>) -> Result<Self, WireError> {
        params.only(&["ExecutionTime", "ExecutionStatus", "Id", "ExecutionStatusDesc"])?;
        for name in ["ExecutionTime", "ExecutionStatus", "Id"] {
            params.require(name)?;
        }
        let execution_time = params.required_text("ExecutionTime")?;
        let execution_status = params.required_text("ExecutionStatus")?;
        let id = params.required_text("Id")?;
        let execution_status_desc = params.text("ExecutionStatusDesc")?;
        let execution_status = word("ExecutionStatus", &execution_status).map_err(value_error)?;
        check_texts(&execution_time, &id, execution_status_desc.as_deref()).map_err(value_error)?;
        Ok(Self { execution_time, execution_status, id, execution_status_desc })
    }
}

/// The product's catch-all is not among the action's codes; the platform's code for a wrong value may be answered by any action.
fn value_error(mut error: WireError) -> WireError {
    error.code = ErrorCode::InvalidParameterValue;
    error
}

fn check_texts(time: &str, id: &str, description: Option<&str>) -> Result<(), WireError> {
    // Bounded before it is parsed: no time of ISO 8601 has 64 characters.
    if time.len() > 64 || OffsetDateTime::parse(time, &Iso8601::DEFAULT).is_err() {
        let (english, chinese) = ("is no time of ISO 8601 with an offset from UTC", "不是带时区的 ISO 8601 时间");
        return Err(param_error("ExecutionTime", english, chinese));
    }
    for (name, text, least) in [("Id", id, 1), ("ExecutionStatusDesc", description.unwrap_or(""), 0)] {
        if !(least..=MAX_REPORT_TEXT).contains(&text.len()) {
            return Err(param_error(
                name,
                &format!("must have {least} to {MAX_REPORT_TEXT} bytes"),
                &format!("必须是 {least} 到 {MAX_REPORT_TEXT} 字节"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<ModifyPurgeFetchTaskStatusRequest<'_>, WireError> {
        ModifyPurgeFetchTaskStatusRequest::from_params(Params::from_json(json.as_bytes())?)
    }

    #[test]
    fn a_report_is_read() {
        for time in ["2021-06-10T11:27:01+08:00", "2021-06-10T03:27:01Z", "2021-06-10T03:27:01.123Z"] {
            let json = format!(r#"{{"ExecutionTime":"{time}","ExecutionStatus":"failed","Id":"t1"}}"#);
            let request = read(&json).expect("a valid request");
            assert_eq!((request.execution_status, request.id.as_ref()), (ExecutionStatus::Failed, "t1"));
        }
    }

    #[test]
    fn each_mistake_has_a_code_that_the_action_may_answer() {
        let with = |time: &str, status: &str, id: &str| {
            format!(r#"{{"ExecutionTime":"{time}","ExecutionStatus":"{status}","Id":"{id}"}}"#)
        };
        let good = "2021-06-10T11:27:01+08:00";
        for (json, code) in [
            ("{}".to_owned(), ErrorCode::MissingParameter),
            (with("yesterday", "success", "1"), ErrorCode::InvalidParameterValue),
            (with("2021-06-10 11:27:01", "success", "1"), ErrorCode::InvalidParameterValue),
            (with(good, "done", "1"), ErrorCode::InvalidParameterValue),
            (with(good, "success", ""), ErrorCode::InvalidParameterValue),
            (with(good, "success", &"x".repeat(5000)), ErrorCode::InvalidParameterValue),
        ] {
            assert_eq!(read(&json).map(drop).expect_err(&json).code, code, "{json}");
        }
    }
}
