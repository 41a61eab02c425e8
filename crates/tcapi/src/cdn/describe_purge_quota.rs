//! DescribePurgeQuota: what is left of the day's quota.

use serde::{Deserialize, Serialize};

use super::{Action, PurgeArea, Request};
use crate::code::{ErrorCode, WireError};
use crate::params::Params;

/// The 6 codes that the vendor's SDK lists for the action.
pub(super) const CODES: &[ErrorCode] = &[
    ErrorCode::CdnDbError,
    ErrorCode::CdnSystemError,
    ErrorCode::ProxyServer,
    ErrorCode::RouteError,
    ErrorCode::CdnUserNotExists,
    ErrorCode::OperationTooOften,
];

/// The request; it has no parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DescribePurgeQuotaRequest {}

impl<'a> Request<'a> for DescribePurgeQuotaRequest {
    const ACTION: Action = Action::DescribePurgeQuota;

    fn from_params(params: Params<'a>) -> Result<Self, WireError> {
        params.only(&[])?;
        Ok(Self {})
    }
}

/// The answer: an entry for each area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribePurgeQuotaResponse {
    /// Of URLs.
    pub url_purge: Vec<Quota>,
    /// Of directories.
    pub path_purge: Vec<Quota>,
}

/// The quota of one area for the current day, which begins at 00:00 UTC+8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Quota {
    /// Most items of one request.
    pub batch: u64,
    /// Items a day.
    pub total: u64,
    /// Items left today.
    pub available: u64,
    /// Which area.
    pub area: PurgeArea,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_no_parameter_and_answers_with_the_contracts_names() {
        let read = |json: &'static str| DescribePurgeQuotaRequest::from_params(Params::from_json(json.as_bytes())?);
        assert_eq!(read("{}"), Ok(DescribePurgeQuotaRequest {}));
        assert_eq!(read(r#"{"Area":"mainland"}"#).map_err(|e| e.code), Err(ErrorCode::UnknownParameter));
        let quota = Quota { batch: 1000, total: 10_000, available: 10_000, area: PurgeArea::Mainland };
        let answer = DescribePurgeQuotaResponse { url_purge: vec![quota], path_purge: vec![] };
        assert_eq!(
            serde_json::to_string(&answer).expect("a structure"),
            r#"{"UrlPurge":[{"Batch":1000,"Total":10000,"Available":10000,"Area":"mainland"}],"PathPurge":[]}"#
        );
    }
}
