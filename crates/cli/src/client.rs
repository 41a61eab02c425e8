//! Calling the API.
//!
//! What this is: a signed call over HTTP/1.1, with TLS where the endpoint asks for it, bounded in time
//! and size; it waits out rate limits and repeats what got no answer, a few times. Proxies named by
//! the environment are not used.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use catharsis_tcapi::cdn::{Action, VERSION};
use catharsis_tcapi::client::{Moment, SignForm, Signer};
use catharsis_tcapi::code::ErrorCode;
use catharsis_tcapi::envelope::{self, AnswerError};
use http::uri::PathAndQuery;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ended::Ended;
use crate::settings::{Connection, Endpoint};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time limit that the official SDKs have.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A page of 1,000 rows with the longest URLs stays below 10 MB.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Calls of one action a second are limited; a large list is sent as fast as that allows.
const RATE_RETRIES: u32 = 60;
const NETWORK_RETRIES: u32 = 2;

/// Calls one endpoint with one key.
pub(crate) struct Client {
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Endpoint,
    signer: Signer,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the connection's endpoint.
    ///
    /// # Errors
    /// When the settings or the certificates cannot be used.
    pub(crate) fn new(connection: &Connection) -> Result<Self, Ended> {
        let (endpoint, credentials) = connection.resolve()?;
        let signer = Signer::new(&endpoint.authority, credentials, SignForm::Tc3Post)
            .map_err(|error| Ended::Usage(error.to_string()))?;
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new()
            .with_tls_config(tls(connection.ca_file.as_deref(), endpoint.scheme)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self { http: HttpClient::builder(TokioExecutor::new()).build(tls), endpoint, signer })
    }

    /// Calls an action.
    ///
    /// # Errors
    /// [`Ended::Refused`] with the API's code, or [`Ended::Network`] when there was no answer of the
    /// API, in which case it is unknown whether the call was carried out.
    pub(crate) async fn call<T: DeserializeOwned>(&self, action: Action, request: &impl Serialize) -> Result<T, Ended> {
        let (mut limited, mut unanswered) = (0, 0);
        loop {
            match self.once(action, request).await {
                Ok(fields) => return Ok(fields),
                Err(Ended::Refused(error))
                    if error.known() == Some(ErrorCode::RequestLimitExceeded) && limited < RATE_RETRIES =>
                {
                    limited += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(Ended::Network(_)) if unanswered < NETWORK_RETRIES => {
                    unanswered += 1;
                    tokio::time::sleep(Duration::from_millis(250) * unanswered).await;
                }
                Err(ended) => return Err(ended),
            }
        }
    }

    async fn once<T: DeserializeOwned>(&self, action: Action, request: &impl Serialize) -> Result<T, Ended> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = Moment { unix: i64::try_from(now.as_secs()).unwrap_or(i64::MAX), nonce: rand::random() };
        let signed =
            self.signer.sign(action.as_str(), VERSION, request, at).map_err(|error| Ended::Usage(error.to_string()))?;
        let body = tokio::time::timeout(CALL_TIMEOUT, self.exchange(signed))
            .await
            .unwrap_or_else(|_| Err(self.silent(&format!("no answer in {CALL_TIMEOUT:?}"))))?;
        match envelope::parse(&body) {
            Ok(answer) => Ok(answer.fields),
            Err(AnswerError::Api(error)) => Err(Ended::Refused(error)),
            Err(error @ AnswerError::Foreign { .. }) => Err(self.silent(&error.to_string())),
        }
    }

    async fn exchange(&self, signed: Request<Bytes>) -> Result<Bytes, Ended> {
        let (mut parts, body) = signed.into_parts();
        let target = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        parts.uri = Uri::builder()
            .scheme(self.endpoint.scheme)
            .authority(self.endpoint.authority.as_str())
            .path_and_query(target)
            .build()
            .map_err(|error| Ended::Usage(format!("endpoint: {error}")))?;
        let answer = self.http.request(Request::from_parts(parts, Full::new(body))).await;
        let answer = answer.map_err(|error| self.silent(&causes(&error)))?;
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok(body.map_err(|error| self.silent(&error.to_string()))?.to_bytes())
    }

    fn silent(&self, why: &str) -> Ended {
        Ended::Network(format!("no answer from {}://{}: {why}", self.endpoint.scheme, self.endpoint.authority))
    }
}

/// An error with its causes: the outermost alone says little ("client error").
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Verification is always on: the system's certificates, and those of `ca_file`.
fn tls(ca_file: Option<&Path>, scheme: &str) -> Result<rustls::ClientConfig, Ended> {
    let mut roots = rustls::RootCertStore::empty();
    if scheme == "https" {
        let system = rustls_native_certs::load_native_certs();
        let (_added, _unusable) = roots.add_parsable_certificates(system.certs);
        if let Some(path) = ca_file {
            let wrong = |error: &dyn std::fmt::Display| Ended::Usage(format!("{}: {error}", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| Ended::Usage(format!("TLS: {error}")))?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}
