//! HTTP/1.1 to one endpoint, with TLS where it asks for it, bounded in time and size.
//!
//! What this is not: a follower of redirects or a user of proxies; those that the environment names
//! are passed over, so a signed call or a credential goes to the endpoint and nowhere else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::ended::Ended;
use crate::settings::Endpoint;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time limit that the official SDKs have.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A page of 1,000 rows with the longest URLs stays below 10 MB.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A way to one endpoint.
pub(crate) struct Transport {
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Endpoint,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Transport {
    /// A way to `endpoint`, which may have a certificate of `ca_file`.
    ///
    /// # Errors
    /// When the certificates cannot be used.
    pub(crate) fn new(endpoint: Endpoint, ca_file: Option<&Path>) -> Result<Self, Ended> {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new()
            .with_tls_config(tls(ca_file, endpoint.scheme)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self { http: HttpClient::builder(TokioExecutor::new()).build(tls), endpoint })
    }

    /// Sends a request, whose target has a path and a query only.
    ///
    /// # Errors
    /// [`Ended::Network`], in which case it is unknown whether it was carried out.
    pub(crate) async fn exchange(&self, request: Request<Bytes>) -> Result<(StatusCode, Bytes), Ended> {
        let (mut parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        parts.uri = Uri::builder()
            .scheme(self.endpoint.scheme)
            .authority(self.endpoint.authority.as_str())
            .path_and_query(target)
            .build()
            .map_err(|error| Ended::Usage(format!("endpoint: {error}")))?;
        let request = Request::from_parts(parts, Full::new(body));
        tokio::time::timeout(CALL_TIMEOUT, self.answer(request))
            .await
            .unwrap_or_else(|_| Err(self.silent(&format!("no answer in {CALL_TIMEOUT:?}"))))
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Ended> {
        let answer = self.http.request(request).await.map_err(|error| self.silent(&causes(&error)))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|error| self.silent(&error.to_string()))?.to_bytes()))
    }

    /// There was no answer of the API, because of `why`.
    pub(crate) fn silent(&self, why: &str) -> Ended {
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
