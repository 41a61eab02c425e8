//! The parser of a cache's answers: HTTP/1.x responses from a growing buffer (RFC 9112).
//!
//! What this is: pure; bytes in, one whole answer out, or "not yet". What this is not: a general
//! client; an answer longer than [`ANSWER_BYTES_MAX`] is cut off, since purge answers are short.
//!
//! Invariant: never takes a byte of the next answer, for answers are told apart by position only.

use std::borrow::Cow;

/// Bytes of one answer that are kept. The longest seen from a cache is an error page of 1 KiB.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Header fields of one answer; caches send about ten.
const FIELDS_MAX: usize = 64;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    /// The status code.
    pub(super) status: u16,
    /// The reason phrase; empty when absent or not printable.
    pub(super) reason: &'a str,
    /// Whether the field that the cache's kind marks its own answers with is there.
    pub(super) marked: Marked,
    /// The body, as far as it was kept.
    pub(super) body: Cow<'a, [u8]>,
}

/// Whether an answer carries its cache's own header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marked {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// Whether another answer can follow on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// It can.
    Alive,
    /// The cache said that it closes it, or its end is the end of this answer.
    Close,
}

/// What stands at the front of the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Front<'a> {
    /// A whole answer of this many bytes.
    Whole(Answer<'a>, usize, Keep),
    /// An interim answer (1xx) of this many bytes: the real one follows.
    Interim(usize),
    /// More bytes are needed.
    Part,
}

/// What is there is no HTTP answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no HTTP answer: {0}")]
pub(super) struct NotHttp(pub(super) &'static str);

/// Whether more bytes can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// They can.
    Open,
    /// The connection has ended.
    Ended,
}

/// How a body ends (RFC 9112 section 6.3).
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// Parses the front of the buffer. `mark` names the field that sets [`Answer::marked`].
pub(super) fn parse<'a>(bytes: &'a [u8], stream: Stream, mark: &str) -> Result<Front<'a>, NotHttp> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let parsed = head.parse(bytes).map_err(|_| NotHttp("the head cannot be parsed"))?;
    let httparse::Status::Complete(head_len) = parsed else {
        if bytes.len() >= ANSWER_BYTES_MAX {
            return Err(NotHttp("the head is too long"));
        }
        return Ok(Front::Part);
    };
    let status = head.code.unwrap_or_default();
    if (100..200).contains(&status) {
        return Ok(Front::Interim(head_len));
    }
    let keep = keep_alive(&head);
    let marked =
        if head.headers.iter().any(|field| field.name.eq_ignore_ascii_case(mark)) { Marked::Yes } else { Marked::No };
    let framing = framing(status, &head)?;
    let answer = |body| Answer { status, reason: head.reason.unwrap_or_default(), marked, body };
    let rest = &bytes[head_len..];
    let whole = match framing {
        Framing::Length(len) => rest.get(..len).map(|body| (Cow::Borrowed(body), len, keep)),
        Framing::Chunked => dechunk(rest)?.map(|(body, len)| (Cow::Owned(body), len, keep)),
        Framing::UntilClose if stream == Stream::Ended => Some((Cow::Borrowed(rest), rest.len(), Keep::Close)),
        Framing::UntilClose => None,
    };
    match whole {
        Some((body, len, keep)) => Ok(Front::Whole(answer(body), head_len + len, keep)),
        // The status is known, the rest of the page is not worth its memory.
        None if bytes.len() >= ANSWER_BYTES_MAX => {
            Ok(Front::Whole(answer(Cow::Borrowed(rest)), bytes.len(), Keep::Close))
        }
        None => Ok(Front::Part),
    }
}

fn keep_alive(head: &httparse::Response<'_, '_>) -> Keep {
    let mut keep = if head.version == Some(1) { Keep::Alive } else { Keep::Close };
    for field in head.headers.iter() {
        if field.name.eq_ignore_ascii_case("connection") {
            for option in field.value.split(|byte| *byte == b',') {
                match option.trim_ascii() {
                    value if value.eq_ignore_ascii_case(b"close") => return Keep::Close,
                    value if value.eq_ignore_ascii_case(b"keep-alive") => keep = Keep::Alive,
                    _ => {}
                }
            }
        }
    }
    keep
}

fn framing(status: u16, head: &httparse::Response<'_, '_>) -> Result<Framing, NotHttp> {
    if matches!(status, 204 | 304) {
        return Ok(Framing::Length(0));
    }
    let mut length = None;
    for field in head.headers.iter() {
        if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return if field.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                Ok(Framing::Chunked)
            } else {
                Err(NotHttp("an unknown transfer coding"))
            };
        }
        if field.name.eq_ignore_ascii_case("content-length") {
            let value = std::str::from_utf8(field.value.trim_ascii())
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse::<usize>().ok())
                .ok_or(NotHttp("the content length is no number"))?;
            if length.is_some_and(|known| known != value) {
                return Err(NotHttp("two content lengths"));
            }
            length = Some(value);
        }
    }
    Ok(length.map_or(Framing::UntilClose, Framing::Length))
}

