//! The Ed25519 key that statements are signed with, and its public half.
//!
//! Both are PEM, as `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write them (RFC 8410).
//! Invariant: the secret half is not in `Debug` and not in an error.

use std::fmt;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no private key of this kind.
    #[error("it is no Ed25519 private key in PEM (PKCS #8), as `openssl genpkey -algorithm ed25519` makes it")]
    Private,
    /// It is no public key of this kind.
    #[error("it is no Ed25519 public key in PEM, as `catharsis receipts public-key` prints it")]
    Public,
}

/// Signs statements.
#[derive(Clone)]
pub struct Signer(SigningKey);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.public().id()).finish()
    }
}

impl Signer {
    /// A key from 32 random bytes.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a PEM.
    ///
    /// # Errors
    /// [`KeyError::Private`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        SigningKey::from_pkcs8_pem(pem.trim()).map(Self).map_err(|_| KeyError::Private)
    }

    /// The key as a PEM: a secret.
    ///
    /// # Panics
    /// Never: 32 bytes always fit the form.
    #[must_use]
    pub fn to_pem(&self) -> String {
        // Without the public half, which older OpenSSL does not read in a private key.
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        bytes.to_pkcs8_pem(LineEnding::LF).expect("a key of fixed length fits its form").as_str().to_owned()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The signature of some bytes.
    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; Signature::BYTE_SIZE] {
        self.0.sign(bytes).to_bytes()
    }
}

/// Checks statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a PEM.
    ///
    /// # Errors
    /// [`KeyError::Public`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        VerifyingKey::from_public_key_pem(pem.trim()).map(Self).map_err(|_| KeyError::Public)
    }

    /// The key as a PEM.
    ///
    /// # Panics
    /// Never: 32 bytes always fit the form.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).expect("a key of fixed length fits its form")
    }

    /// Names the key: SHA-256 of its DER form, in hexadecimal digits.
    ///
    /// # Panics
    /// Never: 32 bytes always fit the form.
    #[must_use]
    pub fn id(&self) -> String {
        let der = self.0.to_public_key_der().expect("a key of fixed length fits its form");
        Sha256::digest(der.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a signature is this key's. Strict (RFC 8032 section 5.1.7 and no key of small order), so that no other
    /// bytes are the same signature.
    pub(crate) fn signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.0.verify_strict(bytes, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_the_one_of_rfc_8410_and_survives_its_pem() {
        // RFC 8410 section 10.3, the key without its public half, and section 10.1.
        let private = "-----BEGIN PRIVATE KEY-----\n\
                       MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                       -----END PRIVATE KEY-----\n";
        let public = "-----BEGIN PUBLIC KEY-----\n\
                      MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                      -----END PUBLIC KEY-----\n";
        let signer = Signer::from_pem(private).expect("the example of the standard");
        assert_eq!((signer.to_pem().as_str(), signer.public().to_pem().as_str()), (private, public));
        assert_eq!(PublicKey::from_pem(public), Ok(signer.public()));
        assert_eq!(Signer::from_pem(public).map(|_| ()), Err(KeyError::Private));
        assert_eq!(PublicKey::from_pem(private), Err(KeyError::Public));
        assert!(!format!("{signer:?}").contains("MC4C"));
    }
}
