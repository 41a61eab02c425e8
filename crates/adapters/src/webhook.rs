//! One message to one endpoint, signed as Standard Webhooks says and bounded in time and size.
//!
//! What this is: the signature (specification 1.0.0, section "Signature scheme", symmetric) and an HTTP/1.1
//! POST, with TLS where the URL asks for it. What this is not: a follower of redirects, a user of the
//! environment's proxies, or what decides whether to try again.
//!
//! Invariant: a secret is neither in an answer nor in `Debug`, and an endpoint's URL, which may hold one,
//! neither.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use catharsis_core::clock::UnixMillis;
use catharsis_core::notify::Answer;
use catharsis_core::receipt::Reason;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::Sha256;
use tokio::time::{Instant, timeout_at};

/// Bytes of an answer that are read: enough for any reason, whatever is sent.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Characters of an answer that are kept for people.
const SAID_CHARS_MAX: usize = 160;

/// The client's name, as receivers see it.
const AGENT: &str = concat!("catharsis/", env!("CARGO_PKG_VERSION"));

/// How long an attempt may take.
#[derive(Clone, Copy, Debug)]
pub struct WebhookLimits {
    /// To connect, for each address of the host.
    pub connect: Duration,
    /// Altogether: name, connection, TLS, and the answer.
    pub whole: Duration,
}

/// What is sent where.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// The endpoint, `http` or `https`.
    pub url: &'a str,
    /// Its secret: `whsec_` and base64.
    pub secret: &'a str,
    /// The message's name, the same at every attempt. Without a full stop, which separates what is signed.
    pub id: &'a str,
    /// JSON.
    pub body: &'a Bytes,
}

impl std::fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message").field("id", &self.id).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// Why no message could be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum WebhookSetupError {
    /// The file of additional certificates cannot be used.
    #[error("{path}: {why}")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Sends messages.
pub struct WebhookClient {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    limits: WebhookLimits,
}

impl std::fmt::Debug for WebhookClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookClient").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl WebhookClient {
    /// A client that trusts the system's certificates and those of `ca_file`.
    ///
    /// # Errors
    /// [`WebhookSetupError`].
    pub fn new(limits: WebhookLimits, ca_file: Option<&Path>) -> Result<Self, WebhookSetupError> {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(limits.connect));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let tls = HttpsConnectorBuilder::new()
            .with_tls_config(tls(ca_file)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        // A connection a message: an endpoint that restarts, or a balancer that ends idle connections,
        // then never costs an attempt.
        let http = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(tls);
        Ok(Self { http, limits })
    }

    /// Sends a message and tells what was answered. `now` is signed with it.
    pub async fn deliver(&self, message: Message<'_>, now: UnixMillis) -> Answer {
        let request = match request(message, now) {
            Ok(request) => request,
            Err(why) => return Answer::Silent(Reason::new(&why)),
        };
        let deadline = Instant::now() + self.limits.whole;
        match timeout_at(deadline, self.http.request(request)).await {
            Ok(Ok(response)) => answer(response, deadline).await,
            Ok(Err(error)) => Answer::Silent(Reason::new(&causes(&error))),
            Err(_) => Answer::Silent(Reason::new(&format!("none within {:?}", self.limits.whole))),
        }
    }
}

fn request(message: Message<'_>, now: UnixMillis) -> Result<Request<Full<Bytes>>, String> {
    let signature = sign(message.secret, message.id, now.seconds(), message.body)
        .ok_or("the endpoint's secret is not `whsec_` and base64")?;
    Request::post(message.url)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, AGENT)
        .header("webhook-id", message.id)
        .header("webhook-timestamp", now.seconds())
        .header("webhook-signature", signature)
        .body(Full::new(message.body.clone()))
        .map_err(|error| format!("the endpoint's URL cannot be used: {error}"))
}

/// `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. `None` when the secret is none.
#[must_use]
pub fn sign(secret: &str, id: &str, timestamp: u64, body: &[u8]) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

async fn answer(response: Response<Incoming>, deadline: Instant) -> Answer {
    let (head, body) = response.into_parts();
    match head.status {
        StatusCode::GONE => Answer::Gone,
        status if status.is_success() => Answer::Confirmed,
        status => {
            let wait = wait(&head.headers);
            Answer::Failed { status: status.as_u16(), said: beginning(body, deadline).await, wait }
        }
    }
}

