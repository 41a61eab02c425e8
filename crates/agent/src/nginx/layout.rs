//! Names in nginx's cache directory.
//!
//! What this is: the names that nginx gives to stored copies, to copies that it is writing, and to the
//! directories above them (`levels` of `proxy_cache_path`). What this is not: the disk.
//!
//! Invariant: a name that is made here consists of hexadecimal digits and, of a copy being written,
//! one dot and decimal digits.

use std::fmt;
use std::str::FromStr;

use md5::{Digest, Md5};

/// The name of a stored copy: the MD5 of its key, or of its key and variant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileId([u8; 16]);

impl FileId {
    /// The name of the copy that has this key and no variant.
    pub(super) fn of_key(key: &[u8]) -> Self {
        Self(Md5::digest(key).into())
    }

    /// Reads a file's name.
    pub(super) fn parse(name: &[u8]) -> Option<Self> {
        let mut id = [0; 16];
        if name.len() != 2 * id.len() {
            return None;
        }
        for (byte, pair) in id.iter_mut().zip(name.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(id))
    }
}

/// nginx writes lower-case digits only.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The name of a copy that is being written, with `use_temp_path=off`: the copy's, a dot, ten digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TempName {
    pub(super) id: FileId,
    number: u64,
}

impl TempName {
    const DIGITS: usize = 10;

    /// The first and the last that a copy's could have.
    pub(super) const fn all_of(id: FileId) -> std::ops::RangeInclusive<Self> {
        Self { id, number: 0 }..=Self { id, number: u64::MAX }
    }

    fn parse(name: &[u8]) -> Option<Self> {
        let at = name.len().checked_sub(Self::DIGITS + 1)?;
        let (id, number) = (FileId::parse(&name[..at])?, name[at..].strip_prefix(b".")?);
        let digits = number.iter().all(u8::is_ascii_digit).then_some(number)?;
        Some(Self { id, number: std::str::from_utf8(digits).ok()?.parse().ok()? })
    }
}

impl fmt::Display for TempName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:010}", self.id, self.number)
    }
}

/// What a file below the cache directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FileName {
    Stored(FileId),
    Temp(TempName),
}

impl FileName {
    /// Reads a name; `None` for one that nginx would not give.
    pub(super) fn parse(name: &[u8]) -> Option<Self> {
        FileId::parse(name).map(Self::Stored).or_else(|| TempName::parse(name).map(Self::Temp))
    }

    pub(super) const fn id(self) -> FileId {
        match self {
            Self::Stored(id) => id,
            Self::Temp(temp) => temp.id,
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored(id) => id.fmt(f),
            Self::Temp(temp) => temp.fmt(f),
        }
    }
}

/// `levels` of `proxy_cache_path`: how many digits name the directories, outermost first. Empty for
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels(Vec<u8>);

/// Why a text is no `levels`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("levels are one to three numbers of 1 or 2, such as 1:2; an empty text means none")]
pub struct InvalidLevels;

impl Levels {
    /// How deep the directories of files lie.
    pub(super) const fn depth(&self) -> usize {
        self.0.len()
    }

    /// The directories above a copy, outermost first.
    pub(super) fn directories(&self, id: FileId) -> Vec<String> {
        let name = id.to_string();
        let mut end = name.len();
        let cut = |digits: &u8| {
            let begin = end - usize::from(*digits);
            let directory = name[begin..end].to_owned();
            end = begin;
            directory
        };
        self.0.iter().map(cut).collect()
    }

    /// Whether nginx would give a directory at this depth that name.
    pub(super) fn is_directory(&self, depth: usize, name: &[u8]) -> bool {
        self.0.get(depth).is_some_and(|digits| name.len() == usize::from(*digits))
            && name.iter().all(|byte| digit(*byte).is_some())
    }
}

impl FromStr for Levels {
    type Err = InvalidLevels;

    fn from_str(text: &str) -> Result<Self, InvalidLevels> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let level = |digits: &str| match digits {
            "1" => Ok(1),
            "2" => Ok(2),
            _ => Err(InvalidLevels),
        };
        let levels = text.split(':').map(level).collect::<Result<Vec<u8>, _>>()?;
        if levels.len() <= 3 { Ok(Self(levels)) } else { Err(InvalidLevels) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn copy_lies_where_nginx_puts_it() {
        let id = FileId::parse(b"b7f54b2df7773722d382f4809d65029c").unwrap();
        assert_eq!("1:2".parse::<Levels>().unwrap().directories(id), ["c", "29"]);
        assert_eq!("2:2:1".parse::<Levels>().unwrap().directories(id), ["9c", "02", "5"]);
        assert_eq!("".parse::<Levels>().unwrap().directories(id), Vec::<String>::new());
        for wrong in ["0", "3", "1:2:1:1", "1:", "x"] {
            assert_eq!(wrong.parse::<Levels>(), Err(InvalidLevels), "{wrong}");
        }
    }

    #[test]
    fn names_are_read_back_and_no_others_are_taken() {
        for name in ["b7f54b2df7773722d382f4809d65029c", "b7f54b2df7773722d382f4809d65029c.0000000017"] {
            assert_eq!(FileName::parse(name.as_bytes()).unwrap().to_string(), name);
        }
        for name in ["", "x", "..", "B7F54B2DF7773722D382F4809D65029C", "b7f54b2df7773722d382f4809d65029c.17"] {
            assert_eq!(FileName::parse(name.as_bytes()), None, "{name}");
        }
    }
}
