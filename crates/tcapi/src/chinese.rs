//! The Chinese texts of this crate's errors. The English ones are their `Display`.
//!
//! Each names the same places, values and bounds as its English twin; a caller's own text is shown in the same way.

use crate::auth::{AuthError, Malformed, Mismatch};
use crate::call::CallError;
use crate::limits::{MAX_DEPTH, MAX_GET_URL, MAX_INDEX, MAX_MEMBERS, MAX_SKEW_SECONDS, MAX_VALUES};
use crate::params::{Expected, ParamError};
use crate::text::shown;
use crate::time::{TimeError, format_utc};

impl CallError {
    /// The text in Chinese.
    #[must_use]
    pub fn chinese(&self) -> String {
        match self {
            CallError::Method(method) => format!("不支持请求方法 `{}`：只支持 GET 和 POST。", shown(method)),
            CallError::Path(path) => format!("不支持请求路径 `{}`：只支持 `/`。", shown(path)),
            CallError::ContentType(media) => format!(
                "不支持 Content-Type `{}`：请使用 application/json 或 application/x-www-form-urlencoded。",
                shown(media)
            ),
            CallError::Charset(media) => format!("不支持 Content-Type `{}`：只支持 UTF-8。", shown(media)),
            CallError::Host => "请求的 Host 缺失或无效。".to_owned(),
            CallError::HeaderTwice(name) => format!("请求头 `{name}` 出现两次。"),
            CallError::HeaderText => "请求头中含有非 ASCII 文本的字节。".to_owned(),
            CallError::BodyTooLarge { limit } => format!("请求体超过该方法和 Content-Type 允许的 {limit} 字节。"),
            CallError::UrlTooLarge => {
                format!("请求的路径和查询串超过 GET 允许的 {MAX_GET_URL} 字节：请使用 POST。")
            }
            CallError::ActionName => "请求的 `Action` 无效或不存在。".to_owned(),
            CallError::Auth(e) => e.chinese(),
            CallError::Param(e) => e.chinese(),
        }
    }
}

impl AuthError {
    /// The text in Chinese.
    #[must_use]
    pub fn chinese(&self) -> String {
        match self {
            AuthError::Malformed(why) => format!("签名信息格式错误：{}。", malformed(*why)),
            AuthError::Skip => "不接受 `SKIP`：每次调用都必须签名。".to_owned(),
            AuthError::BothSignatures => {
                "请求同时带有 Authorization 请求头和参数 `Signature`：请只用一种方式签名。".to_owned()
            }
            AuthError::FormWithTc3 => {
                "表单请求体不能用 TC3-HMAC-SHA256 签名：请发送 application/json，或用 HmacSHA1 或 HmacSHA256 签名。"
                    .to_owned()
            }
            AuthError::JsonWithoutTc3 => "JSON 请求体需要 TC3-HMAC-SHA256 签名：缺少 Authorization 请求头。".to_owned(),
            AuthError::Expired { timestamp, now } => format!(
                "签名已过期，请重新请求。请求的时间是 {timestamp}（UTC {}），服务器的时间是 {now}（UTC {}）：相差 {} 秒，允许 {MAX_SKEW_SECONDS} 秒。",
                format_utc(*timestamp),
                format_utc(*now),
                timestamp.abs_diff(*now)
            ),
            AuthError::ScopeDate { scope, expected } => {
                format!("凭据无法验证：Credential 中的日期 `{}` 不是时间戳的 UTC 日期 `{expected}`。", shown(scope))
            }
            AuthError::ScopeService { service, product } => format!(
                "凭据无法验证：Credential 中的服务 `{}` 既不是 `{product}`，也不是 Host 的第一段。",
                shown(service)
            ),
            AuthError::UnsignedPayload => "此处不接受 UNSIGNED-PAYLOAD：签名必须覆盖请求体。".to_owned(),
            AuthError::Mismatch(seen) => format!("凭据无法验证，请检查签名是否正确。{}", mismatch(seen)),
            AuthError::SignatureForm { method, expected } => {
                format!("凭据无法验证：`Signature` 不是 {method} 应得的 {expected} 字节的 base64。")
            }
            AuthError::SecretIdNotFound => {
                "SecretId 不存在，请确认 SecretId 是否正确。已删除或已禁用的密钥视为不存在。".to_owned()
            }
            AuthError::SecretIdForm => "SecretId 不是 API 密钥的 SecretId。".to_owned(),
            AuthError::Token => "Token 缺失、错误或已过期，或不属于该 SecretId。".to_owned(),
            AuthError::TokenMissing => {
                "缺少 Token：临时 SecretId 需要与其一同签发的 Token（X-TC-Token 或 `Token`）。".to_owned()
            }
            AuthError::TokenExpired { expired, now } => format!(
                "Token 已于 {expired}（UTC {}）过期，服务器的时间是 {now}（UTC {}）：请重新申请临时密钥。",
                format_utc(*expired),
                format_utc(*now)
            ),
        }
    }
}

