//! StartCdnDomain, StopCdnDomain, DeleteCdnDomain: the stages of a domain's service. Each names one domain; what its state allows is not decided here.

use std::borrow::Cow;

use serde::Serialize;

use super::options::{DOMAIN_OPTIONS, RawOptions};
use super::origin::is_domain;
use super::{Action, CallOptions, Request, param_error};
use crate::code::{ErrorCode, WireError};
use crate::limits::MAX_DOMAIN;
use crate::params::Params;
use crate::text::shown;

/// The 26 codes that the vendor's SDK lists for StartCdnDomain.
pub(super) const START_CODES: &[ErrorCode] = &[
    ErrorCode::FailedCdnConfigError,
    ErrorCode::CdnConfigError,
    ErrorCode::CdnDbError,
    ErrorCode::CdnSystemError,
    ErrorCode::InternalServiceError,
    ErrorCode::CdnStatusInvalidDomain,
    ErrorCode::CdnCertInfoNotFound,
    ErrorCode::CdnHostHasSpecialConfig,
    ErrorCode::CdnParamError,
    ErrorCode::CdnHostOpTooOften,
    ErrorCode::CdnOpInProgress,
    ErrorCode::CdnHostNotExists,
    ErrorCode::CdnUserNotExists,
    ErrorCode::CdnHostIsLocked,
    ErrorCode::CdnHostNoIcp,
    ErrorCode::CdnCamUnauthorized,
    ErrorCode::CdnHostInIcpBlacklist,
    ErrorCode::CdnHostUnauthorized,
    ErrorCode::CdnUserAuthFail,
    ErrorCode::CdnUserAuthWait,
    ErrorCode::CdnUserInvalidCredential,
    ErrorCode::CdnUserIsIsolated,
    ErrorCode::CdnUserIsSuspended,
    ErrorCode::OpNoAuth,
    ErrorCode::OperationTooOften,
    ErrorCode::UnsupportedOpNoAuth,
];

/// The 24 codes that the vendor's SDK lists for StopCdnDomain: 22 of a stored edition and the 2 `OperationDenied` added since.
pub(super) const STOP_CODES: &[ErrorCode] = &[
    ErrorCode::FailedCdnConfigError,
    ErrorCode::CdnConfigError,
    ErrorCode::CdnDbError,
    ErrorCode::CdnSystemError,
    ErrorCode::InternalServiceError,
    ErrorCode::CdnStatusInvalidDomain,
    ErrorCode::CdnHostHasSpecialConfig,
    ErrorCode::CdnKeyRulesExcludeCustomRequiresFullLego,
    ErrorCode::CdnParamError,
    ErrorCode::CdnHostOpTooOften,
    ErrorCode::ProductUpdating,
    ErrorCode::ProductUpgraded,
    ErrorCode::CdnOpInProgress,
    ErrorCode::CdnHostNotExists,
    ErrorCode::CdnUserNotExists,
    ErrorCode::CdnHostIsLocked,
    ErrorCode::CdnCamUnauthorized,
    ErrorCode::CdnHostUnauthorized,
    ErrorCode::CdnUserAuthFail,
    ErrorCode::CdnUserAuthWait,
    ErrorCode::CdnUserIsSuspended,
    ErrorCode::OpNoAuth,
    ErrorCode::OperationTooOften,
    ErrorCode::UnsupportedOpNoAuth,
];

/// The 21 codes that the vendor's SDK lists for DeleteCdnDomain.
pub(super) const DELETE_CODES: &[ErrorCode] = &[
    ErrorCode::FailedCdnConfigError,
    ErrorCode::CdnConfigError,
    ErrorCode::CdnDbError,
    ErrorCode::CdnSystemError,
    ErrorCode::TagSystemError,
    ErrorCode::CdnStatusInvalidDomain,
    ErrorCode::CdnHostHasSpecialConfig,
    ErrorCode::CdnParamError,
    ErrorCode::CdnHostOpTooOften,
    ErrorCode::CdnOpInProgress,
    ErrorCode::CdnHostNotExists,
    ErrorCode::CdnUserNotExists,
    ErrorCode::CdnHostIsLocked,
    ErrorCode::CdnHostIsNotOffline,
    ErrorCode::CdnCamUnauthorized,
    ErrorCode::CdnHostUnauthorized,
    ErrorCode::CdnUserAuthFail,
    ErrorCode::CdnUserAuthWait,
    ErrorCode::OpNoAuth,
    ErrorCode::OperationTooOften,
    ErrorCode::UnsupportedOpNoAuth,
];

