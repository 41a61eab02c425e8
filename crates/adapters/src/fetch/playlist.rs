//! What an HLS playlist names (RFC 8216).
//!
//! What this is: a reader of two kinds of lines: URIs, and the `URI` attribute of the tags that name media
//! or further playlists. What this is not: a parser of playlists. That of the crate m3u8-rs was tried on
//! paper and left: it panics on bytes that are no UTF-8 and gives nothing at all of a playlist in which one
//! attribute is odd, while a player would play the rest.
//!
//! Invariant: whatever it is given, it returns at most [`PLAYLIST_URLS_MAX`] absolute `http` or `https` URLs.

use catharsis_core::limits::{PLAYLIST_URLS_MAX, URL_BYTES_MAX};
use catharsis_core::target::CacheUrl;
use url::Url;

/// Tags whose `URI` attribute a player fetches. Not the keys: they are secrets, which nobody should keep.
const TAGS: [&str; 5] =
    ["#EXT-X-MAP:", "#EXT-X-MEDIA:", "#EXT-X-I-FRAME-STREAM-INF:", "#EXT-X-PART:", "#EXT-X-RENDITION-REPORT:"];

/// Whether an answer is a playlist, by its path or its type (RFC 8216 section 4).
pub(super) fn is_one(url: &CacheUrl, content_type: &str) -> bool {
    let target = url.encoded_path();
    let path = target.split('?').next().unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let named = path.len() >= 5 && path.as_bytes()[path.len() - 5..].eq_ignore_ascii_case(b".m3u8");
    named
        || matches!(
            essence.as_str(),
            "application/vnd.apple.mpegurl" | "application/x-mpegurl" | "audio/mpegurl" | "audio/x-mpegurl"
        )
}

/// The URLs that a playlist names, in its order, resolved against its own. None when it is no playlist.
pub(super) fn links(playlist: &CacheUrl, body: &[u8]) -> Vec<Box<str>> {
    let Ok(base) = Url::parse(&playlist.to_string()) else { return Vec::new() };
    let text = String::from_utf8_lossy(body);
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    if lines.next() != Some("#EXTM3U") {
        return Vec::new();
    }
    lines.filter_map(named_by).filter_map(|uri| resolve(&base, uri)).take(PLAYLIST_URLS_MAX).collect()
}

/// What a line names.
fn named_by(line: &str) -> Option<&str> {
    if !line.starts_with('#') {
        return (!line.is_empty()).then_some(line);
    }
    let attributes = TAGS.iter().find_map(|tag| line.strip_prefix(tag))?;
    attribute(attributes, "URI")
}

/// A quoted attribute of an attribute list (RFC 8216 section 4.2). Other values may hold commas too.
fn attribute<'a>(mut list: &'a str, wanted: &str) -> Option<&'a str> {
    loop {
        let (name, rest) = list.split_once('=')?;
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find(',').unwrap_or(rest.len())),
        };
        if name.trim() == wanted {
            return Some(value);
        }
        list = rest.strip_prefix(',')?;
    }
}

fn resolve(base: &Url, uri: &str) -> Option<Box<str>> {
    if uri.len() > URL_BYTES_MAX {
        return None;
    }
    let mut url = base.join(uri).ok()?;
    // No cache ever sees a fragment.
    url.set_fragment(None);
    matches!(url.scheme(), "http" | "https").then(|| String::from(url).into())
}

#[cfg(test)]
mod tests {
    use catharsis_core::target::Encode;
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> CacheUrl {
        CacheUrl::parse(text, Encode::AsSubmitted).expect("a valid URL")
    }

    fn check(body: &str, expect: &[&str]) {
        let found = links(&url("https://a.test/film/list.m3u8?t=1"), body.as_bytes());
        let found: Vec<&str> = found.iter().map(|link| &**link).collect();
        assert_eq!(found, expect, "{body}");
    }

    #[test]
    fn segments_are_resolved_against_the_playlist() {
        check(
            "#EXTM3U\r\n#EXT-X-TARGETDURATION:6\r\n#EXT-X-MAP:URI=\"init.mp4\"\r\n#EXTINF:6,a, b\r\n1.ts?x=1#f\r\n\r\n#EXTINF:6,\r\n\
             ../2.ts\r\n# a comment\r\n/3.ts\r\n//b.test/4.ts\r\nhttp://c.test/5.ts\r\n",
            &[
                "https://a.test/film/init.mp4",
                "https://a.test/film/1.ts?x=1",
                "https://a.test/2.ts",
                "https://a.test/3.ts",
                "https://b.test/4.ts",
                "http://c.test/5.ts",
            ],
        );
    }

    #[test]
    fn master_playlist_leads_to_its_variants_and_renditions() {
        check(
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"a, URI=\"\"no\",URI=\"no.m3u8\"\n#EXT-X-MEDIA:TYPE=AUDIO,NAME=\"a,b\",URI=\"a.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"x,y\"\nlow.m3u8\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i.m3u8\"\n",
            &["https://a.test/film/a.m3u8", "https://a.test/film/low.m3u8", "https://a.test/film/i.m3u8"],
        );
    }

    #[test]
    fn keys_and_other_schemes_are_left_out() {
        check(
            "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\ndata:x,y\nfile:///etc/passwd\nhttp://\n1.ts\n",
            &["https://a.test/film/1.ts"],
        );
        check("<html>\n1.ts\n", &[]);
        check("", &[]);
    }

    #[test]
    fn playlist_is_known_by_its_name_or_its_type() {
        for (text, kind) in [
            ("http://a.test/x.m3u8", ""),
            ("http://a.test/x.M3U8?y=.ts", "text/plain"),
            ("http://a.test/x", "application/vnd.apple.mpegURL; charset=utf-8"),
        ] {
            assert!(is_one(&url(text), kind), "{text} {kind}");
        }
        for (text, kind) in [("http://a.test/x.ts?y=.m3u8", "video/mp2t"), ("http://a.test/", "")] {
            assert!(!is_one(&url(text), kind), "{text} {kind}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_playlist_holds_only_bounded_http_urls_come_out(body in proptest::collection::vec(any::<u8>(), 0..400), lines in "(#EXT-X-M(AP|EDIA):[A-Z=\",é]{0,20}\n|\\PC{0,20}\n){0,8}") {
            let mut text = b"#EXTM3U\n".to_vec();
            text.extend_from_slice(lines.as_bytes());
            text.extend_from_slice(&body);
            for link in links(&url("http://a.test/x.m3u8"), &text) {
                prop_assert!(link.starts_with("http://") || link.starts_with("https://"));
                prop_assert!(!link.contains('#'));
            }
        }
    }
}
