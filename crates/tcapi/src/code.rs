//! Error codes of the contract, each with its meaning in English (its documentation) and in Chinese.
//!
//! Only the code is contract; the text is free. Sources: the platform's common error codes, and the codes that the CDN actions list.

use std::fmt;

pub use crate::wire_error::WireError;

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $chinese:literal;)+) => {
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

            /// What the code means, in Chinese; the English is its documentation.
            #[must_use]
            pub const fn chinese(self) -> &'static str {
                match self { $(ErrorCode::$name => $chinese,)+ }
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
    ActionOffline = "ActionOffline", "接口已下线。";
    /// The authorisation is not well formed, or stands where it does not belong.
    AuthInvalidAuthorization = "AuthFailure.InvalidAuthorization", "请求头或参数中的签名信息格式不正确，或放在了不允许的位置。";
    /// The key is not a key of the API.
    AuthInvalidSecretId = "AuthFailure.InvalidSecretId", "密钥不是云 API 密钥。";
    /// The second factor failed.
    AuthMfaFailure = "AuthFailure.MFAFailure", "多因素验证失败。";
    /// The key is unknown, deleted or disabled.
    AuthSecretIdNotFound = "AuthFailure.SecretIdNotFound", "密钥不存在、已删除或已禁用。";
    /// The request's time differs from the server's by more than five minutes.
    AuthSignatureExpire = "AuthFailure.SignatureExpire", "签名已过期：请求时间与服务器时间相差超过五分钟。";
    /// The signature does not match the request.
    AuthSignatureFailure = "AuthFailure.SignatureFailure", "签名与请求不匹配。";
    /// The token of a temporary key is wrong or missing.
    AuthTokenFailure = "AuthFailure.TokenFailure", "临时密钥的 Token 错误或缺失。";
    /// The access policies deny the call.
    AuthUnauthorizedOperation = "AuthFailure.UnauthorizedOperation", "访问策略不允许此次调用。";
    /// A dry run that would have succeeded.
    DryRunOperation = "DryRunOperation", "试运行：该请求本可成功，未做任何改动。";
    /// The operation failed.
    FailedOperation = "FailedOperation", "操作失败。";
    /// An error inside the server.
    InternalError = "InternalError", "服务器内部错误。";
    /// There is no such action.
    InvalidAction = "InvalidAction", "接口不存在。";
    /// A parameter's form or type is wrong.
    InvalidParameter = "InvalidParameter", "参数的格式或类型错误。";
    /// A parameter's value is wrong.
    InvalidParameterValue = "InvalidParameterValue", "参数的取值错误。";
    /// The multipart body is malformed.
    InvalidRequest = "InvalidRequest", "请求体的 multipart 格式错误。";
    /// The caller's address is refused by a list.
    IpInBlacklist = "IpInBlacklist", "来源地址在黑名单中。";
    /// The caller's address is missing from a list.
    IpNotInWhitelist = "IpNotInWhitelist", "来源地址不在白名单中。";
    /// Over a quota.
    LimitExceeded = "LimitExceeded", "超过配额限制。";
    /// A required parameter is missing.
    MissingParameter = "MissingParameter", "缺少必需的参数。";
    /// There is no such product.
    NoSuchProduct = "NoSuchProduct", "产品不存在。";
    /// The product has no such version.
    NoSuchVersion = "NoSuchVersion", "产品没有该接口版本。";
    /// Over the action's rate. The only code that the Go SDK retries on.
    RequestLimitExceeded = "RequestLimitExceeded", "请求次数超过了该接口的频率限制。";
    /// Over the rate over all regions of the root account.
    RequestLimitExceededGlobalRegionUin = "RequestLimitExceeded.GlobalRegionUinLimitExceeded", "主账号在全部地域的请求次数超过了频率限制。";
    /// Over the rate of the caller's address.
    RequestLimitExceededIp = "RequestLimitExceeded.IPLimitExceeded", "来源地址的请求次数超过了频率限制。";
    /// Over the rate of the root account.
    RequestLimitExceededUin = "RequestLimitExceeded.UinLimitExceeded", "主账号的请求次数超过了频率限制。";
    /// The request is larger than its form allows.
    RequestSizeLimitExceeded = "RequestSizeLimitExceeded", "请求的大小超过了该形式允许的上限。";
    /// The resource is in use.
    ResourceInUse = "ResourceInUse", "资源正在使用中。";
    /// There is not enough of the resource.
    ResourceInsufficient = "ResourceInsufficient", "资源不足。";
    /// The resource does not exist.
    ResourceNotFound = "ResourceNotFound", "资源不存在。";
    /// The resource cannot be used.
    ResourceUnavailable = "ResourceUnavailable", "资源不可用。";
    /// The answer would be larger than allowed.
    ResponseSizeLimitExceeded = "ResponseSizeLimitExceeded", "应答的大小超过了上限。";
    /// The service cannot be used at present.
    ServiceUnavailable = "ServiceUnavailable", "服务暂时不可用。";
    /// The operation is not authorised.
    UnauthorizedOperation = "UnauthorizedOperation", "操作未获授权。";
    /// A parameter that the action does not define.
    UnknownParameter = "UnknownParameter", "接口没有定义该参数。";
    /// The operation is not supported.
    UnsupportedOperation = "UnsupportedOperation", "不支持该操作。";
    /// Neither GET nor POST, or a form of request that the API does not define.
    UnsupportedProtocol = "UnsupportedProtocol", "请求方法或请求形式不受支持。";
    /// The region is not supported.
    UnsupportedRegion = "UnsupportedRegion", "不支持该地域。";

    // The purge actions of the product `cdn`.
    /// The internal system of access control failed.
    CamSystemError = "InternalError.CamSystemError", "内部鉴权系统出错。";
    /// A domain's configuration could not be updated.
    CdnConfigError = "InternalError.CdnConfigError", "域名配置未能更新。";
    /// Internal data error.
    CdnDbError = "InternalError.CdnDbError", "内部数据错误。";
    /// Internal error of a query's parameters; to be tried again.
    CdnQueryParamError = "InternalError.CdnQueryParamError", "内部查询的参数出错，请重试。";
    /// Internal error of a query; to be tried again.
    CdnQuerySystemError = "InternalError.CdnQuerySystemError", "内部查询出错，请重试。";
    /// System error.
    CdnSystemError = "InternalError.CdnSystemError", "系统错误。";
    /// Internal service error.
    InternalServiceError = "InternalError.Error", "内部服务错误。";
    /// Internal error of the proxy.
    ProxyServer = "InternalError.ProxyServer", "内部代理服务出错。";
    /// Internal error of routing.
    RouteError = "InternalError.RouteError", "内部路由出错。";
    /// Unknown internal error.
    UnknownError = "InternalError.UnknownError", "未知的内部错误。";
    /// The domain's status does not allow the operation.
    CdnHostInvalidStatus = "InvalidParameter.CdnHostInvalidStatus", "域名当前的状态不允许该操作。";
    /// Internal interface error.
    CdnInterfaceError = "InvalidParameter.CdnInterfaceError", "内部接口错误。";
    /// The action's parameters are wrong.
    CdnParamError = "InvalidParameter.CdnParamError", "接口参数错误。";
    /// A purge does not take wildcard domains.
    CdnPurgeWildcardNotAllowed = "InvalidParameter.CdnPurgeWildcardNotAllowed", "刷新不接受泛域名。";
    /// A date is wrong.
    CdnStatInvalidDate = "InvalidParameter.CdnStatInvalidDate", "日期不正确。";
    /// A URL is too long.
    CdnUrlExceedLength = "InvalidParameter.CdnUrlExceedLength", "URL 超过长度上限。";
    /// More URLs than one purge may have; the generic twin of [`ErrorCode::CdnPurgeUrlExceedBatchLimit`].
    CdnPurgeExceedBatchLimit = "LimitExceeded.CdnPurgeExceedBatchLimit", "刷新的 URL 数量超过每批的上限。";
    /// Over the day's quota; the generic twin of [`ErrorCode::CdnPurgeUrlExceedDayLimit`].
    CdnPurgeExceedDayLimit = "LimitExceeded.CdnPurgeExceedDayLimit", "刷新的 URL 数量超过当日配额。";
    /// More URLs than one purge may have.
    CdnPurgeUrlExceedBatchLimit = "LimitExceeded.CdnPurgeUrlExceedBatchLimit", "刷新的 URL 数量超过单次上限。";
    /// Over the day's quota of URLs.
    CdnPurgeUrlExceedDayLimit = "LimitExceeded.CdnPurgeUrlExceedDayLimit", "刷新的 URL 数量超过当日 URL 配额。";
    /// The domain is not in the account.
    CdnHostNotExists = "ResourceNotFound.CdnHostNotExists", "账号下没有该域名。";
    /// The account has no CDN service.
    CdnUserNotExists = "ResourceNotFound.CdnUserNotExists", "账号未开通 CDN 服务。";
    /// The domain is offline.
    CdnHostIsNotOnline = "ResourceUnavailable.CdnHostIsNotOnline", "域名已停用。";
    /// The sub-account has no policy for the CDN.
    CdnCamUnauthorized = "UnauthorizedOperation.CdnCamUnauthorized", "子账号没有 CDN 的访问策略。";
    /// The sub-account is not authorised for the domain.
    CdnHostUnauthorized = "UnauthorizedOperation.CdnHostUnauthorized", "子账号未获该域名的授权。";
    /// The account's real-name check failed.
    CdnUserAuthFail = "UnauthorizedOperation.CdnUserAuthFail", "账号实名认证未通过。";
    /// The account's real-name check is pending.
    CdnUserAuthWait = "UnauthorizedOperation.CdnUserAuthWait", "账号实名认证尚在审核。";
    /// The account's service is suspended.
    CdnUserIsSuspended = "UnauthorizedOperation.CdnUserIsSuspended", "账号的加速服务已停用。";
    /// The domain moved from the former product ECDN.
    EcdnMigratedCdn = "UnauthorizedOperation.EcdnMigratedCdn", "域名由原 ECDN 产品迁入，此操作不可用。";
    /// The operation is not supported for this account.
    OpNoAuth = "UnauthorizedOperation.OpNoAuth", "该账号不支持此操作。";
    /// The product's own limit of frequency.
    OperationTooOften = "UnauthorizedOperation.OperationTooOften", "调用频率超过了产品自身的限制。";

    // What the prefetch and domain actions list besides.
    /// A domain's configuration could not be changed; the twin of [`ErrorCode::CdnConfigError`].
    FailedCdnConfigError = "FailedOperation.CdnConfigError", "域名配置的变更操作失败。";
    /// The internal system of tags failed.
    TagSystemError = "InternalError.TagSystemError", "内部标签系统出错。";
    /// The domain's state does not allow the change. The capitals are the vendor's.
    CdnStatusInvalidDomain = "InvalidParameter.CDNStatusInvalidDomain", "域名当前的状态不允许此变更。";
    /// The resources of one request belong to several accounts.
    CamResourceBelongToDifferentUser = "InvalidParameter.CamResourceBelongToDifferentUser", "同一请求中的资源属于不同账号。";
    /// A resource's six-segment name is wrong.
    CamResourceSixStageError = "InvalidParameter.CamResourceSixStageError", "资源的六段式描述错误。";
    /// The domain has the tag already.
    CamTagKeyAlreadyAttached = "InvalidParameter.CamTagKeyAlreadyAttached", "域名已绑定该标签。";
    /// A tag's key holds characters that it must not.
    CamTagKeyIllegal = "InvalidParameter.CamTagKeyIllegal", "标签键含有不允许的字符。";
    /// There is no tag with this key; the twin of [`ErrorCode::CamTagKeyNotFound`].
    CamTagKeyNotExist = "InvalidParameter.CamTagKeyNotExist", "没有该标签键。";
    /// A tag's value holds characters that it must not.
    CamTagValueIllegal = "InvalidParameter.CamTagValueIllegal", "标签值含有不允许的字符。";
    /// The certificate does not exist or is not valid.
    CdnCertInfoNotFound = "InvalidParameter.CdnCertInfoNotFound", "证书不存在或无效。";
    /// The domain's name is not a valid one.
    CdnConfigInvalidHost = "InvalidParameter.CdnConfigInvalidHost", "域名不符合规范。";
    /// The configuration of tags is wrong.
    CdnConfigInvalidTag = "InvalidParameter.CdnConfigInvalidTag", "标签配置错误。";
    /// The domain must have a tag.
    CdnConfigTagRequired = "InvalidParameter.CdnConfigTagRequired", "该域名必须选择标签。";
    /// The domain is in EdgeOne already.
    CdnHostExistsInEdgeOne = "InvalidParameter.CdnHostExistsInEdgeOne", "域名已在 EdgeOne 接入。";
    /// The domain has a special configuration that only the operator can change.
    CdnHostHasSpecialConfig = "InvalidParameter.CdnHostHasSpecialConfig", "域名有特殊配置，需由运维人员处理。";
    /// The domain is reserved.
    CdnHostInternalHost = "InvalidParameter.CdnHostInternalHost", "该域名为保留域名，不允许接入。";
    /// The middle tier of the domain is configured wrongly.
    CdnHostInvalidMiddleConfig = "InvalidParameter.CdnHostInvalidMiddleConfig", "域名的中间层配置错误。";
    /// A domain's form is wrong.
    CdnHostInvalidParam = "InvalidParameter.CdnHostInvalidParam", "域名格式错误。";
    /// The domain is the default one of an object store.
    CdnHostIsCosDefaultAccess = "InvalidParameter.CdnHostIsCosDefaultAccess", "该域名是对象存储的默认域名，不能接入。";
    /// The domain's name is too long.
    CdnHostTooLongHost = "InvalidParameter.CdnHostTooLongHost", "域名太长。";
    /// The configuration of cache keys is not offered.
    CdnKeyRulesExcludeCustomRequiresFullLego = "InvalidParameter.CdnKeyRulesExcludeCustomRequiresFullLego", "暂不支持该缓存键配置。";
    /// The query string's part in the cache key is wrong.
    CdnKeyRulesInvalidQueryStringValue = "InvalidParameter.CdnKeyRulesInvalidQueryStringValue", "缓存键的 QueryString 配置错误。";
    /// A prefetch does not take wildcard domains.
    CdnPushWildcardNotAllowed = "InvalidParameter.CdnPushWildcardNotAllowed", "预热不接受泛域名。";
    /// A statistic's kind is wrong.
    CdnStatInvalidMetric = "InvalidParameter.CdnStatInvalidMetric", "统计类型错误。";
    /// A project's number is wrong.
    CdnStatInvalidProjectId = "InvalidParameter.CdnStatInvalidProjectId", "项目 ID 错误。";
    /// More domains than one query may name.
    CdnStatTooManyDomains = "InvalidParameter.CdnStatTooManyDomains", "查询的域名数量超过上限。";
    /// More resources than one request may name.
    CamResourceArrayTooLong = "LimitExceeded.CamResourceArrayTooLong", "资源数量超过上限。";
    /// More tags than one resource may have.
    CamResourceTooManyTagKey = "LimitExceeded.CamResourceTooManyTagKey", "单个资源的标签键数量超过上限。";
    /// A tag's key is too long.
    CamTagKeyTooLong = "LimitExceeded.CamTagKeyTooLong", "标签键太长。";
    /// More values than one tag may have.
    CamTagKeyTooManyTagValue = "LimitExceeded.CamTagKeyTooManyTagValue", "单个标签键的标签值数量超过上限。";
    /// More tags than one domain may have.
    CamTagQuotaExceedLimit = "LimitExceeded.CamTagQuotaExceedLimit", "域名绑定的标签数量超过上限。";
    /// More tags than one account may have.
    CamUserTooManyTagKey = "LimitExceeded.CamUserTooManyTagKey", "账号的标签键数量超过上限。";
    /// More cache rules than one domain may have.
    CdnConfigTooManyCacheRules = "LimitExceeded.CdnConfigTooManyCacheRules", "缓存规则数量超过上限。";
    /// The domain is changed too often.
    CdnHostOpTooOften = "LimitExceeded.CdnHostOpTooOften", "对该域名的操作过于频繁。";
    /// More directories than one purge may have.
    CdnPurgePathExceedBatchLimit = "LimitExceeded.CdnPurgePathExceedBatchLimit", "刷新的目录数量超过单次上限。";
    /// Over the day's quota of directories.
    CdnPurgePathExceedDayLimit = "LimitExceeded.CdnPurgePathExceedDayLimit", "刷新的目录数量超过当日目录配额。";
    /// More URLs than one prefetch may have.
    CdnPushExceedBatchLimit = "LimitExceeded.CdnPushExceedBatchLimit", "预热的 URL 数量超过单次上限。";
    /// Over the day's quota of prefetches.
    CdnPushExceedDayLimit = "LimitExceeded.CdnPushExceedDayLimit", "预热的 URL 数量超过当日配额。";
    /// More domains than the account may have.
    CdnUserTooManyHosts = "LimitExceeded.CdnUserTooManyHosts", "账号的域名数量已达上限。";
    /// The domain has been under attack.
    CdnHostHasDDosRisk = "OperationDenied.CdnHostHasDDosRisk", "该域名曾遭受大规模攻击，暂不能接入。";
    /// The domain is being moved to another product.
    ProductUpdating = "OperationDenied.ProductUpdating", "域名正在升级到其他产品，暂不能修改配置。";
    /// The product has been superseded for this account.
    ProductUpgraded = "OperationDenied.ProductUpgraded", "该账号的产品已升级，此操作不可用。";
    /// The account is being moved to another product.
    UserMigrating = "OperationDenied.UserMigrating", "账号正在迁移到其他产品。";
    /// The domain conflicts with another one.
    CdnConflictHostExists = "ResourceInUse.CdnConflictHostExists", "域名与已有的域名冲突。";
    /// The domain exists already.
    CdnHostExists = "ResourceInUse.CdnHostExists", "域名已存在。";
    /// An operation on the domain is under way.
    CdnOpInProgress = "ResourceInUse.CdnOpInProgress", "对该资源的另一操作正在进行。";
    /// There is no tag with this key.
    CamTagKeyNotFound = "ResourceNotFound.CamTagKeyNotExist", "标签键不存在。";
    /// The domain is in the product DSA already.
    CdnHostExistsInDsa = "ResourceUnavailable.CdnHostExistsInDsa", "域名已在 DSA 接入。";
    /// The domain is in the product TCB already.
    CdnHostExistsInTcb = "ResourceUnavailable.CdnHostExistsInTcb", "域名已在 TCB 接入。";
    /// The domain is locked.
    CdnHostIsLocked = "ResourceUnavailable.CdnHostIsLocked", "域名已被锁定。";
    /// The domain is listed as malicious.
    CdnHostIsMalicious = "ResourceUnavailable.CdnHostIsMalicious", "域名有违法违规风险，不能接入。";
    /// The domain is not offline.
    CdnHostIsNotOffline = "ResourceUnavailable.CdnHostIsNotOffline", "域名尚未停用。";
    /// The domain has no registration for mainland China.
    CdnHostNoIcp = "ResourceUnavailable.CdnHostNoIcp", "域名未备案。";
    /// The domain is in the product VOD already.
    HostExistInVod = "ResourceUnavailable.HostExistInVod", "域名已在云点播接入。";
    /// Nobody showed that the domain is the account's.
    CdnDomainRecordNotVerified = "UnauthorizedOperation.CdnDomainRecordNotVerified", "域名尚未通过归属权校验。";
    /// The domain exists in an internal system.
    CdnHostExistsInInternal = "UnauthorizedOperation.CdnHostExistsInInternal", "域名已存在于内部系统。";
    /// The domain's registration is on a blacklist.
    CdnHostInIcpBlacklist = "UnauthorizedOperation.CdnHostInIcpBlacklist", "域名在备案黑名单中，不能接入。";
    /// The domain belongs to another account.
    CdnHostIsOwnedByOther = "UnauthorizedOperation.CdnHostIsOwnedByOther", "域名属于其他账号。";
    /// The domain is in use by another account.
    CdnHostIsUsedByOther = "UnauthorizedOperation.CdnHostIsUsedByOther", "域名已由其他账号接入。";
    /// The sub-account is not authorised for the project.
    CdnProjectUnauthorized = "UnauthorizedOperation.CdnProjectUnauthorized", "子账号未获该项目的授权。";
    /// The sub-account is not authorised for the tag.
    CdnTagUnauthorized = "UnauthorizedOperation.CdnTagUnauthorized", "子账号未获该标签的授权。";
    /// The account's credential is not valid inside the product.
    CdnUserInvalidCredential = "UnauthorizedOperation.CdnUserInvalidCredential", "账号凭据在产品内无效。";
    /// The account is isolated for its debts.
    CdnUserIsIsolated = "UnauthorizedOperation.CdnUserIsIsolated", "账号因欠费被隔离。";
    /// The account may not use a feature on trial.
    CdnUserNoWhitelist = "UnauthorizedOperation.CdnUserNoWhitelist", "账号不在试用名单中，无权使用该功能。";
    /// Not authorised, for a reason that is not told.
    UnauthorizedUnknown = "UnauthorizedOperation.Unknown", "操作未获授权，原因未知。";
    /// The operation is not supported for this account; the twin of [`ErrorCode::OpNoAuth`].
    UnsupportedOpNoAuth = "UnsupportedOperation.OpNoAuth", "该账号不支持此操作类型。";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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

    #[test]
    fn each_code_has_its_own_chinese_meaning() {
        let meanings: HashSet<_> = ErrorCode::ALL.iter().map(|c| c.chinese()).collect();
        assert_eq!(meanings.len(), ErrorCode::ALL.len());
        for meaning in meanings {
            assert!(
                meaning.ends_with('。') && meaning.chars().any(|c| ('\u{4e00}'..'\u{9fff}').contains(&c)),
                "{meaning}"
            );
        }
    }
}