macro_rules! domain_action {
    ($(#[doc = $doc:literal])+ $request:ident, $action:ident) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "PascalCase")]
        pub struct $request<'a> {
            /// The domain as written, at most 81 characters, perhaps a wildcard (`*.example.com`).
            pub domain: Cow<'a, str>,
            /// Beyond the contract; only `DryRun`.
            #[serde(flatten)]
            pub options: CallOptions<'a>,
        }

        impl<'a> $request<'a> {
            /// This domain, without any option.
            #[must_use]
            pub fn of(domain: impl Into<Cow<'a, str>>) -> Self {
                Self { domain: domain.into(), options: CallOptions::default() }
            }
        }

        impl<'a> Request<'a> for $request<'a> {
            const ACTION: Action = Action::$action;

            fn from_params(params: Params<'a>) -> Result<Self, WireError> {
                let (domain, options) = read(params)?;
                Ok(Self { domain, options })
            }
        }
    };
}

domain_action! {
    /// Serves an offline domain again.
    StartCdnDomainRequest, StartCdnDomain
}

domain_action! {
    /// Serves an online domain no more; the caches answer 404 for it.
    StopCdnDomainRequest, StopCdnDomain
}

domain_action! {
    /// Forgets an offline domain.
    DeleteCdnDomainRequest, DeleteCdnDomain
}

fn read(mut params: Params<'_>) -> Result<(Cow<'_, str>, CallOptions<'_>), WireError> {
    params.only(&[&["Domain"], DOMAIN_OPTIONS.as_slice()].concat())?;
    params.require("Domain")?;
    let domain = params.required_text("Domain")?;
    let options = RawOptions::take(&mut params)?;
    if domain.len() > MAX_DOMAIN || !is_domain(&domain) {
        return Err(param_error(
            "Domain",
            &format!("must be a domain of at most {MAX_DOMAIN} characters, and is `{}`", shown(&domain)),
            &format!("必须是最多 {MAX_DOMAIN} 个字符的域名，现为 `{}`", shown(&domain)),
        ));
    }
    Ok((domain, options.check()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdn::DryRun;

    fn stop(json: &str) -> Result<StopCdnDomainRequest<'_>, WireError> {
        StopCdnDomainRequest::from_params(Params::from_json(json.as_bytes())?)
    }

    #[test]
    fn a_domain_is_named_and_may_be_tried() {
        assert_eq!(stop(r#"{"Domain":"*.a.example"}"#), Ok(StopCdnDomainRequest::of("*.a.example")));
        let tried = stop(r#"{"Domain":"a.example","DryRun":true}"#).expect("a valid request");
        assert_eq!(tried.options.dry_run, DryRun::On);
    }

    #[test]
    fn each_mistake_has_its_code() {
        for (json, code) in [
            ("{}", ErrorCode::MissingParameter),
            (r#"{"Domain":["a"]}"#, ErrorCode::InvalidParameter),
            (r#"{"Domain":""}"#, ErrorCode::CdnParamError),
            (r#"{"Domain":"http://a.example/"}"#, ErrorCode::CdnParamError),
            (r#"{"Domain":"a.example","Webhook":"x"}"#, ErrorCode::UnknownParameter),
            (r#"{"Domain":"a.example","ClientToken":"x"}"#, ErrorCode::UnknownParameter),
        ] {
            assert_eq!(stop(json).map(drop).expect_err(json).code, code, "{json}");
        }
    }
}
