//! DescribePushQuota: what is left of the day's quota of prefetches.

use serde::{Deserialize, Serialize};

use super::{Action, Quota, Request};
use crate::code::{ErrorCode, WireError};
use crate::params::Params;

/// The 7 codes that the vendor's SDK lists for the action.
pub(super) const CODES: &[ErrorCode] = &[
    ErrorCode::CdnDbError,
    ErrorCode::CdnSystemError,
    ErrorCode::ProxyServer,
    ErrorCode::RouteError,
    ErrorCode::CdnUserNotExists,
    ErrorCode::CdnUserIsSuspended,
    ErrorCode::OperationTooOften,
];

/// The request; it has no parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DescribePushQuotaRequest {}

impl<'a> Request<'a> for DescribePushQuotaRequest {
    const ACTION: Action = Action::DescribePushQuota;

    fn from_params(params: Params<'a>) -> Result<Self, WireError> {
        params.only(&[])?;
        Ok(Self {})
    }
}

/// The answer: an entry for each area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribePushQuotaResponse {
    /// Of URLs.
    pub url_push: Vec<Quota>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdn::PurgeArea;

    #[test]
    fn it_answers_with_the_contracts_names() {
        let quota = Quota { batch: 500, total: 1000, available: 999, area: PurgeArea::Overseas };
        let answer = serde_json::to_string(&DescribePushQuotaResponse { url_push: vec![quota] });
        let expected = r#"{"UrlPush":[{"Batch":500,"Total":1000,"Available":999,"Area":"overseas"}]}"#;
        assert_eq!(answer.ok().as_deref(), Some(expected));
    }
}
