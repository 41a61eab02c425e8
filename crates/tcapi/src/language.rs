//! The language of messages: `X-TC-Language`, or `Language` among the parameters of a v1 request.
//!
//! Errors may come before a request is parsed, so the language can be found without parsing; what is not found is English, and nothing is refused here.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::limits::MAX_FORM_BODY;
use crate::request::RequestParts;

/// The language asked for `Message`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// `zh-CN`.
    Chinese,
    /// `en-US`, and whatever is not known.
    #[default]
    English,
}

impl Language {
    /// The language that a header or parameter names.
    pub(crate) fn named(text: Option<&str>) -> Self {
        if text == Some("zh-CN") { Language::Chinese } else { Language::English }
    }

    /// The language that the header `X-TC-Language` asks for; for errors that come before the body is read.
    #[must_use]
    pub fn of_headers(headers: &HeaderMap) -> Self {
        let value = headers.get("x-tc-language").and_then(|value| value.to_str().ok());
        Language::named(value.map(str::trim))
    }

    /// The language of a request that need not be well formed: the header; where no `Authorization` stands, the parameter `Language` of the query (GET)
    /// or of the body (POST) before it.
    #[must_use]
    pub fn of_parts(parts: &RequestParts<'_>) -> Self {
        let of_headers = Language::of_headers(parts.headers);
        if parts.headers.contains_key(AUTHORIZATION) {
            return of_headers;
        }
        let flat = match parts.method {
            "POST" => parts.body.get(..MAX_FORM_BODY.min(parts.body.len())).unwrap_or_default(),
            _ => parts.query.unwrap_or("").as_bytes(),
        };
        // Every client writes the values that count without an escape: they have no character that needs one.
        let parameter = flat.split(|&b| b == b'&').find_map(|pair| pair.strip_prefix(b"Language="));
        parameter.map_or(of_headers, |value| Language::named(std::str::from_utf8(value).ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderValue;

    fn of(method: &str, query: Option<&str>, header: Option<&'static str>, body: &'static [u8]) -> Language {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("x-tc-language", HeaderValue::from_static(header));
        }
        let body = Bytes::from_static(body);
        Language::of_parts(&RequestParts { method, path: "/x", query, authority: None, headers: &headers, body: &body })
    }

    #[test]
    fn the_language_is_found_though_the_request_is_no_call() {
        assert_eq!(of("PUT", None, Some("zh-CN"), b""), Language::Chinese);
        assert_eq!(of("POST", None, Some("en-US"), b"Language=zh-CN"), Language::Chinese);
        assert_eq!(of("POST", None, Some("zh-CN"), b"Language=en-US"), Language::English);
        assert_eq!(of("GET", Some("A=%zz&Language=zh-CN"), None, b""), Language::Chinese);
        assert_eq!(of("POST", Some("Language=zh-CN"), None, b"A=1&Language=zh-CN&Language=x"), Language::Chinese);
        assert_eq!(of("POST", Some("Language=zh-CN"), None, b"Language=zh-CNX"), Language::English);
        assert_eq!(of("GET", None, None, b""), Language::English);
    }
}
