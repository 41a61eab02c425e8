//! Error codes of the contract, and the error as a client sees it.
//!
//! Only the code is contract; the text is free. Sources: the platform's common error codes, and the codes that the CDN actions list.

use std::fmt;

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// An error code that this crate or a server built on it may answer. The spelling on the wire is [`ErrorCode::as_str`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $name,)+
        }

        impl ErrorCode {
            /// All codes, in the order of the documentation.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)+];

            /// The code as it stands in `Response.Error.Code`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$name => $text,)+ }
            }

            /// The code with this spelling, `None` for one that is not listed here.
            #[must_use]
            pub fn from_wire(code: &str) -> Option<Self> {
                match code { $($text => Some(ErrorCode::$name),)+ _ => None }
            }
        }
    };
}

error_codes! {
    // Platform level: any action may answer these.
    /// The action has been withdrawn.
    ActionOffline = "ActionOffline",
    /// The authorisation is not well formed, or stands where it does not belong.
    AuthInvalidAuthorization = "AuthFailure.InvalidAuthorization",
    /// The key is not a key of the API.
    AuthInvalidSecretId = "AuthFailure.InvalidSecretId",
    /// The second factor failed.
    AuthMfaFailure = "AuthFailure.MFAFailure",
    /// The key is unknown, deleted or disabled.
    AuthSecretIdNotFound = "AuthFailure.SecretIdNotFound",
    /// The request's time differs from the server's by more than five minutes.
    AuthSignatureExpire = "AuthFailure.SignatureExpire",
    /// The signature does not match the request.
    AuthSignatureFailure = "AuthFailure.SignatureFailure",
    /// The token of a temporary key is wrong or missing.
    AuthTokenFailure = "AuthFailure.TokenFailure",
    /// The access policies deny the call.
    AuthUnauthorizedOperation = "AuthFailure.UnauthorizedOperation",
    /// A dry run that would have succeeded.
    DryRunOperation = "DryRunOperation",
    /// The operation failed.
    FailedOperation = "FailedOperation",
    /// An error inside the server.
    InternalError = "InternalError",
    /// There is no such action.
    InvalidAction = "InvalidAction",
    /// A parameter's form or type is wrong.
    InvalidParameter = "InvalidParameter",
    /// A parameter's value is wrong.
    InvalidParameterValue = "InvalidParameterValue",
    /// The multipart body is malformed.
    InvalidRequest = "InvalidRequest",
    /// The caller's address is refused by a list.
    IpInBlacklist = "IpInBlacklist",
    /// The caller's address is missing from a list.
    IpNotInWhitelist = "IpNotInWhitelist",
    /// Over a quota.
    LimitExceeded = "LimitExceeded",
    /// A required parameter is missing.
    MissingParameter = "MissingParameter",
    /// There is no such product.
    NoSuchProduct = "NoSuchProduct",
    /// The product has no such version.
    NoSuchVersion = "NoSuchVersion",
    /// Over the action's rate. The only code that the Go SDK retries on.
    RequestLimitExceeded = "RequestLimitExceeded",
    /// Over the rate over all regions of the root account.
    RequestLimitExceededGlobalRegionUin = "RequestLimitExceeded.GlobalRegionUinLimitExceeded",
    /// Over the rate of the caller's address.
    RequestLimitExceededIp = "RequestLimitExceeded.IPLimitExceeded",
    /// Over the rate of the root account.
    RequestLimitExceededUin = "RequestLimitExceeded.UinLimitExceeded",
    /// The request is larger than its form allows.
    RequestSizeLimitExceeded = "RequestSizeLimitExceeded",
    /// The resource is in use.
    ResourceInUse = "ResourceInUse",
    /// There is not enough of the resource.
    ResourceInsufficient = "ResourceInsufficient",
    /// The resource does not exist.
    ResourceNotFound = "ResourceNotFound",
    /// The resource cannot be used.
    ResourceUnavailable = "ResourceUnavailable",
    /// The answer would be larger than allowed.
    ResponseSizeLimitExceeded = "ResponseSizeLimitExceeded",
    /// The service cannot be used at present.
    ServiceUnavailable = "ServiceUnavailable",
    /// The operation is not authorised.
    UnauthorizedOperation = "UnauthorizedOperation",
    /// A parameter that the action does not define.
    UnknownParameter = "UnknownParameter",
    /// The operation is not supported.
    UnsupportedOperation = "UnsupportedOperation",
    /// Neither GET nor POST, or a form of request that the API does not define.
    UnsupportedProtocol = "UnsupportedProtocol",
    /// The region is not supported.
    UnsupportedRegion = "UnsupportedRegion",

    // The purge actions of the product `cdn`.
    /// The internal system of access control failed.
    CamSystemError = "InternalError.CamSystemError",
    /// A domain's configuration could not be updated.
    CdnConfigError = "InternalError.CdnConfigError",
    /// Internal data error.
    CdnDbError = "InternalError.CdnDbError",
    /// Internal error of a query's parameters; to be tried again.
    CdnQueryParamError = "InternalError.CdnQueryParamError",
    /// Internal error of a query; to be tried again.
    CdnQuerySystemError = "InternalError.CdnQuerySystemError",
    /// System error.
    CdnSystemError = "InternalError.CdnSystemError",
    /// Internal service error.
    InternalServiceError = "InternalError.Error",
    /// Internal error of the proxy.
    ProxyServer = "InternalError.ProxyServer",
    /// Internal error of routing.
    RouteError = "InternalError.RouteError",
    /// Unknown internal error.
    UnknownError = "InternalError.UnknownError",
    /// The domain's status does not allow the operation.
    CdnHostInvalidStatus = "InvalidParameter.CdnHostInvalidStatus",
    /// Internal interface error.
    CdnInterfaceError = "InvalidParameter.CdnInterfaceError",
    /// The action's parameters are wrong.
    CdnParamError = "InvalidParameter.CdnParamError",
    /// A purge does not take wildcard domains.
    CdnPurgeWildcardNotAllowed = "InvalidParameter.CdnPurgeWildcardNotAllowed",
    /// A date is wrong.
    CdnStatInvalidDate = "InvalidParameter.CdnStatInvalidDate",
    /// A URL is too long.
    CdnUrlExceedLength = "InvalidParameter.CdnUrlExceedLength",
    /// More URLs than one purge may have; the generic twin of [`ErrorCode::CdnPurgeUrlExceedBatchLimit`].
    CdnPurgeExceedBatchLimit = "LimitExceeded.CdnPurgeExceedBatchLimit",
    /// Over the day's quota; the generic twin of [`ErrorCode::CdnPurgeUrlExceedDayLimit`].
    CdnPurgeExceedDayLimit = "LimitExceeded.CdnPurgeExceedDayLimit",
    /// More URLs than one purge may have.
    CdnPurgeUrlExceedBatchLimit = "LimitExceeded.CdnPurgeUrlExceedBatchLimit",
    /// Over the day's quota of URLs.
    CdnPurgeUrlExceedDayLimit = "LimitExceeded.CdnPurgeUrlExceedDayLimit",
    /// The domain is not in the account.
    CdnHostNotExists = "ResourceNotFound.CdnHostNotExists",
    /// The account has no CDN service.
    CdnUserNotExists = "ResourceNotFound.CdnUserNotExists",
    /// The domain is offline.
    CdnHostIsNotOnline = "ResourceUnavailable.CdnHostIsNotOnline",
    /// The sub-account has no policy for the CDN.
    CdnCamUnauthorized = "UnauthorizedOperation.CdnCamUnauthorized",
    /// The sub-account is not authorised for the domain.
    CdnHostUnauthorized = "UnauthorizedOperation.CdnHostUnauthorized",
    /// The account's real-name check failed.
    CdnUserAuthFail = "UnauthorizedOperation.CdnUserAuthFail",
    /// The account's real-name check is pending.
    CdnUserAuthWait = "UnauthorizedOperation.CdnUserAuthWait",
    /// The account's service is suspended.
    CdnUserIsSuspended = "UnauthorizedOperation.CdnUserIsSuspended",
    /// The domain moved from the former product ECDN.
    EcdnMigratedCdn = "UnauthorizedOperation.EcdnMigratedCdn",
    /// The operation is not supported for this account.
    OpNoAuth = "UnauthorizedOperation.OpNoAuth",
    /// The product's own limit of frequency.
    OperationTooOften = "UnauthorizedOperation.OperationTooOften",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error as it goes to the client: `Response.Error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct WireError {
    /// The contract.
    pub code: ErrorCode,
    /// Free text for people, English, one line.
    pub message: String,
}

impl WireError {
    /// An error with this code and text.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_code_has_its_own_spelling_and_is_found_by_it() {
        let spellings: HashSet<_> = ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(spellings.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_wire(code.as_str()), Some(*code));
        }
        assert_eq!(ErrorCode::from_wire("InvalidParameter.CdnUrlInvalidParam"), None);
    }
}