/// How an answer begins, escaped. What breaks off or takes too long is what came until then.
async fn beginning(mut body: Incoming, deadline: Instant) -> Reason {
    let mut read = Vec::new();
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        let Ok(data) = frame.into_data() else { break };
        read.extend_from_slice(&data[..data.len().min(ANSWER_BYTES_MAX - read.len())]);
        if read.len() == ANSWER_BYTES_MAX {
            break;
        }
    }
    let text = String::from_utf8_lossy(&read);
    let escaped: String = text.trim().chars().take(SAID_CHARS_MAX).flat_map(char::escape_debug).collect();
    Reason::new(&escaped)
}

/// `Retry-After` in seconds; its other form, a date, is passed over.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
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

fn tls(ca_file: Option<&Path>) -> Result<rustls::ClientConfig, WebhookSetupError> {
    let mut roots = rustls::RootCertStore::empty();
    // A system without any is no error: endpoints may be plain HTTP, or of `ca_file`.
    let system = rustls_native_certs::load_native_certs();
    let (_added, _unusable) = roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        let wrong = |why: String| WebhookSetupError::Certificates { path: path.to_owned(), why };
        let before = roots.len();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))? {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(wrong("it holds no certificate".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn signature_is_that_of_the_published_example() {
        let signature = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        assert_eq!(sign("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "m", 0, b""), None);
        assert_eq!(sign("whsec_?", "m", 0, b""), None);
    }

    fn limits(whole: Duration) -> WebhookLimits {
        WebhookLimits { connect: Duration::from_secs(5), whole }
    }

    async fn deliver(url: &str, whole: Duration) -> Answer {
        let client = WebhookClient::new(limits(whole), None).expect("no file is read");
        let body = Bytes::from_static(b"{}");
        client.deliver(Message { url, secret: SECRET, id: "m", body: &body }, UnixMillis(1_000)).await
    }

    /// What a client makes of this answer.
    async fn answered(raw: &'static str) -> Answer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook?key=hidden", listener.local_addr().expect("bound"));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client comes");
            let mut buffer = [0; 4_096];
            let _head = stream.read(&mut buffer).await.expect("it sends");
            stream.write_all(raw.as_bytes()).await.expect("it reads");
            // Kept open: an answer without an end must not need one.
            (stream, listener)
        });
        let answer = deliver(&url, Duration::from_secs(1)).await;
        drop(server.await.expect("the server does not fail"));
        answer
    }

    #[tokio::test]
    async fn only_2xx_confirms_and_no_redirect_is_followed() {
        assert_eq!(answered("HTTP/1.1 204 No Content\r\n\r\n").await, Answer::Confirmed);
        // Its body never ends, and is not waited for.
        assert_eq!(answered("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await, Answer::Confirmed);
        assert_eq!(answered("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n").await, Answer::Gone);
        let moved = answered("HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(moved, Answer::Failed { status: 307, said: Reason::new(""), wait: None });
    }

    #[tokio::test]
    async fn failure_is_told_by_its_beginning_escaped() {
        let raw = "HTTP/1.1 503 No\r\nretry-after: 7\r\ncontent-length: 30\r\n\r\n\u{1b}[31mout\r\nof \"order\"";
        let Answer::Failed { status, said, wait } = answered(raw).await else { panic!("it failed") };
        assert_eq!((status, wait), (503, Some(Duration::from_secs(7))));
        assert_eq!(said.as_str(), r#"\u{1b}[31mout\r\nof \"order\""#);
    }

    #[tokio::test]
    async fn silence_has_a_reason_without_the_url() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/hook?key=hidden", listener.local_addr().expect("bound"));
        let mute = deliver(&url, Duration::from_millis(50)).await;
        assert_eq!(mute, Answer::Silent(Reason::new("none within 50ms")));
        drop(listener);
        let refused = deliver(&url, Duration::from_secs(5)).await;
        let unusable = deliver("http://[/?key=hidden", Duration::from_secs(5)).await;
        for (answer, word) in [(refused, "onnect"), (unusable, "URL")] {
            let Answer::Silent(why) = &answer else { panic!("nobody answers") };
            assert!(why.as_str().contains(word) && !why.as_str().contains("hidden"), "{why:?}");
        }
    }
}
