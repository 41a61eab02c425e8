//! The head of a file in nginx's cache.
//!
//! What this is: the key, which stands in the head as text, and the time until which the copy is
//! fresh, which stands there as a number (`ngx_http_file_cache_header_t`, version 5: nginx 1.11.10 and
//! later). What this is not: the response.
//!
//! Invariant: a head is called plain only when its version and values are as nginx writes them, so
//! that a file of another layout is never written into.

/// What stands before the key, wherever it is.
const BEFORE_KEY: &[u8] = b"\nKEY: ";

/// Bytes of the head that are read at first: enough for keys of the usual length.
pub(super) const FIRST_BYTES: usize = 4 << 10;

/// Bytes of the head that are read at most. A key is hardly longer than a request's line and its
/// `Host`, for each of which nginx keeps 8 KiB unless told otherwise.
pub(super) const BYTES_MAX: usize = 64 << 10;

/// Where `valid_sec` stands: behind the version.
pub(super) const VALID_AT: u64 = 8;

/// A time long gone: nginx takes the copy for expired, and no allowance for stale copies reaches back
/// so far.
pub(super) const LONG_GONE: [u8; 8] = 1_i64.to_ne_bytes();

/// The version of the layout described here.
const VERSION: u64 = 5;

/// Years around now in which nginx's times lie, in seconds: caches of the far future use 10 years.
const AROUND_NOW: i64 = 20 * 366 * 86_400;

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head<'a> {
    /// The key.
    Key(&'a [u8]),
    /// Its end is not among the bytes read.
    Cut,
    /// This is no file of the cache.
    Other,
}

/// Looks for the key.
pub(super) fn key(head: &[u8]) -> Head<'_> {
    let begin = head.windows(BEFORE_KEY.len()).position(|bytes| bytes == BEFORE_KEY);
    let Some(begin) = begin.map(|at| at + BEFORE_KEY.len()) else {
        return if head.len() < FIRST_BYTES { Head::Other } else { Head::Cut };
    };
    match head[begin..].iter().position(|byte| *byte == b'\n') {
        Some(length) => Head::Key(&head[begin..begin + length]),
        None => Head::Cut,
    }
}

/// Whether the copy can be marked stale by a number at [`VALID_AT`]. `now` in seconds of Unix time.
pub(super) fn is_plain(head: &[u8], now: i64) -> bool {
    let number = |at: usize| head.get(at..at + 8)?.try_into().ok().map(i64::from_ne_bytes);
    let short = |at: usize| head.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes);
    let Head::Key(key) = key(head) else { return false };
    let (Some(version), Some(valid), Some(date)) = (number(0), number(8), number(40)) else { return false };
    let (Some(header_start), Some(body_start)) = (short(54), short(56)) else { return false };
    let key_ends = key.as_ptr_range().end.addr() - head.as_ptr().addr();
    version.cast_unsigned() == VERSION
        && (0..=now.saturating_add(AROUND_NOW)).contains(&valid)
        && (now.saturating_sub(AROUND_NOW)..=now.saturating_add(AROUND_NOW)).contains(&date)
        && usize::from(header_start) == key_ends + 1
        && body_start >= header_start
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn head(version: u64, valid: i64, header_start: u16) -> Vec<u8> {
        let mut head = vec![0; 336];
        head[..8].copy_from_slice(&version.to_ne_bytes());
        head[8..16].copy_from_slice(&valid.to_ne_bytes());
        head[40..48].copy_from_slice(&NOW.to_ne_bytes());
        head[54..56].copy_from_slice(&header_start.to_ne_bytes());
        head[56..58].copy_from_slice(&500_u16.to_ne_bytes());
        head.extend(b"\nKEY: a.test/x\nHTTP/1.1 200 OK\r\n");
        head
    }

    #[test]
    fn key_is_found_wherever_it_stands() {
        assert_eq!(key(&head(5, NOW, 351)), Head::Key(b"a.test/x"));
        assert_eq!(key(&head(5, NOW, 351)[100..]), Head::Key(b"a.test/x"));
        assert_eq!(key(&head(5, NOW, 351)[..345]), Head::Cut);
        assert_eq!(key(b"something else"), Head::Other);
    }

    #[test]
    fn only_what_nginx_writes_is_marked() {
        assert!(is_plain(&head(5, NOW + 60, 351), NOW));
        for wrong in
            [head(3, NOW, 351), head(5, -1, 351), head(5, i64::MAX, 351), head(5, NOW, 350), b"\nKEY: x\n".into()]
        {
            assert!(!is_plain(&wrong, NOW));
        }
        assert!(!is_plain(&head(5, NOW, 351), 0));
    }
}
