//! HTTPS: what clients verify, what a handshake chooses, and how a certificate is replaced.
//!
//! The authority is made anew for each test; no client here trusts any other.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Client, PATIENCE, SECRET_ID, SECRET_KEY, Server, Setup};

/// An authority, and the folder with its certificate and that of the server.
struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate for 127.0.0.1, and its key.
struct Issued {
    certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "Test authority");
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a writable folder");
        Self { folder, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn issue(&self) -> Issued {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address");
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued { certificate, key }
    }

    /// Puts a certificate and its key where the server looks.
    fn install(&self, issued: &Issued) {
        std::fs::write(self.path("key.pem"), issued.key.serialize_pem()).expect("a writable folder");
        std::fs::write(self.path("server.pem"), issued.certificate.pem()).expect("a writable folder");
    }

    /// The lines of `[api]` for HTTPS on a free port.
    fn lines(&self) -> String {
        format!(
            "tls_listen = \"127.0.0.1:0\"\ntls_certificate = {:?}\ntls_key = {:?}\ntls_reload = \"20ms\"",
            self.path("server.pem"),
            self.path("key.pem"),
        )
    }

    /// A server with a certificate of this authority, HTTP and HTTPS.
    fn start(&self) -> (Server, Issued) {
        let issued = self.issue();
        self.install(&issued);
        (Setup::new().api_line(&self.lines()).start(), issued)
    }

    /// A client that trusts this authority only, and offers these protocols.
    fn connector(&self, alpn: &[&[u8]], versions: &[&'static rustls::SupportedProtocolVersion]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("supported versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    async fn connect(&self, server: &Server, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(server.tls).await?;
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        self.connector(alpn, rustls::ALL_VERSIONS).connect(name, stream).await
    }

    /// The certificate that a new handshake shows.
    async fn shown(&self, server: &Server) -> CertificateDer<'static> {
        let stream = self.connect(server, &[]).await.expect("a handshake");
        let chain = stream.get_ref().1.peer_certificates().expect("the server has one");
        chain[0].clone().into_owned()
    }
}

type H1 = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

async fn http1(stream: TlsStream<TcpStream>) -> H1 {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    sender
}

/// A signed call that changes nothing.
fn quota(server: &Server) -> Request<Full<Bytes>> {
    Client::new(server.tls).sign("DescribePurgeQuota", &json!({}))
}

async fn answered(answer: http::Response<hyper::body::Incoming>) -> Value {
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.expect("a whole answer").to_bytes();
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    assert!(answer["Response"]["UrlPurge"].is_array(), "{answer}");
    answer
}

/// A call on a connection of its own.
async fn works(authority: &Authority, server: &Server) {
    let call = async {
        let mut sender = http1(authority.connect(server, &[b"http/1.1"]).await.expect("a handshake")).await;
        answered(sender.send_request(quota(server)).await.expect("an answer")).await
    };
    tokio::time::timeout(PATIENCE, call).await.expect("HTTPS goes on");
}

/// One call by an official client, which verifies the server's certificate.
fn sdk(server: &Server, program: &str, script: &str, certification: Option<&Path>) -> Value {
    let program = std::env::var_os(program)
        .unwrap_or_else(|| panic!("{program} is not set: run scripts/test --setup, then . target/test-tools/env"));
    let mut call = json!({
        "endpoint": server.tls.to_string(), "protocol": "https", "secretId": SECRET_ID, "secretKey": SECRET_KEY,
        "form": "tc3-post", "action": "PurgeUrlsCache", "params": { "Urls": ["http://www.a.test/"] },
    });
    let mut command = Command::new(program);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script));
    if let Some(path) = certification {
        // Python's setting, and Node's.
        call["certification"] = json!(path);
        command.env("NODE_EXTRA_CA_CERTS", path);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the client can be started");
    let mut input = child.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut input, format!("{call}\n").as_bytes()).expect("the client reads");
    drop(input);
    let output = child.wait_with_output().expect("our own child");
    serde_json::from_slice(&output.stdout).expect("one JSON line")
}

#[test]
fn official_clients_call_over_https_and_verify_the_certificate() {
    let authority = Authority::new();
    let (server, _) = authority.start();
    for (program, script) in [("CATHARSIS_TEST_PYTHON", "python_client.py"), ("CATHARSIS_TEST_NODE", "node_client.mjs")]
    {
        let trusting = sdk(&server, program, script, Some(&authority.path("ca.pem")));
        assert!(trusting["ok"]["TaskId"].is_string(), "{script}: {trusting}");
        let distrusting = sdk(&server, program, script, None);
        assert!(distrusting["error"].is_object(), "a client that does not know the authority: {distrusting}");
    }
}

#[tokio::test]
async fn handshake_chooses_http2_or_http1_and_tls_1_2_or_1_3() {
    let authority = Authority::new();
    let (server, _) = authority.start();
    let h2 = authority.connect(&server, &[b"h2", b"http/1.1"]).await.expect("a handshake");
    assert_eq!(h2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(h2)).await.expect("HTTP/2");
    tokio::spawn(connection);
    for _ in 0..3 {
        let answer = sender.send_request(quota(&server)).await.expect("an answer");
        assert_eq!(answer.version(), Version::HTTP_2);
        answered(answer).await;
    }
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for alpn in [&[&b"http/1.1"[..]][..], &[]] {
            let stream = TcpStream::connect(server.tls).await.expect("the door is open");
            let name = ServerName::try_from("127.0.0.1").expect("an address");
            let stream = authority.connector(alpn, &[version]).connect(name, stream).await.expect("a handshake");
            assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
            let answer = http1(stream).await.send_request(quota(&server)).await.expect("an answer");
            assert_eq!(answer.version(), Version::HTTP_11);
            answered(answer).await;
        }
    }
}