/// Decodes a chunked body (RFC 9112 section 7.1): the body and the bytes it took; `None` when its
/// end is not there yet.
fn dechunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, NotHttp> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = line_at(bytes, at) else {
            return Ok(None);
        };
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(size.trim_ascii())
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|text| usize::from_str_radix(text, 16).ok())
            .ok_or(NotHttp("the size of a chunk is no number"))?;
        at += line.len() + 2;
        if size == 0 {
            return Ok(skip_trailers(bytes, at).map(|end| (body, end)));
        }
        let end = at.checked_add(size).ok_or(NotHttp("a chunk is too long"))?;
        let Some(chunk) = bytes.get(at..end) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        match bytes.get(end..end + 2) {
            None => return Ok(None),
            Some(b"\r\n") => at = end + 2,
            Some(_) => return Err(NotHttp("a chunk has no end")),
        }
    }
}

fn skip_trailers(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let line = line_at(bytes, at)?;
        at += line.len() + 2;
        if line.is_empty() {
            return Some(at);
        }
    }
}

/// The line that begins at `at`, without its CRLF.
fn line_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    rest.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: &str = "HTTP/1.1 404 Not Found\r\n";

    /// Parses `text` followed by the next answer's head: status, body and what was left over.
    fn check(text: &str, expect: (u16, &str, Keep)) {
        let bytes = format!("{text}{NEXT}");
        let front = parse(bytes.as_bytes(), Stream::Open, "x-varnish").expect(text);
        let Front::Whole(answer, len, keep) = front else {
            panic!("not whole: {text:?}");
        };
        assert_eq!((answer.status, &*answer.body, keep), (expect.0, expect.1.as_bytes(), expect.2));
        assert_eq!(&bytes[len..], NEXT);
        for cut in 0..text.len() {
            let part = parse(&text.as_bytes()[..cut], Stream::Open, "x-varnish");
            assert_eq!(part, Ok(Front::Part), "{text:?} cut at {cut}");
        }
    }

    #[test]
    fn each_framing_ends_where_the_next_answer_begins() {
        check("HTTP/1.1 200 Purged 1\r\nContent-Length: 0\r\n\r\n", (200, "", Keep::Alive));
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", (200, "ab", Keep::Alive));
        check("HTTP/1.1 204 \r\n\r\n", (204, "", Keep::Alive));
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: v\r\n\r\n",
            (200, "abc", Keep::Alive),
        );
        check("HTTP/1.1 400 Bad\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", (400, "x", Keep::Close));
        check("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", (200, "", Keep::Close));
        check("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", (200, "", Keep::Alive));
    }

    #[test]
    fn body_without_a_length_ends_with_the_connection() {
        let bytes = b"HTTP/1.1 200 OK\r\n\r\nabc";
        assert_eq!(parse(bytes, Stream::Open, ""), Ok(Front::Part));
        let ended = parse(bytes, Stream::Ended, "").expect("an answer");
        assert!(matches!(ended, Front::Whole(answer, 22, Keep::Close) if &*answer.body == b"abc"));
    }

    #[test]
    fn endless_page_is_cut_off_with_its_status_known() {
        let mut bytes = b"HTTP/1.1 500 Oops\r\n\r\n".to_vec();
        bytes.resize(ANSWER_BYTES_MAX, b'x');
        let front = parse(&bytes, Stream::Open, "").expect("an answer");
        assert!(matches!(front, Front::Whole(answer, _, Keep::Close) if answer.status == 500));
        assert!(parse(&vec![b'x'; ANSWER_BYTES_MAX], Stream::Open, "").is_err());
    }

    #[test]
    fn interim_answer_is_passed_over_and_the_mark_is_seen() {
        let front = parse(b"HTTP/1.1 100 Continue\r\n\r\nHTTP", Stream::Open, "");
        assert_eq!(front, Ok(Front::Interim(25)));
        let front = parse(b"HTTP/1.1 204 x\r\nX-Varnish: 2\r\n\r\n", Stream::Open, "x-varnish");
        assert!(matches!(front, Ok(Front::Whole(answer, _, _)) if answer.marked == Marked::Yes));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for text in [
            "<html>HTTP/0.9\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n",
        ] {
            assert!(parse(text.as_bytes(), Stream::Open, "").is_err(), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_are_no_reason_to_panic(tail in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _front = parse(&tail, Stream::Ended, "x");
            let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            bytes.extend(tail);
            let _front = parse(&bytes, Stream::Open, "x");
        }
    }
}
