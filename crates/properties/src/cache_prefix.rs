//! Submitted directories: they follow the rules of URLs, and cover what lies at or below them and nothing else.

use catharsis_core::target::{CachePrefix, CacheUrl, Encode, InvalidUrl, RequestTargets, prefix_covers, prefix_ends};

use crate::planted;

/// `data` is a directory, a line's end, and a URL. What the directory covers is compared with the rule written down once more; a URL is covered by the
/// directories that `prefix_ends` lists for it and by no other.
pub fn cache_prefix(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (directory, url) = text.split_once('\n').unwrap_or((text, ""));
    for encode in [Encode::AsSubmitted, Encode::PercentEncode] {
        let itself = CacheUrl::parse(directory, encode);
        let prefix = match CachePrefix::parse(directory, encode) {
            Ok(prefix) => prefix,
            Err(error) => {
                assert_refused(directory, &itself, error);
                continue;
            }
        };
        let itself = itself.expect("a directory is a URL too");
        assert!(!directory.contains(['?', '#']), "{directory:?} is more than a directory");
        assert_eq!(prefix.request_targets(), itself.request_targets());
        assert!(prefix.covers(&itself), "a directory covers its own name");
        let again = CachePrefix::parse(&prefix.to_string(), Encode::PercentEncode).expect("written out, it is one");
        assert_eq!((again.host(), again.port()), (prefix.host(), prefix.port()));
        assert_eq!(again.encoded_path(), prefix.encoded_path());
        for encode in [Encode::AsSubmitted, Encode::PercentEncode] {
            if let Ok(url) = CacheUrl::parse(url, encode) {
                assert_covers(&prefix, &url);
            }
        }
    }
}

fn assert_refused(directory: &str, itself: &Result<CacheUrl, InvalidUrl>, error: InvalidUrl) {
    match itself {
        Ok(_) => assert!(error == InvalidUrl::Query && directory.contains('?'), "{directory:?} is refused: {error}"),
        Err(why) => assert_eq!(*why, error, "the rules are those of URLs"),
    }
}

fn assert_covers(prefix: &CachePrefix, url: &CacheUrl) {
    let (directories, targets) = (prefix.request_targets(), url.request_targets());
    let same_site = prefix.host() == url.host() && prefix.port() == url.port();
    let below = targets.iter().all(|target| directories.iter().any(|directory| lies_below(directory, target)));
    let by_letters =
        planted(same_site && targets.raw.is_none() && targets.encoded.starts_with(directories.encoded.as_ref()));
    assert_eq!(prefix.covers(url) || by_letters, same_site && below, "{prefix} and {url}");
    let listed =
        |target: &str| prefixes_of(target).any(|listed| directories.iter().any(|directory| directory == listed));
    assert_eq!(targets.iter().all(listed), below, "the directories of {url}, and {prefix}");
    assert_listed(&targets, &directories);
    let root = format!("{}://{}", url.scheme().as_str(), url.host_header());
    let root = CachePrefix::parse(&root, Encode::AsSubmitted).expect("a site's root is a directory");
    assert!(root.covers(url), "{root} covers its whole site");
    if prefix.covers(url) {
        let written = CacheUrl::parse(&url.to_string(), Encode::PercentEncode).expect("written out, it is one");
        assert!(prefix.covers(&written), "{prefix} covers {url} in one spelling only");
    }
}

fn assert_listed(targets: &RequestTargets<'_>, directories: &RequestTargets<'_>) {
    for target in targets.iter() {
        assert!(prefixes_of(target).is_sorted_by(|a, b| a.len() < b.len()), "{target:?}");
        assert_eq!(prefixes_of(target).next(), Some("/"));
        assert!(prefixes_of(target).all(|listed| prefix_covers(listed, target) && lies_below(listed, target)));
        for directory in directories.iter() {
            assert_eq!(prefix_covers(directory, target), lies_below(directory, target), "{directory:?} {target:?}");
        }
    }
}

/// Segment by segment: those of the directory are the first of the target's, a query apart.
fn lies_below(directory: &str, target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let mut segments = path.split('/');
    let mut wanted: Vec<&str> = directory.split('/').collect();
    // The empty segment behind a last slash stands for any.
    let open = wanted.last() == Some(&"");
    if open {
        wanted.pop();
    }
    wanted.iter().all(|segment| segments.next() == Some(*segment)) && (!open || segments.next().is_some())
}

fn prefixes_of(target: &str) -> impl Iterator<Item = &str> {
    prefix_ends(target.as_bytes()).map(|end| target.get(..end).expect("a directory ends between characters"))
}
