//! The pages of an oracle's site, and how a body tells its version.
//!
//! What this is: names of pages, and bodies made of records of one length, each of which names the
//! page and the version. So a part of a body (a range, a body that was cut off) tells them as well.

use super::history::Version;

/// Bytes of a record.
pub(super) const RECORD_BYTES: usize = 32;
/// Records of a body: 2 KiB, so that a body can be sent in pieces and asked for in ranges.
pub(super) const RECORDS: usize = 64;

/// How many pages there are: each directory holds the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// Directories, 1 to 9,999.
    pub directories: u16,
    /// Pages in each, 1 to 99.
    pub each: u8,
}

/// One page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageId {
    /// Its directory.
    pub directory: u16,
    /// Which one there.
    pub page: u8,
}

impl Pages {
    /// How many in all.
    #[must_use]
    pub fn count(self) -> usize {
        usize::from(self.directories) * usize::from(self.each)
    }

    /// The pages of a directory.
    pub fn of(self, directory: u16) -> impl Iterator<Item = PageId> {
        (0..self.each).map(move |page| PageId { directory, page })
    }

    /// Where a page stands among all of them.
    pub(super) fn index(self, page: PageId) -> usize {
        usize::from(page.directory) * usize::from(self.each) + usize::from(page.page)
    }
}

impl PageId {
    /// Its path.
    #[must_use]
    pub fn path(self) -> String {
        format!("{}{}", self.directory_path(), self.page)
    }

    /// The path of its directory, which ends in `/`.
    #[must_use]
    pub fn directory_path(self) -> String {
        format!("/o/{}/", self.directory)
    }

    /// Whether its responses vary by [`VARIANT`]: one page of four.
    #[must_use]
    pub const fn varies(self) -> bool {
        self.page % 4 == 3
    }

    /// The page of a path.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let (directory, page) = path.strip_prefix("/o/")?.split_once('/')?;
        Some(Self { directory: directory.parse().ok()?, page: page.parse().ok()? })
    }

    /// The whole body of a version.
    pub(super) fn body(self, version: Version) -> Vec<u8> {
        let record = format!("{:<16}{:>15}\n", self.path(), version.number());
        record.into_bytes().repeat(RECORDS)
    }

    /// The versions that whole records of a body, or of a part of it that begins with one, tell; `None` when
    /// there is no record, or anything that is not a record of this page.
    pub(super) fn versions(self, body: &[u8]) -> Option<Versions> {
        let mut versions: Option<Versions> = None;
        for record in body.chunks_exact(RECORD_BYTES) {
            let record = std::str::from_utf8(record).ok()?;
            let (path, number) = record.split_at_checked(16)?;
            let version = Version::of(number.trim().parse().ok()?);
            if path.trim_end() != self.path() {
                return None;
            }
            let seen = versions.get_or_insert(Versions { oldest: version, newest: version });
            seen.oldest = seen.oldest.min(version);
            seen.newest = seen.newest.max(version);
        }
        versions
    }
}

/// The field by which some pages vary.
pub(super) const VARIANT: &str = "x-variant";

/// What the records of one body tell: more than one version in it is wrong by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) oldest: Version,
    pub(super) newest: Version,
}

/// The validator of a version.
pub(super) fn etag(version: Version) -> String {
    format!("\"v{}\"", version.number())
}

/// The version of a validator, weak or strong.
pub(super) fn of_etag(field: &str) -> Option<Version> {
    let number = field.trim().trim_start_matches("W/").strip_prefix("\"v")?.strip_suffix('"')?;
    number.parse().ok().map(Version::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_a_body_tells_page_and_version() {
        let page = PageId { directory: 12, page: 3 };
        let body = page.body(Version::of(7));
        assert_eq!(body.len(), RECORD_BYTES * RECORDS);
        let seven = Some(Versions { oldest: Version::of(7), newest: Version::of(7) });
        assert_eq!(page.versions(&body), seven);
        assert_eq!(page.versions(&body[RECORD_BYTES..RECORD_BYTES * 2 + 5]), seven);
        assert_eq!(page.versions(&body[..RECORD_BYTES - 1]), None);
        assert_eq!(PageId { directory: 1, page: 3 }.versions(&body), None, "another page's body is not its own");
        assert_eq!(page.versions(&b"<html>502 Bad Gateway</html>".repeat(9)), None);
        assert_eq!(PageId::parse(&page.path()), Some(page));
    }

    #[test]
    fn body_of_two_versions_shows_both() {
        let page = PageId { directory: 0, page: 0 };
        let mixed = [&page.body(Version::of(2))[..RECORD_BYTES], &page.body(Version::of(1))[..RECORD_BYTES]].concat();
        assert_eq!(page.versions(&mixed), Some(Versions { oldest: Version::of(1), newest: Version::of(2) }));
    }

    #[test]
    fn validator_tells_its_version_weak_or_strong() {
        assert_eq!(of_etag(&etag(Version::of(5))), Some(Version::of(5)));
        assert_eq!(of_etag("W/\"v5\""), Some(Version::of(5)));
        assert_eq!(of_etag("\"x\""), None);
    }
}
