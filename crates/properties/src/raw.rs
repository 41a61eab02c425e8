//! A request as text, owned: what an HTTP server hands over, written by a test or cut out of a fuzzer's bytes.
//!
//! Not an HTTP parser: it is lenient where a server would refuse, since the crate behind it has to stand both.

use bytes::Bytes;
use catharsis_tcapi::{Call, RequestParts, WireError};
use http::{HeaderMap, HeaderName, HeaderValue};

/// A request of parts that need not fit each other.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) authority: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Raw {
    /// Cuts the text of an HTTP/1.1 request, as the captures have it; `:authority` may stand among the headers, as in HTTP/2.
    pub(crate) fn cut(data: &[u8]) -> Self {
        let end = data.windows(2).enumerate().position(|(at, _)| is_blank_line(data, at));
        let (head, body) = end.map_or((data, &[][..]), |at| (&data[..at], after_blank_line(&data[at..])));
        let mut lines = head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let mut words = first.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let mut raw = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            authority: None,
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body),
        };
        lines.for_each(|line| raw.field(line));
        raw
    }

    /// What no HTTP server would hand over is left out, not repaired.
    fn field(&mut self, line: &[u8]) {
        if let Some(authority) = line.strip_prefix(b":authority:") {
            self.authority = Some(String::from_utf8_lossy(authority).trim().to_owned());
            return;
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            // A map of headers has a limit of its own, which a server's is below.
            let _ = self.headers.try_append(name, value);
        }
    }

    /// One of `path` `/` with these headers.
    pub(crate) fn new(method: &str, query: Option<&str>, headers: &[(&'static str, &str)], body: &[u8]) -> Self {
        let mut raw = Self {
            method: method.to_owned(),
            path: "/".to_owned(),
            query: query.map(str::to_owned),
            authority: None,
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body),
        };
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a value that a header can have");
            raw.headers.append(HeaderName::from_static(name), value);
        }
        raw
    }

    pub(crate) fn parts(&self) -> RequestParts<'_> {
        RequestParts {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            authority: self.authority.as_deref(),
            headers: &self.headers,
            body: &self.body,
        }
    }

    pub(crate) fn call(&self) -> Result<Call, WireError> {
        Ok(Call::parse(&self.parts())?)
    }
}

fn is_blank_line(data: &[u8], at: usize) -> bool {
    data[at..].starts_with(b"\n\n") || data[at..].starts_with(b"\r\n\r\n")
}

fn after_blank_line(rest: &[u8]) -> &[u8] {
    rest.strip_prefix(b"\n\n").or_else(|| rest.strip_prefix(b"\r\n\r\n")).unwrap_or_default()
}
