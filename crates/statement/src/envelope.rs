//! The envelope: DSSE, with one signature.
//!
//! What is signed is the payload *with its type*, in the pre-authentication encoding, so that bytes that were signed
//! as something else are never taken for a statement. The key's name in the envelope only helps to tell the wrong key
//! from a changed file; it proves nothing.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::key::{PublicKey, Signer};
use crate::statement::{Statement, VERSION, VERSION_MIN};

/// What the payload is.
pub const PAYLOAD_TYPE: &str = "application/vnd.catharsis.receipts+json";

/// Bytes of an envelope: the URLs of the largest task (a call of 10 MB) and its outcomes at many nodes fit, and so much
/// may be held in memory a few times while it is made or checked.
pub const ENVELOPE_BYTES_MAX: usize = 64 << 20;

/// A payload, its type and its signature, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    sig: String,
}

/// A statement that is longer than [`ENVELOPE_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the statement would be longer than {} MiB", ENVELOPE_BYTES_MAX >> 20)]
pub struct TooLong;

/// Why a file is no statement of this key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// It is no envelope.
    #[error("the file is no signed statement: {0}")]
    Form(String),
    /// It holds something else.
    #[error("the file holds something else than receipts: {0:?}")]
    Type(String),
    /// Another key's name stands in it.
    #[error("it names another key: {named:?} and not {given}; is this the public key of the server that made it?")]
    OtherKey {
        /// The name in the envelope.
        named: String,
        /// The name of the key that it was checked with.
        given: String,
    },
    /// The signature does not fit: something was changed, or it was made with another key.
    #[error("THE SIGNATURE DOES NOT FIT: the file was changed, or this is not the key that signed it")]
    Signature,
    /// It was made by a later server.
    #[error("it has version {0}, and this program knows versions {VERSION_MIN} to {VERSION}: use a newer one")]
    Version(u32),
    /// It is signed and still no statement.
    #[error("it is signed, and yet no statement of this version: {0}")]
    Statement(String),
}

/// What is signed: the pre-authentication encoding of DSSE.
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// Every version begins with this.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versioned {
    version: u32,
}

impl Envelope {
    /// Signs a statement.
    ///
    /// # Errors
    /// [`TooLong`].
    ///
    /// # Panics
    /// Never: a statement is plain data.
    pub fn seal(statement: &Statement, signer: &Signer) -> Result<Self, TooLong> {
        let payload = serde_json::to_vec(statement).expect("a statement is plain data");
        // Base64 makes four bytes of three; the rest of the envelope is a few hundred.
        if payload.len() > ENVELOPE_BYTES_MAX / 4 * 3 - 1_024 {
            return Err(TooLong);
        }
        let signature =
            Signature { keyid: signer.public().id(), sig: STANDARD.encode(signer.sign(&pae(PAYLOAD_TYPE, &payload))) };
        let payload = STANDARD.encode(payload);
        Ok(Self { payload, payload_type: PAYLOAD_TYPE.to_owned(), signatures: vec![signature] })
    }

    /// Reads an envelope; nothing in it is to be believed yet.
    ///
    /// # Errors
    /// [`NotVerified::Form`].
    pub fn parse(text: &str) -> Result<Self, NotVerified> {
        if text.len() > ENVELOPE_BYTES_MAX {
            return Err(NotVerified::Form("it is too long".to_owned()));
        }
        serde_json::from_str(text).map_err(|error| NotVerified::Form(error.to_string()))
    }

    /// Checks the signature and returns what was signed.
    ///
    /// # Errors
    /// [`NotVerified`].
    pub fn open(&self, key: &PublicKey) -> Result<Statement, NotVerified> {
        let form = |text: &str| NotVerified::Form(text.to_owned());
        if self.payload_type != PAYLOAD_TYPE {
            return Err(NotVerified::Type(self.payload_type.clone()));
        }
        let [signature] = self.signatures.as_slice() else {
            return Err(form("it has not just one signature"));
        };
        let payload = STANDARD.decode(&self.payload).map_err(|_| form("its payload is not base64"))?;
        let sig = STANDARD.decode(&signature.sig).map_err(|_| form("its signature is not base64"))?;
        let given = key.id();
        if signature.keyid != given {
            return Err(NotVerified::OtherKey { named: signature.keyid.clone(), given });
        }
        if !key.signed(&pae(&self.payload_type, &payload), &sig) {
            return Err(NotVerified::Signature);
        }
        let said = |error: serde_json::Error| NotVerified::Statement(error.to_string());
        let Versioned { version } = serde_json::from_slice(&payload).map_err(said)?;
        if !(VERSION_MIN..=VERSION).contains(&version) {
            return Err(NotVerified::Version(version));
        }
        serde_json::from_slice(&payload).map_err(said)
    }
}

