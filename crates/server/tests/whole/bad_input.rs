//! Bytes that no client sends: each is answered with a code, within bounds, and harms nothing.

use std::time::{Duration, Instant};

use catharsis_tcapi::cdn::DescribePurgeQuotaResponse;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Server, Setup};

/// Sends bytes, closes the sending half, and reads what comes.
async fn raw(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.api).await.expect("the door is open");
    // The server may answer and close before it has read everything; that is its right.
    let _sent = stream.write_all(bytes).await;
    let _closed = stream.shutdown().await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    assert!(
        read.is_ok(),
        "no answer and no end in 20 s to {:?}",
        String::from_utf8_lossy(&bytes[..bytes.len().min(200)])
    );
    answer
}

/// The code in an answer of HTTP status 200; `None` when the HTTP layer itself refused.
fn code(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status: u16 = head.get(9..12)?.parse().expect("a status");
    assert!(status == 200 || (400..500).contains(&status), "never a 5xx: {head}");
    if status != 200 {
        return None;
    }
    assert!(head.to_ascii_lowercase().contains("content-type: application/json\r\n"), "exactly that: {head}");
    // What followed the request may have been answered too.
    let length = head.to_ascii_lowercase().split_once("content-length: ").map(|(_, rest)| rest.to_owned());
    let length = length.and_then(|rest| rest.lines().next()?.parse().ok()).unwrap_or(0);
    let body = body.get(..length).unwrap_or_default();
    let envelope: Value = serde_json::from_str(body).unwrap_or_default();
    assert!(envelope["Response"]["RequestId"].is_string() || body.is_empty(), "{body}");
    Some(envelope["Response"]["Error"]["Code"].as_str().unwrap_or_default().to_owned())
}

async fn is_well(server: &Server) {
    let quota: Answer<DescribePurgeQuotaResponse> = server.client().call("DescribePurgeQuota", &json!({})).await;
    let quota = quota.expect("the server goes on");
    assert_eq!(quota.url_purge[0].available, quota.url_purge[0].total, "nothing was charged");
    assert_eq!(server.ops("/healthz").await.0, 200);
}

#[tokio::test]
async fn other_methods_and_paths_get_the_documented_code() {
    let server = Setup::new().start();
    for line in ["PUT /", "DELETE /", "OPTIONS /", "PATCH /", "PURGE /", "POST /x", "GET /../etc/passwd"] {
        let request = format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(code(&raw(&server, request.as_bytes()).await).as_deref(), Some("UnsupportedProtocol"), "{line}");
    }
    let head = raw(&server, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(code(&head).as_deref(), Some(""), "an answer to HEAD has no body");
    is_well(&server).await;
}

#[tokio::test]
async fn oversized_bodies_are_refused_with_the_reason_even_to_clients_that_send_first() {
    let server = Setup::new().start();
    let json = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    let over = 10 * 1024 * 1024 + 1;
    let mut announced = format!("{json}Content-Length: {over}\r\n\r\n").into_bytes();
    announced.resize(announced.len() + over, b'x');
    assert_eq!(code(&raw(&server, &announced).await).as_deref(), Some("RequestSizeLimitExceeded"));

    let mut chunked = format!("{json}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..11 {
        chunked.extend_from_slice(b"100000\r\n");
        chunked.resize(chunked.len() + 0x10_0000, b'x');
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(code(&raw(&server, &chunked).await).as_deref(), Some("RequestSizeLimitExceeded"));

    let query = format!("GET /?Action={} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(33 * 1024));
    assert_eq!(code(&raw(&server, query.as_bytes()).await).as_deref(), Some("RequestSizeLimitExceeded"));
    is_well(&server).await;
}

#[tokio::test]
async fn body_that_never_comes_is_given_up() {
    let server = Setup::new().api_line("body_timeout = \"300ms\"").start();
    let started = Instant::now();
    let mut stream = TcpStream::connect(server.api).await.expect("the door is open");
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.expect("it reads");
    let mut answer = vec![0; 4_096];
    let read = stream.read(&mut answer).await.expect("an answer");
    assert_eq!(code(&answer[..read]).as_deref(), Some("InvalidRequest"));
    assert!(started.elapsed() < Duration::from_secs(20));
    is_well(&server).await;
}

#[tokio::test]
async fn json_that_would_cost_too_much_is_refused() {
    let server = Setup::new().start();
    let client = server.client();
    for (body, expected) in [
        ("[".repeat(1_000_000), "InvalidParameter"),
        (format!("{{\"Urls\":[{}1]}}", "[],".repeat(2_000_000)), "RequestSizeLimitExceeded"),
        ("{\"Urls\":[\"http://www.a.test/\"],\"Urls\":[]}".to_owned(), "InvalidParameter"),
        ("{\"Urls\":[\"http://www.a.test/\\ud800\"]}".to_owned(), "InvalidParameter"),
        ("\u{feff}{}".to_owned(), "InvalidParameter"),
    ] {
        let answer: Answer<Value> = client.call_with_body("PurgeUrlsCache", body.clone().into()).await;
        assert_eq!(answer.code(), expected, "{}", &body[..body.len().min(60)]);
    }
    is_well(&server).await;
}

#[tokio::test]
async fn urls_that_could_forge_a_request_are_refused_and_nothing_is_stored() {
    let server = Setup::new().start();
    let client = server.client();
    for bad in [
        "http://www.a.test/\r\nPURGE /x HTTP/1.1",
        "http://www.a.test/\u{0}",
        "http://www.a.test/\u{7f}",
        "http://user:secret@www.a.test/",
        "http://www.a.test/#top",
        "http://www.a.test:0/",
        "http://www.a.test:99999/",
        "http://www.a.test\\@other.test/",
        "http://other.test/",
        "//www.a.test/",
    ] {
        let urls = ["http://www.a.test/fine", bad];
        let answer: Answer<Value> = client.call("PurgeUrlsCache", &json!({ "Urls": urls })).await;
        let Answer::Refused { message, .. } = answer else { panic!("{bad:?}: {answer:?}") };
        assert!(message.contains("Urls.1"), "it names the position: {message}");
    }
    let page: Value =
        client.call("DescribePurgeTasks", &json!({ "StartTime": "2020-01-01 00:00:00" })).await.expect("a page");
    assert_eq!(page["TotalCount"], 0);
    is_well(&server).await;
}

#[tokio::test]
async fn random_bytes_and_broken_requests_never_harm_the_server() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let server = Setup::new().start();
    let valid = server.client().sign("PurgeUrlsCache", &json!({ "Urls": ["http://www.a.test/x"] }));
    let template = http_text(&valid, br#"{"Urls":["http://www.a.test/x"]}"#);
    for round in 0..400 {
        let mut bytes = template.clone();
        if round % 4 == 0 {
            bytes = vec![0; random.random_range(1..2_000)];
            random.fill_bytes(&mut bytes);
        } else {
            for _ in 0..random.random_range(1..6) {
                let at = random.random_range(0..bytes.len());
                match random.random_range(0..3) {
                    0 => bytes[at] = random.random(),
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, random.random()),
                }
            }
        }
        // Any code will do, and so does a closed connection; a 5xx or silence will not.
        let _code = code(&raw(&server, &bytes).await);
    }
    assert_eq!(server.ops("/healthz").await.0, 200, "seed {seed}");
}

/// A request as it stands on the wire.
fn http_text<B>(request: &http::Request<B>, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{} / HTTP/1.1\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        text.extend_from_slice(format!("{name}: ").as_bytes());
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    text.extend_from_slice(body);
    text
}
