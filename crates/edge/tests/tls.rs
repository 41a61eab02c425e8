//! Origins over TLS: verified with the system's authorities and the name in the `Host` that they get.
#![cfg(feature = "proxy")]

#[expect(dead_code, unreachable_pub, reason = "shared with the other tests of the whole edge")]
mod support;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use catharsis_edge::protocol::LocalOrigins;
use catharsis_edge::{Edge, EdgeConfig};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::Door;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// An authority: its certificate as PEM, and what it signs with.
fn authority() -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.pem(), Issuer::new(params, key))
}

/// An origin that proves to be `name` and says which `Host` it was asked for.
async fn origin(name: &str, issuer: &Issuer<'static, KeyPair>) -> SocketAddr {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The edge does not go on with whom it does not trust.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.expect("a request"));
            }
            let request = String::from_utf8(request).expect("text").to_lowercase();
            let host = request.lines().find_map(|it| it.strip_prefix("host: ")).expect("a host");
            let sni = stream.get_ref().1.server_name().unwrap_or_default();
            let body = format!("{host} {sni}");
            let answer =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.expect("a client");
            stream.shutdown().await.expect("a client");
        }
    });
    address
}

fn domain(name: &str, origin: SocketAddr, host: &str) -> String {
    format!(
        r#"{{"name":"{name}","state":"online","origins":[{{"address":"{}","port":{},"weight":1}}],"host_header":{host},"scheme":"https"}}"#,
        origin.ip(),
        origin.port()
    )
}

/// What clients get of domains whose origin is `right.test`: that it is asked for by the client's
/// name, by a name of its own, and by one that it has not.
async fn seen(origin: SocketAddr) -> Vec<(u16, String)> {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = EdgeConfig::new("test", free, free, Vec::new());
    config.local_origins = LocalOrigins::Allow;
    let edge = Edge::start(&config).expect("it starts");
    let door = Door { traffic: edge.traffic_addr(), control: edge.control_addr() };
    let domains = [
        domain("right.test", origin, "null"),
        domain("a.test", origin, r#""right.test:8443""#),
        domain("wrong.test", origin, "null"),
    ];
    let body = format!(r#"{{"log":"l","generation":1,"domains":[{}]}}"#, domains.join(","));
    assert_eq!(door.tell("PUT", "/v1/domains", &body, None).await.status, 200);
    let mut seen = Vec::new();
    for host in ["right.test", "a.test", "wrong.test"] {
        let answer = door.request("GET", "/", &[("host", host)]).await;
        seen.push((answer.status.as_u16(), answer.text().to_owned()));
    }
    seen
}

/// Where the second process, which trusts the authority, finds the origin.
const ORIGIN: &str = "CATHARSIS_TEST_TLS_ORIGIN";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn origin_over_tls_must_be_trusted_and_have_the_name_asked_for() {
    if let Ok(origin) = std::env::var(ORIGIN) {
        let seen = seen(origin.parse().expect("an address")).await;
        let right = |text: &str| (200, text.to_owned());
        assert_eq!(seen[..2], [right("right.test right.test"), right("right.test:8443 right.test")]);
        assert_eq!(seen[2].0, 502, "it does not have that name");
        return;
    }
    let (pem, issuer) = authority();
    let origin = origin("right.test", &issuer).await;
    for (status, _) in seen(origin).await {
        assert_eq!(status, 502, "nobody trusts that authority");
    }
    // The system's authorities are read when an edge starts, so another process has to trust this one.
    let folder = tempfile::tempdir().expect("a folder");
    let trusted = folder.path().join("authorities.pem");
    std::fs::write(&trusted, pem).expect("writable");
    let child = tokio::task::spawn_blocking(move || {
        Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "origin_over_tls_must_be_trusted_and_have_the_name_asked_for"])
            .env("SSL_CERT_FILE", trusted)
            .env(ORIGIN, origin.to_string())
            .output()
    });
    let output = child.await.expect("no panic").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
