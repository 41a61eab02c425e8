//! The certificate of a door, and its replacement while the door is open.
//!
//! What this is: two PEM files read together, checked, and turned into what a handshake needs; then read
//! again and again. What this is not: a way to obtain certificates, nor a check of their dates: a client
//! judges those.
//!
//! Invariant: a certificate is in force only together with its own key. What cannot be used never
//! replaces what can.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Bytes of a PEM file: a chain of a hundred certificates fits, `/dev/zero` does not.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain in PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key in PEM: PKCS #8, PKCS #1 or SEC1.
    pub key: PathBuf,
}

/// Why two files cannot be used. No text holds anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file is larger than 1 MiB.
    #[error("{path} is larger than {FILE_BYTES_MAX} bytes: that is no PEM file")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file holds broken PEM, or none of what it should hold.
    #[error("{path} holds no {what}: {why}")]
    NoPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// The key is another's.
    #[error("the key in {key} is not that of the certificate in {certificate}")]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// They are of a kind that is not supported, or not what they claim to be.
    #[error("{certificate} and {key} cannot be used: {error}")]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of its key.
        key: PathBuf,
        /// What is wrong.
        error: rustls::Error,
    },
}

/// A certificate in force.
pub struct Tls {
    files: TlsFiles,
    reload: Duration,
    current: ArcSwap<ServerConfig>,
    /// What `current` was made from at the start.
    first: Fingerprint,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files. They are read again at this interval once the door is open.
    ///
    /// # Errors
    /// [`TlsError`], when they cannot be used.
    pub fn load(files: TlsFiles, reload: Duration) -> Result<Self, TlsError> {
        let read = ReadFiles::read(&files)?;
        let current = ArcSwap::from_pointee(read.server_config(&files)?);
        Ok(Self { first: read.fingerprint(), files, reload, current })
    }

    /// What the next handshake uses.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Looks for new files until it is told to stop. Connections that exist keep what they began with.
    pub(super) async fn follow_files(self: Arc<Self>, stop: CancellationToken) {
        let mut seen = Seen { fingerprint: self.first, told: None };
        loop {
            // A look that is cut short has changed nothing yet.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.reload) => {}
            }
            let this = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || (this.look(&mut seen), seen)).await;
            let Ok((outcome, after)) = looked else { return warn!("the certificate is no longer looked after") };
            seen = after;
            match outcome {
                Look::Same => {}
                Look::Replaced => {
                    info!(certificate = %self.files.certificate.display(), "new certificate in force");
                }
                Look::Refused(why) => {
                    warn!(error = %why, "new certificate refused: the old one stays in force");
                }
            }
        }
    }

    fn look(&self, seen: &mut Seen) -> Look {
        let made = ReadFiles::read(&self.files).and_then(|read| {
            let fingerprint = read.fingerprint();
            if fingerprint == seen.fingerprint {
                return Ok(None);
            }
            // Remembered even if it is refused, so that the same files are not refused every few seconds.
            seen.fingerprint = fingerprint;
            read.server_config(&self.files).map(Some)
        });
        match made {
            Ok(None) => Look::Same,
            Ok(Some(config)) => {
                // The whole configuration goes, and with it the sessions that could be resumed under the
                // old certificate.
                self.current.store(Arc::new(config));
                seen.told = None;
                Look::Replaced
            }
            Err(error) => {
                let why = error.to_string();
                if seen.told.as_ref() == Some(&why) {
                    return Look::Same;
                }
                seen.told = Some(why.clone());
                Look::Refused(why)
            }
        }
    }
}

/// What the last look saw.
struct Seen {
    fingerprint: Fingerprint,
    /// The problem that was logged last, while it lasts.
    told: Option<String>,
}

/// What a look at the files brought.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Nothing that is new.
    Same,
    /// A new certificate is in force.
    Replaced,
    /// New files, and what is wrong with them.
    Refused(String),
}

/// Tells whether files changed. Their time and size would miss a replacement within a second.
type Fingerprint = [u8; 32];

/// Both files, as they are on disk.
struct ReadFiles {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl ReadFiles {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self { certificate: read(&files.certificate)?, key: read(&files.key)? })
    }

    fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update(self.certificate.len().to_be_bytes());
        hash.update(&self.certificate);
        hash.update(&self.key);
        hash.finalize().into()
    }

    fn server_config(&self, files: &TlsFiles) -> Result<ServerConfig, TlsError> {
        let no_pem = |path: &Path, what| {
            let path = path.to_owned();
            move |error| TlsError::NoPem { path, what, why: pem_problem(&error) }
        };
        let chain = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<Vec<_>, _>>()
            .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
            .map_err(no_pem(&files.certificate, "certificate"))?;
        let key =
            PrivateKeyDer::from_pem_slice(&self.key).map_err(no_pem(&files.key, "private key without a password"))?;
        let unusable = |error| {
            let (certificate, key) = (files.certificate.clone(), files.key.clone());
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                return TlsError::Mismatch { certificate, key };
            }
            TlsError::Unusable { certificate, key, error }
        };
        // TLS 1.2 and 1.3: rustls has no older version.
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = [ALPN_H2, b"http/1.1"].map(<[u8]>::to_vec).to_vec();
        Ok(config)
    }
}

/// What is wrong with PEM. The library's own text would quote the line, which may hold a key that lost its
/// line ends.
fn pem_problem(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "a section is not base64",
        pem::Error::NoItemsFound => "no such section in it",
        pem::Error::Io(_) | pem::Error::SectionTooLarge | _ => "it is not PEM",
    }
}

/// The name of HTTP/2 in a handshake, RFC 9113 section 3.2.
pub(super) const ALPN_H2: &[u8] = b"h2";

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { path: path.to_owned(), error };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(TlsError::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}