fn mismatch(seen: &Mismatch) -> String {
    match seen {
        Mismatch::Tc3 { host, content_type, signed_headers, payload_sha256, canonical_request_sha256 } => format!(
            "服务器签名所用：host `{}`，content-type `{}`，SignedHeaders `{}`，请求体 SHA-256 {payload_sha256}；\
             其规范请求的 SHA-256：{canonical_request_sha256}。若与您的相同，则是 SecretKey 不同。",
            shown(host),
            shown(content_type),
            shown(signed_headers)
        ),
        Mismatch::V1 { host, method, string_to_sign_sha256 } => format!(
            "服务器签名所用：host `{}`，{method}；其签名原文的 SHA-256：{string_to_sign_sha256}。若与您的相同，则是 SecretKey 不同。",
            shown(host)
        ),
    }
}

const fn malformed(why: Malformed) -> &'static str {
    match why {
        Malformed::Long => "请求头超过 2048 字节",
        Malformed::NoAlgorithm => "开头不是 TC3-HMAC-SHA256",
        Malformed::NoEquals => "某一部分没有 `=`",
        Malformed::UnknownPart => "含有 Credential、SignedHeaders、Signature 以外的部分",
        Malformed::PartTwice => "同一部分出现两次",
        Malformed::NoCredential => "缺少 Credential",
        Malformed::NoSignedHeaders => "缺少 SignedHeaders",
        Malformed::NoSignature => "缺少 Signature",
        Malformed::Scope => "Credential 不是 <SecretId>/<Date>/<service>/tc3_request 的形式",
        Malformed::SignatureDigits => "Signature 不是 64 位小写十六进制数字",
        Malformed::NoContentType => "缺少 Content-Type，而 TC3 要对其签名",
        Malformed::HeaderName => "SignedHeaders 中有不是小写的名称",
        Malformed::HeaderOrder => "SignedHeaders 没有按 ASCII 顺序排列",
        Malformed::TooManyHeaders => "SignedHeaders 的名称超过 16 个",
        Malformed::AbsentHeader => "SignedHeaders 列出了请求中没有的请求头",
        Malformed::NeededHeaders => "SignedHeaders 必须包含 content-type 和 host",
        Malformed::ContentSha256 => "X-TC-Content-SHA256 只能是 UNSIGNED-PAYLOAD",
    }
}

impl ParamError {
    /// The text in Chinese.
    #[must_use]
    pub fn chinese(&self) -> String {
        match self {
            ParamError::WrongType { path, expected } => {
                format!("参数 `{}` 的值类型错误：应为{}。", shown(path), expected_type(*expected))
            }
            ParamError::Missing(name) => format!("请求缺少必需的参数 `{name}`。"),
            ParamError::Unknown(name) => format!("无法识别参数 `{}`。", shown(name)),
            ParamError::Duplicate(name) => format!("参数 `{}` 出现两次。", shown(name)),
            ParamError::Conflict(name) => {
                format!("参数 `{}` 与另一参数矛盾：同一名称只能是值、列表或结构之一。", shown(name))
            }
            ParamError::Name(name) => format!("参数名 `{}` 无效。", shown(name)),
            ParamError::Index(name) => {
                format!("参数名 `{}` 中的下标无效：应为 0 到 {MAX_INDEX}，且没有前导零。", shown(name))
            }
            ParamError::Escape(name) => {
                format!("参数 `{}` 无效：其中有一个 `%` 后面不是两位十六进制数字。", shown(name))
            }
            ParamError::NotUtf8(name) => format!("参数 `{}` 不是有效的 UTF-8。", shown(name)),
            ParamError::BodyNotUtf8 => "请求体不是有效的 UTF-8。".to_owned(),
            ParamError::NotJson { line, column } => format!("请求体不是有效的 JSON：第 {line} 行，第 {column} 列。"),
            ParamError::NotAnObject => "请求体必须是一个 JSON 对象。".to_owned(),
            ParamError::TooDeep => format!("参数的嵌套超过 {MAX_DEPTH} 层。"),
            ParamError::TooManyMembers => format!("参数中有成员超过 {MAX_MEMBERS} 个的对象。"),
            ParamError::TooManyValues => format!("请求中的值超过 {MAX_VALUES} 个。"),
            ParamError::Number(name) => format!("参数 `{name}` 的类型错误：应为整数。"),
            ParamError::Value(name) => format!("参数 `{name}` 的取值错误。"),
        }
    }
}

