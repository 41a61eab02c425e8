//! Secrets at rest.
//!
//! What this is: XChaCha20-Poly1305 with a key from a file that is not in the database. Each secret is
//! bound to the record that it belongs to, so that two cannot be exchanged. What this is not: a
//! protection against whoever can read the key file too.
//!
//! Invariant: neither the key nor a secret is in `Debug`, a log line or an error.

use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// Written before each sealed text; another scheme gets another one.
const SCHEME: &str = "x1:";

/// Why a secret or the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The key file cannot be read or made.
    #[error("the key file {path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: std::io::Error,
    },
    /// The key file holds something else.
    #[error("the key file {0}: it must hold the base64 of {KEY_BYTES} bytes and nothing else")]
    Form(PathBuf),
    /// Others may read the key file.
    #[error("the key file {0}: others may read it; make it `chmod 600`")]
    Exposed(PathBuf),
    /// There is no key file, but there are secrets that were sealed with it.
    #[error("the key file {0} is missing, and the database holds secrets that only it opens: put it back")]
    Lost(PathBuf),
    /// A sealed secret does not open with this key, or not in this place.
    #[error("the secret of {0} does not open: is this the key file that it was sealed with?")]
    Open(String),
}

/// What is done where there is no key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// One is made: nothing was sealed yet.
    Make,
    /// It is an error: what was sealed would be lost.
    Refuse,
}

/// Encrypts and decrypts secrets.
#[derive(Clone)]
pub struct Vault {
    cipher: XChaCha20Poly1305,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

impl Vault {
    /// A vault with this key.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.into()) }
    }

    /// Opens the vault whose key is in a file: the base64 of 32 bytes. An absent file is made, with a
    /// random key, readable for its owner only, if `absent` says so.
    ///
    /// # Errors
    /// [`VaultError`] when the file is unusable or others may read it.
    pub fn open(path: &Path, absent: Absent) -> Result<Self, VaultError> {
        let failed = |error| VaultError::File { path: path.to_owned(), error };
        let mut file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => match absent {
                Absent::Make => return Self::create(path),
                Absent::Refuse => return Err(VaultError::Lost(path.to_owned())),
            },
            Err(error) => return Err(failed(error)),
        };
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
            return Err(VaultError::Exposed(path.to_owned()));
        }
        let mut text = String::new();
        // Bounded: a wrong path may name anything.
        (&mut file).take(1_024).read_to_string(&mut text).map_err(failed)?;
        let key = STANDARD.decode(text.trim()).ok().and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
        key.map(|key| Self::new(&key)).ok_or_else(|| VaultError::Form(path.to_owned()))
    }

    fn create(path: &Path) -> Result<Self, VaultError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let failed = |error| VaultError::File { path: path.to_owned(), error };
        let key: [u8; KEY_BYTES] = rand::random();
        // `create_new`: a second server that starts at the same time must not replace the first's key.
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        file.write_all(STANDARD.encode(key).as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        // The name must be on disk before anything is sealed with the key.
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok(Self::new(&key))
    }

    /// Encrypts a secret for one place (the kind and id of its record).
    ///
    /// # Panics
    /// Never: the cipher fails on texts beyond 2^38 bytes only.
    #[must_use]
    pub fn seal(&self, place: &str, secret: &str) -> String {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: secret.as_bytes(), aad: place.as_bytes() };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.expect("a secret is far shorter than 2^38 bytes");
        format!("{SCHEME}{}", STANDARD.encode([&nonce[..], &sealed].concat()))
    }

    /// Decrypts what was sealed for the same place.
    ///
    /// # Errors
    /// [`VaultError::Open`].
    pub fn unseal(&self, place: &str, sealed: &str) -> Result<String, VaultError> {
        let open = || {
            let bytes = STANDARD.decode(sealed.strip_prefix(SCHEME)?).ok()?;
            let (nonce, text) = bytes.split_at_checked(NONCE_BYTES)?;
            let nonce = <[u8; NONCE_BYTES]>::try_from(nonce).ok()?;
            let payload = Payload { msg: text, aad: place.as_bytes() };
            String::from_utf8(self.cipher.decrypt(&XNonce::from(nonce), payload).ok()?).ok()
        };
        open().ok_or_else(|| VaultError::Open(place.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_opens_only_in_its_place_with_its_key() {
        let vault = Vault::new(&[7; 32]);
        let sealed = vault.seal("key/a", "hunter2");
        assert!(!sealed.contains("hunter2"));
        assert_ne!(sealed, vault.seal("key/a", "hunter2"), "a nonce is used once");
        assert_eq!(vault.unseal("key/a", &sealed).ok().as_deref(), Some("hunter2"));
        assert!(vault.unseal("key/b", &sealed).is_err());
        assert!(Vault::new(&[8; 32]).unseal("key/a", &sealed).is_err());
        for broken in ["", "x1:", "x1:AAAA", "x2:AAAA", "hunter2"] {
            assert!(vault.unseal("key/a", broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn key_file_is_made_once_and_must_be_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let sealed = Vault::open(&path, Absent::Make).expect("made").seal("p", "s");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(Vault::open(&path, Absent::Refuse).expect("read").unseal("p", &sealed).ok().as_deref(), Some("s"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("ours");
        assert!(matches!(Vault::open(&path, Absent::Make), Err(VaultError::Exposed(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("ours");
        std::fs::write(&path, "short").expect("ours");
        assert!(matches!(Vault::open(&path, Absent::Make), Err(VaultError::Form(_))));
        std::fs::remove_file(&path).expect("ours");
        assert!(matches!(Vault::open(&path, Absent::Refuse), Err(VaultError::Lost(_))));
        assert!(!path.exists());
    }
}
