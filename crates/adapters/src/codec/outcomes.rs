//! The outcomes of a receipt as runs.
//!
//! What this is: most invalidations of a receipt have the same outcome, so equal neighbours are one
//! run: its kind and length in one number, and for refusals the reason once.
//!
//! Version 2, all numbers as varints:
//! ```text
//! version=2  count  (length * 4 + kind  [reason value | copies])*
//! kind    0 applied, 1 absent, 2 refused, 3 applied to so many copies
//! reason  0 malformed (value: HTTP status), 1 unsupported (0), 2 unanswered (attempts), 3 unmapped (0)
//! copies  1 to 2^32 - 1
//! ```
//! Version 1 is the same without kind 3.

use std::num::NonZeroU32;

use catharsis_core::receipt::{Refusal, Settled};

use super::{CodecError, Reader, put_varint};

const VERSION: u8 = 2;
/// The version before, which told no numbers of copies.
const UNCOUNTED: u8 = 1;
/// Outcomes of one receipt: far above what a relay settles at once (`RELAY_BATCH`), and what a
/// damaged count can cost in memory (about 1 MiB).
const OUTCOMES_MAX: usize = 65_536;

/// Encodes the outcomes of a receipt.
///
/// # Errors
/// When there are more than could be read back.
pub(crate) fn encode(outcomes: &[Settled]) -> Result<Vec<u8>, CodecError> {
    if outcomes.len() > OUTCOMES_MAX {
        return Err(CodecError::Malformed("the number of outcomes"));
    }
    let mut out = vec![VERSION];
    put_varint(&mut out, outcomes.len() as u64);
    for run in outcomes.chunk_by(|one, next| one == next) {
        let length = (run.len() as u64) << 2;
        match &run[0] {
            Settled::Applied => put_varint(&mut out, length),
            Settled::Absent => put_varint(&mut out, length | 1),
            Settled::Refused(why) => {
                put_varint(&mut out, length | 2);
                put_refusal(&mut out, why);
            }
            Settled::AppliedTo(copies) => {
                put_varint(&mut out, length | 3);
                put_varint(&mut out, u64::from(copies.get()));
            }
        }
    }
    Ok(out)
}

fn put_refusal(out: &mut Vec<u8>, why: &Refusal) {
    let (reason, value) = match why {
        Refusal::Malformed { status } => (0, u64::from(*status)),
        Refusal::Unsupported => (1, 0),
        Refusal::Unanswered { attempts } => (2, u64::from(*attempts)),
        Refusal::Unmapped => (3, 0),
    };
    out.push(reason);
    put_varint(out, value);
}

/// Reads the outcomes of a receipt.
///
/// # Errors
/// When the bytes are not outcomes of a known version.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Settled>, CodecError> {
    let mut reader = Reader::new(bytes);
    match reader.byte()? {
        version @ (UNCOUNTED | VERSION) => runs(&mut reader, version),
        other => Err(CodecError::Version(other)),
    }
}

fn runs(reader: &mut Reader<'_>, version: u8) -> Result<Vec<Settled>, CodecError> {
    let count = reader.bounded(OUTCOMES_MAX, "the number of outcomes")?;
    let mut outcomes = Vec::new();
    while outcomes.len() < count {
        let run = reader.varint()?;
        let length = usize::try_from(run >> 2)
            .ok()
            .filter(|length| (1..=count - outcomes.len()).contains(length))
            .ok_or(CodecError::Malformed("the length of a run"))?;
        let outcome = match run & 3 {
            0 => Settled::Applied,
            1 => Settled::Absent,
            2 => Settled::Refused(refusal(reader)?),
            3 if version != UNCOUNTED => Settled::AppliedTo(copies(reader)?),
            _ => return Err(CodecError::Malformed("the kind of a run")),
        };
        outcomes.extend(std::iter::repeat_n(outcome, length));
    }
    if reader.is_empty() { Ok(outcomes) } else { Err(CodecError::Malformed("bytes follow the last run")) }
}

fn copies(reader: &mut Reader<'_>) -> Result<NonZeroU32, CodecError> {
    let copies = u32::try_from(reader.varint()?).ok().and_then(NonZeroU32::new);
    copies.ok_or(CodecError::Malformed("the number of copies"))
}

fn refusal(reader: &mut Reader<'_>) -> Result<Refusal, CodecError> {
    const WHAT: CodecError = CodecError::Malformed("the reason of a refusal");
    let reason = reader.byte()?;
    let value = reader.varint()?;
    match reason {
        0 => Ok(Refusal::Malformed { status: u16::try_from(value).map_err(|_| WHAT)? }),
        1 => Ok(Refusal::Unsupported),
        2 => Ok(Refusal::Unanswered { attempts: u32::try_from(value).map_err(|_| WHAT)? }),
        3 => Ok(Refusal::Unmapped),
        _ => Err(WHAT),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settled() -> impl Strategy<Value = Settled> {
        prop_oneof![
            4 => Just(Settled::Applied),
            4 => Just(Settled::Absent),
            2 => any::<NonZeroU32>().prop_map(Settled::AppliedTo),
            1 => any::<u16>().prop_map(|status| Settled::Refused(Refusal::Malformed { status })),
            1 => Just(Settled::Refused(Refusal::Unsupported)),
            1 => Just(Settled::Refused(Refusal::Unmapped)),
            1 => any::<u32>().prop_map(|attempts| Settled::Refused(Refusal::Unanswered { attempts })),
        ]
    }

    proptest! {
        #[test]
        fn outcomes_survive_encoding(outcomes in proptest::collection::vec(settled(), 0..600)) {
            let bytes = encode(&outcomes).expect("within the bounds");
            prop_assert_eq!(decode(&bytes), Ok(outcomes));
        }

        #[test]
        fn arbitrary_bytes_are_no_reason_to_panic(mut bytes in proptest::collection::vec(any::<u8>(), 1..60)) {
            let _outcome = decode(&bytes);
            for version in [UNCOUNTED, VERSION] {
                bytes[0] = version;
                let _outcome = decode(&bytes);
            }
        }
    }

    #[test]
    fn batch_with_one_outcome_takes_a_few_bytes() {
        let bytes = encode(&vec![Settled::Absent; 512]).expect("within the bounds");
        assert!(bytes.len() <= 6);
    }

    #[test]
    fn what_the_version_before_wrote_is_read() {
        // Three applied, one absent, one refused with 414: as version 1 wrote them.
        let written = [1, 5, 3 << 2, (1 << 2) | 1, (1 << 2) | 2, 0, 0x9e, 0x03];
        let refused = Settled::Refused(Refusal::Malformed { status: 414 });
        let applied = || Settled::Applied;
        assert_eq!(decode(&written), Ok(vec![applied(), applied(), applied(), Settled::Absent, refused]));
        assert!(decode(&[UNCOUNTED, 1, (1 << 2) | 3, 7]).is_err(), "it knew no such kind");
        assert!(decode(&[VERSION, 1, (1 << 2) | 3, 0]).is_err(), "applied to none is absent");
    }

    #[test]
    fn run_longer_than_the_receipt_is_refused() {
        assert!(decode(&[VERSION, 2, 3 << 2]).is_err());
        assert!(decode(&[VERSION, 2, 0]).is_err());
    }
}