#[tokio::test]
async fn replaced_certificate_is_shown_to_new_handshakes_and_running_connections_go_on() {
    let authority = Authority::new();
    let (server, first) = authority.start();
    let mut running = http1(authority.connect(&server, &[]).await.expect("a handshake")).await;
    answered(running.send_request(quota(&server)).await.expect("an answer")).await;
    assert_eq!(authority.shown(&server).await, *first.certificate.der());

    let second = authority.issue();
    authority.install(&second);
    server.await_event("new certificate in force");
    assert_eq!(authority.shown(&server).await, *second.certificate.der());
    running.ready().await.expect("the connection is still there");
    answered(running.send_request(quota(&server)).await.expect("an answer")).await;
}

#[tokio::test]
async fn broken_replacement_is_told_and_the_old_certificate_stays() {
    let authority = Authority::new();
    let (server, first) = authority.start();
    let told = |part: &str| {
        let event = server.await_event("new certificate refused: the old one stays in force");
        assert!(event["error"].as_str().is_some_and(|text| text.contains(part)), "{part}: {event}");
    };
    // Each way of being wrong follows another one, so that each is told.
    std::fs::write(authority.path("server.pem"), "not a certificate").expect("a writable folder");
    told("holds no certificate");
    assert_eq!(authority.shown(&server).await, *first.certificate.der());

    std::fs::write(authority.path("server.pem"), authority.issue().certificate.pem()).expect("a writable folder");
    told("is not that of the certificate");
    assert_eq!(authority.shown(&server).await, *first.certificate.der());

    std::fs::remove_file(authority.path("key.pem")).expect("it is there");
    told("cannot read");
    assert_eq!(authority.shown(&server).await, *first.certificate.der());

    let last = authority.issue();
    authority.install(&last);
    server.await_event("new certificate in force");
    assert_eq!(authority.shown(&server).await, *last.certificate.der());
}

#[tokio::test]
async fn what_is_not_tls_is_turned_away_and_disturbs_nobody() {
    let authority = Authority::new();
    let (server, _) = authority.start();
    let hello_too_long = [22, 3, 1, 0xff, 0xff].as_slice();
    for bytes in [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(), &[0; 4_096], &[0xff; 4_096], hello_too_long, b""] {
        let mut stream = TcpStream::connect(server.tls).await.expect("the door is open");
        let _sent = stream.write_all(bytes).await;
        let _closed = stream.shutdown().await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the connection ends after {bytes:?}");
        assert!(!answer.starts_with(b"HTTP"), "nothing is said in the clear");
    }
    works(&authority, &server).await;
}

#[tokio::test]
async fn connection_that_never_shakes_hands_gives_way_within_its_time() {
    let authority = Authority::new();
    authority.install(&authority.issue());
    let lines = format!("{}\nconnections_max = 1\nhandshake_timeout = \"300ms\"", authority.lines());
    let server = Setup::new().api_line(&lines).start();
    // The only connection there may be says nothing; then one that begins a handshake and stops within it.
    for bytes in [&b""[..], &[22, 3, 1, 1, 0, 1, 0, 0]] {
        let mut silent = TcpStream::connect(server.tls).await.expect("the door is open");
        silent.write_all(bytes).await.expect("it reads");
        works(&authority, &server).await;
    }
}

#[tokio::test]
async fn https_alone_is_enough() {
    let authority = Authority::new();
    authority.install(&authority.issue());
    let server = Setup::new().without_plain_http().api_line(&authority.lines()).start();
    assert_eq!(server.api.port(), 0, "no plain HTTP");
    works(&authority, &server).await;
}

#[test]
fn check_config_tells_what_is_wrong_with_a_certificate() {
    let authority = Authority::new();
    let check = |lines: &str| {
        let path = Setup::new().api_line(lines);
        let output = Command::new(env!("CARGO_BIN_EXE_catharsis"))
            .args(["check-config", "--config"])
            .arg(path.write())
            .output()
            .expect("the binary was built");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let refused = |lines: &str, part: &str| {
        let (fine, told) = check(lines);
        assert!(!fine && told.contains(part), "{part}: {told}");
    };
    refused(&authority.lines(), "cannot read");
    refused("tls_listen = \"127.0.0.1:0\"", "write all three or none");

    let issued = authority.issue();
    authority.install(&issued);
    assert!(check(&authority.lines()).0);
    std::fs::write(authority.path("key.pem"), authority.issue().key.serialize_pem()).expect("a writable folder");
    refused(&authority.lines(), "is not that of the certificate");

    // A key that lost its line ends is not repeated in what is told.
    let flat = issued.key.serialize_pem().replace('\n', " ");
    std::fs::write(authority.path("key.pem"), &flat).expect("a writable folder");
    let (fine, told) = check(&authority.lines());
    let secret = &flat[40..60];
    assert!(!fine && told.contains("private key") && !told.contains(secret), "{told}");
    let as_bytes = format!("{:?}", secret.as_bytes());
    assert!(!told.contains(as_bytes.trim_matches(['[', ']'])), "{told}");
}