impl fmt::Display for Envelope {
    /// The text of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::statement::tests::statement;

    fn signer() -> Signer {
        Signer::new(&[7; 32])
    }

    #[test]
    fn what_is_signed_is_the_encoding_of_the_standard() {
        // The example of the DSSE specification, protocol.md.
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn statement_comes_out_as_it_went_in() {
        let (signer, statement) = (signer(), statement());
        let text = Envelope::seal(&statement, &signer).expect("short").to_string();
        assert_eq!(Envelope::parse(&text).and_then(|it| it.open(&signer.public())), Ok(statement));
    }

    #[test]
    fn statement_of_the_version_before_is_still_checked() {
        let mut before = Statement { version: VERSION_MIN, ..statement() };
        before.nodes[0].outcomes[0].copies = None;
        let envelope = Envelope::seal(&before, &signer()).expect("short");
        let payload = STANDARD.decode(&envelope.payload).expect("made here");
        assert!(!String::from_utf8_lossy(&payload).contains("Copies"), "it had no such field");
        assert_eq!(envelope.open(&signer().public()), Ok(before));
        let never = Envelope::seal(&Statement { version: 0, ..statement() }, &signer()).expect("short");
        assert_eq!(never.open(&signer().public()), Err(NotVerified::Version(0)));
    }

    #[test]
    fn any_one_byte_that_is_changed_is_noticed() {
        let key = signer().public();
        let text = Envelope::seal(&statement(), &signer()).expect("short").to_string();
        for place in 0..text.len() {
            for change in 1..=255u8 {
                let mut bytes = text.clone().into_bytes();
                bytes[place] ^= change;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                // Checking a signature takes long: in the payload's and the signature's text, one bit of each byte.
                if change.count_ones() > 1 && STANDARD_BYTES.contains(&text.as_bytes()[place]) {
                    continue;
                }
                let opened = Envelope::parse(&changed).and_then(|it| it.open(&key));
                assert!(opened.is_err(), "byte {place} was changed to {:?}", changed.as_bytes()[place]);
            }
        }
    }

    const STANDARD_BYTES: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";

    #[test]
    fn other_key_type_and_version_are_refused_by_name() {
        let (signer, other) = (signer(), Signer::new(&[8; 32]));
        let envelope = Envelope::seal(&statement(), &signer).expect("short");
        assert!(matches!(envelope.open(&other.public()), Err(NotVerified::OtherKey { .. })));
        let mut renamed = envelope.clone();
        renamed.signatures[0].keyid = other.public().id();
        assert_eq!(renamed.open(&other.public()), Err(NotVerified::Signature));
        let retyped = Envelope { payload_type: "text/plain".to_owned(), ..envelope.clone() };
        assert_eq!(retyped.open(&signer.public()), Err(NotVerified::Type("text/plain".to_owned())));
        let mut twice = envelope.clone();
        twice.signatures.push(twice.signatures[0].clone());
        assert!(matches!(twice.open(&signer.public()), Err(NotVerified::Form(_))));
        let later = Statement { version: VERSION + 1, ..statement() };
        let later = Envelope::seal(&later, &signer).expect("short");
        assert_eq!(later.open(&signer.public()), Err(NotVerified::Version(VERSION + 1)));
        // The same payload, signed without its type.
        let bare = STANDARD.decode(&envelope.payload).expect("made here");
        let mut bare_signed = envelope;
        bare_signed.signatures[0].sig = STANDARD.encode(signer.sign(&bare));
        assert_eq!(bare_signed.open(&signer.public()), Err(NotVerified::Signature));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_opens_is_what_was_sealed(url in ".*", reason in ".*", seed in any::<[u8; 32]>(), place in any::<prop::sample::Index>()) {
            let signer = Signer::new(&seed);
            let mut said = statement();
            said.items[0].url = url;
            said.nodes[0].outcomes[0].reason = Some(reason);
            let envelope = Envelope::seal(&said, &signer).expect("short");
            prop_assert_eq!(Envelope::parse(&envelope.to_string()).and_then(|it| it.open(&signer.public())), Ok(said));
            // The payload exchanged for another that is well formed, at a byte anywhere.
            let mut bytes = STANDARD.decode(&envelope.payload).expect("made here");
            let place = place.index(bytes.len());
            bytes[place] ^= 1;
            let forged = Envelope { payload: STANDARD.encode(bytes), ..envelope };
            prop_assert_eq!(forged.open(&signer.public()), Err(NotVerified::Signature));
        }

        #[test]
        fn any_text_is_no_reason_to_panic(text in ".*") {
            let opened = Envelope::parse(&text).and_then(|it| it.open(&signer().public()));
            prop_assert!(opened.is_err());
        }
    }
}