const fn expected_type(expected: Expected) -> &'static str {
    match expected {
        Expected::Text => "字符串",
        Expected::Integer => "整数",
        Expected::Truth => " true 或 false",
        Expected::TextList => "字符串列表",
        Expected::Object => "对象",
        Expected::ObjectList => "对象列表",
    }
}

impl TimeError {
    /// The text in Chinese, to stand after a name.
    #[must_use]
    pub const fn chinese(self) -> &'static str {
        match self {
            TimeError::Form => "不是 YYYY-MM-DD HH:MM:SS 的形式",
            TimeError::Range => "不是 1970 年以后实际存在的日期和时间",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::WireError;
    use crate::language::Language;

    /// Everything that is not prose: numbers, quoted text and names, in order of their text.
    fn details(text: &str) -> Vec<String> {
        let mut words: Vec<String> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter(|word| !word.is_empty())
            .chain(text.split('`').skip(1).step_by(2))
            .map(str::to_owned)
            .collect();
        words.sort();
        words
    }

    #[test]
    fn both_languages_say_the_same_about_the_same_places() {
        let text = || "a`b3".to_owned();
        let tc3 = Mismatch::Tc3 {
            host: "h1".into(),
            content_type: "t2".into(),
            signed_headers: "s3".into(),
            payload_sha256: "44".into(),
            canonical_request_sha256: "55".into(),
        };
        let v1 = Mismatch::V1 { host: "h1".into(), method: "HmacSHA1", string_to_sign_sha256: "66".into() };
        let errors: Vec<WireError> = vec![
            CallError::Method(text()).into(),
            CallError::Path(text()).into(),
            CallError::Charset(text()).into(),
            CallError::BodyTooLarge { limit: 77 }.into(),
            CallError::UrlTooLarge.into(),
            CallError::ActionName.into(),
            AuthError::Expired { timestamp: 1_551_113_065, now: 1_551_113_400 }.into(),
            AuthError::ScopeDate { scope: "2019-02-26".into(), expected: "2019-02-25".into() }.into(),
            AuthError::ScopeService { service: text(), product: "cdn".into() }.into(),
            AuthError::Mismatch(Box::new(tc3)).into(),
            AuthError::Mismatch(Box::new(v1)).into(),
            AuthError::SignatureForm { method: "HmacSHA1", expected: 20 }.into(),
            AuthError::Malformed(Malformed::TooManyHeaders).into(),
            AuthError::Malformed(Malformed::Long).into(),
            AuthError::TokenExpired { expired: 1_551_113_065, now: 1_551_113_400 }.into(),
            ParamError::WrongType { path: "Filters.0.Value.3".into(), expected: Expected::Text }.into(),
            ParamError::Missing("Urls".into()).into(),
            ParamError::Unknown(text()).into(),
            ParamError::Index("Urls.-1".into()).into(),
            ParamError::NotJson { line: 3, column: 9 }.into(),
            ParamError::TooDeep.into(),
            ParamError::TooManyMembers.into(),
            ParamError::TooManyValues.into(),
        ];
        for error in errors {
            let (english, chinese) = (error.message(Language::English), error.message(Language::Chinese));
            assert_eq!(details(&english), details(&chinese), "{english} / {chinese}");
            assert!(chinese.contains('。') && !english.contains('。'), "{english} / {chinese}");
        }
    }
}
