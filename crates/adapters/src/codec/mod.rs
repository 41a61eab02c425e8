//! The stored encodings.
//!
//! What this is: the bytes of a task's items ([`block`]) and of a receipt's outcomes
//! ([`outcomes`]). Each begins with its version, so that a later version can still read what an
//! earlier one wrote: a decoder has one arm a version, and the writer always writes the newest.
//!
//! Invariant: decoding arbitrary bytes never panics and never allocates more than a bound that
//! follows from the number of bytes given.

pub(crate) mod block;
pub(crate) mod outcomes;

use catharsis_core::error::StoreError;

/// Why stored bytes cannot be read, or a value cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    /// They end too early.
    #[error("it ends too early")]
    Truncated,
    /// They were written by a version that this one does not know.
    #[error("it has encoding version {0}, which this version does not know")]
    Version(u8),
    /// They contradict themselves.
    #[error("it is damaged: {0}")]
    Malformed(&'static str),
}

impl From<CodecError> for StoreError {
    fn from(error: CodecError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// Appends a number, seven bits a byte, the lowest first.
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Reads encoded bytes from the front.
#[derive(Clone, Copy, Debug)]
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, CodecError> {
        let (first, rest) = self.rest.split_first().ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    fn varint(&mut self) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CodecError::Malformed("a number is too long"))
    }

    /// A number that counts or measures something, at most `max`.
    fn bounded(&mut self, max: usize, what: &'static str) -> Result<usize, CodecError> {
        usize::try_from(self.varint()?).ok().filter(|value| *value <= max).ok_or(CodecError::Malformed(what))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn number_survives_and_ends_where_it_should(value in any::<u64>()) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            bytes.push(0xaa);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert_eq!(reader.rest, &[0xaa]);
        }

        #[test]
        fn arbitrary_bytes_are_no_reason_to_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let _outcome = Reader::new(&bytes).varint();
        }
    }
}
