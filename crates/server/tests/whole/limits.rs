//! What a connection may take, in bytes, requests and time: slow, huge, pipelined, half-closed and
//! chunked requests.
//!
//! A server that allows one connection shows without a clock that another one was ended: the next is answered.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use catharsis_tcapi::cdn::PurgeUrlsCacheResponse;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Answer, Connection, PATIENCE, Server, Setup};

const URL: &str = "http://www.a.test/x";

/// A limit that is over soon.
const SHORT: &str = "\"300ms\"";

/// Far more than any answer or end here takes.
async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it does not last for ever")
}

/// The head and the body of a signed purge, as they stand on the wire, without the body's framing.
async fn purge(server: &Server, framing: &str) -> (Vec<u8>, Vec<u8>) {
    let request = server.client().sign("PurgeUrlsCache", &json!({ "Urls": [URL] }));
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("a body in memory").to_bytes();
    let mut head = b"POST / HTTP/1.1\r\n".to_vec();
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != "content-length") {
        head.extend_from_slice(format!("{name}: ").as_bytes());
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(framing.replace("LENGTH", &body.len().to_string()).as_bytes());
    head.extend_from_slice(b"\r\n\r\n");
    (head, body.to_vec())
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.api).await.expect("the door is open")
}

/// One whole answer with a length: status and body.
async fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await.expect("an answer"));
    }
    let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
    within(stream.read_exact(&mut body)).await.expect("a whole answer");
    (head[9..12].parse().expect("a status"), String::from_utf8(body).expect("text"))
}

/// Everything that comes until the server ends the connection.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end too: it comes when the server had not read everything.
    let _reset = within(stream.read_to_end(&mut bytes)).await;
    bytes
}

fn is_purged((status, body): &(u16, String)) {
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    assert!(*status == 200 && answer["Response"]["TaskId"].is_string(), "{status} {body}");
}

/// Another client is answered.
async fn is_served(server: &Server) {
    let answer: Answer<PurgeUrlsCacheResponse> =
        within(server.client().call("PurgeUrlsCache", &json!({ "Urls": [URL] }))).await;
    answer.expect("another client is answered");
}

/// Sends a byte now and then until the server ends the connection.
async fn drip(stream: &mut TcpStream) -> Vec<u8> {
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let mut received = Vec::new();
    let mut buffer = [0; 4_096];
    let dripping = async {
        loop {
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(read) => received.extend_from_slice(&buffer[..read]),
                },
                _ = pace.tick() => {
                    if stream.write_all(b"a").await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    within(dripping).await;
    received
}

#[tokio::test]
async fn headers_that_come_too_slowly_end_the_connection() {
    let server = Setup::new().api_line(&format!("header_timeout = {SHORT}")).start();
    for begun in ["POST / HTTP/1.1\r\nHost: a\r\nX: ", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n"] {
        let mut stream = connect(&server).await;
        stream.write_all(begun.as_bytes()).await.expect("it reads");
        assert!(!String::from_utf8_lossy(&drip(&mut stream).await).contains("200 OK"), "{begun:?}");
    }
    // The second request of a connection as well, which has an idle time much longer than that.
    let mut stream = connect(&server).await;
    let (head, body) = purge(&server, "Content-Length: LENGTH").await;
    stream.write_all(&[head.clone(), body].concat()).await.expect("it reads");
    is_purged(&answer(&mut stream).await);
    stream.write_all(&head[..40]).await.expect("it reads");
    assert_eq!(drip(&mut stream).await, b"");
    is_served(&server).await;
}

#[tokio::test]
async fn connections_that_say_nothing_or_half_a_preface_give_way() {
    let lines = format!("connections_max = 2\nheader_timeout = {SHORT}");
    let server = Setup::new().api_line(&lines).start();
    for begun in [&b""[..], b"PRI * HTTP", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut silent = [connect(&server).await, connect(&server).await];
        for stream in &mut silent {
            stream.write_all(begun).await.expect("it reads");
        }
        is_served(&server).await;
        for stream in &mut silent {
            let _settings = rest(stream).await;
        }
    }
}

#[tokio::test]
async fn two_hundred_idle_connections_hinder_nobody() {
    let server = Setup::new().api_line("connections_max = 202\nheader_timeout = \"1h\"").start();
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(connect(&server).await);
    }
    for _ in 0..20 {
        is_served(&server).await;
    }
    // They are still welcome.
    let (head, body) = purge(&server, "Content-Length: LENGTH").await;
    for stream in &mut idle {
        stream.write_all(&[&head[..], &body[..]].concat()).await.expect("it reads");
        is_purged(&answer(stream).await);
    }
}

#[tokio::test]
async fn kept_connection_is_ended_when_its_idle_time_is_over() {
    let server = Setup::new().api_line(&format!("connections_max = 1\nidle_timeout = {SHORT}")).start();
    let mut stream = connect(&server).await;
    let (head, body) = purge(&server, "Content-Length: LENGTH").await;
    stream.write_all(&[head, body].concat()).await.expect("it reads");
    is_purged(&answer(&mut stream).await);
    is_served(&server).await;
    assert_eq!(rest(&mut stream).await, b"", "it ends without a further word");

    let (mut sender, connection) = http2_on(connect(&server).await).await;
    let connection = tokio::spawn(connection);
    let request = server.client().sign("DescribePurgeQuota", &json!({}));
    let got = within(sender.send_request(request)).await.expect("an answer");
    got.into_body().collect().await.expect("a whole answer");
    is_served(&server).await;
    // Told to go away, and not cut off.
    within(connection).await.expect("our own task").expect("an orderly end");
}

#[tokio::test]
async fn body_that_comes_too_slowly_is_answered_and_ended() {
    let server = Setup::new().api_line(&format!("body_timeout = {SHORT}")).start();
    let (head, _) = purge(&server, "Content-Length: 100000").await;
    let mut stream = connect(&server).await;
    stream.write_all(&head).await.expect("it reads");
    let received = drip(&mut stream).await;
    assert!(String::from_utf8_lossy(&received).contains("\"InvalidRequest\""), "{received:?}");
    is_served(&server).await;
}

#[tokio::test]
async fn json_body_may_have_ten_megabytes_and_no_byte_more() {
    let server = Setup::new().start();
    let body = |length: usize| {
        let mut body = format!("{{\"Urls\":[{URL:?}]").into_bytes();
        body.resize(length - 1, b' ');
        body.push(b'}');
        Bytes::from(body)
    };
    let largest = 10 * 1024 * 1024;
    let fits: Answer<Value> = server.client().call_with_body("PurgeUrlsCache", body(largest)).await;
    assert!(fits.expect("ten megabytes are accepted")["TaskId"].is_string());
    let over: Answer<Value> = server.client().call_with_body("PurgeUrlsCache", body(largest + 1)).await;
    assert_eq!(over.code(), "RequestSizeLimitExceeded");
}

#[tokio::test]
async fn chunked_body_is_accepted() {
    let server = Setup::new().start();
    let (head, body) = purge(&server, "Transfer-Encoding: chunked").await;
    let mut stream = connect(&server).await;
    stream.write_all(&head).await.expect("it reads");
    for chunk in body.chunks(7) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.expect("it reads");
        stream.write_all(chunk).await.expect("it reads");
        stream.write_all(b"\r\n").await.expect("it reads");
    }
    stream.write_all(b"0\r\n\r\n").await.expect("it reads");
    is_purged(&answer(&mut stream).await);
}

#[tokio::test]
async fn client_that_waits_for_100_continue_gets_it() {
    let server = Setup::new().start();
    let (head, body) = purge(&server, "Content-Length: LENGTH\r\nExpect: 100-continue").await;
    let mut stream = connect(&server).await;
    stream.write_all(&head).await.expect("it reads");
    assert_eq!(answer(&mut stream).await.0, 100);
    stream.write_all(&body).await.expect("it reads");
    is_purged(&answer(&mut stream).await);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let server = Setup::new().start();
    let (head, body) = purge(&server, "Content-Length: LENGTH").await;
    let bad = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_vec();
    let all = [&head[..], &body[..], &bad[..], &head[..], &body[..], &bad[..]].concat();
    let mut stream = connect(&server).await;
    stream.write_all(&all).await.expect("it reads");
    for _ in 0..2 {
        is_purged(&answer(&mut stream).await);
        assert!(answer(&mut stream).await.1.contains("UnsupportedProtocol"));
    }
    // An answer does not wait for the rest of what follows.
    stream.write_all(&[&head[..], &body[..], &head[..50]].concat()).await.expect("it reads");
    is_purged(&answer(&mut stream).await);
    stream.write_all(&[&head[50..], &body[..]].concat()).await.expect("it reads");
    is_purged(&answer(&mut stream).await);
}

#[tokio::test]
async fn what_is_not_http_is_answered_400() {
    let server = Setup::new().start();
    for text in
        ["nonsense\r\n\r\n", "GET / HTTP/3.7\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"]
    {
        let mut stream = connect(&server).await;
        stream.write_all(text.as_bytes()).await.expect("it reads");
        assert_eq!(answer(&mut stream).await.0, 400, "{text:?}");
        assert_eq!(rest(&mut stream).await, b"");
    }
}

#[tokio::test]
async fn client_that_closes_its_half_gets_its_answers() {
    let server = Setup::new().start();
    let (head, body) = purge(&server, "Content-Length: LENGTH").await;
    let mut stream = connect(&server).await;
    stream.write_all(&[&head[..], &body[..], &head[..], &body[..]].concat()).await.expect("it reads");
    stream.shutdown().await.expect("the sending half is ours");
    is_purged(&answer(&mut stream).await);
    is_purged(&answer(&mut stream).await);
    assert_eq!(rest(&mut stream).await, b"");
}

#[tokio::test]
async fn huge_headers_are_refused_with_431() {
    let server = Setup::new().api_line("header_bytes = \"40KiB\"").start();
    let get = |more: String| format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    let many: String = (0..200).map(|n| format!("X-{n}: a\r\n")).collect();
    let long = |length| get(format!("X: {}\r\n", "a".repeat(length)));
    for text in [long(41_000), long(90_000), long(1_000_000), get(many)] {
        let mut stream = connect(&server).await;
        let _refused_meanwhile = stream.write_all(text.as_bytes()).await;
        assert_eq!(answer(&mut stream).await.0, 431, "{text:.60}");
    }
    // What the contract allows a GET is within the smallest limit there is: it is read, and refused for its content.
    let mut stream = connect(&server).await;
    let query = format!("GET /?Action={} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(32_000));
    stream.write_all(query.as_bytes()).await.expect("it reads");
    assert_eq!(answer(&mut stream).await.0, 200);

    let (mut sender, connection) = http2_on(connect(&server).await).await;
    tokio::spawn(connection);
    let request = Request::get("http://a/").header("x", "a".repeat(50_000)).body(Full::default()).expect("a request");
    let refused = within(sender.send_request(request)).await;
    assert!(refused.is_err() || refused.is_ok_and(|got| got.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    is_served(&server).await;
}

#[tokio::test]
async fn connection_ends_after_its_number_of_requests() {
    let server = Setup::new().api_line("requests_per_connection = 2").start();
    let (head, body) = purge(&server, "Content-Length: LENGTH").await;
    let request = [head, body].concat();
    let mut stream = connect(&server).await;
    stream.write_all(&request).await.expect("it reads");
    is_purged(&answer(&mut stream).await);
    stream.write_all(&request).await.expect("it reads");
    let last = String::from_utf8(rest(&mut stream).await).expect("text");
    assert!(last.contains("connection: close\r\n") && last.contains("TaskId"), "{last}");

    let (mut sender, connection) = http2_on(connect(&server).await).await;
    let connection = tokio::spawn(connection);
    for _ in 0..2 {
        let request = server.client().sign("DescribePurgeQuota", &json!({}));
        let got = within(sender.send_request(request)).await.expect("an answer");
        assert_eq!(got.status(), 200);
        got.into_body().collect().await.expect("a whole answer");
    }
    within(connection).await.expect("our own task").expect("an orderly end");
}

#[tokio::test]
async fn http2_client_is_told_how_many_requests_it_may_have_under_way() {
    let server = Setup::new().api_line("streams_per_connection = 3").start();
    let mut raw = connect(&server).await;
    raw.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("it reads");
    // The first frame is SETTINGS: nine bytes, of which three are the length; then six bytes a setting.
    let mut head = [0; 9];
    within(raw.read_exact(&mut head)).await.expect("a frame");
    let mut settings = vec![0; usize::from(head[2])];
    within(raw.read_exact(&mut settings)).await.expect("a whole frame");
    assert!(settings.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 3]), "{settings:?}");

    let (mut sender, connection) = http2_on(connect(&server).await).await;
    tokio::spawn(connection);
    let mut send = || {
        let answer = sender.send_request(server.client().sign("DescribePurgeQuota", &json!({})));
        async {
            let answer = within(answer).await.expect("an answer");
            assert_eq!(answer.status(), 200);
            answer.into_body().collect().await.expect("a whole answer");
        }
    };
    send().await;
    // More than three wait for their turn, and get it.
    let answers: Vec<_> = (0..20).map(|_| tokio::spawn(send())).collect();
    for answer in answers {
        answer.await.expect("each is answered");
    }
}

/// A server that allows one connection, and has eight megabytes of history to tell.
async fn with_long_history() -> Server {
    let server = Setup::new().api_line(&format!("connections_max = 1\nwrite_timeout = {SHORT}")).start();
    let urls: Vec<String> = (0..1_000).map(|n| format!("{URL}/{n}/{}", "a".repeat(7_900))).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    server.client().purge(&urls).await;
    server
}

fn history(server: &Server) -> Request<Full<Bytes>> {
    let filter = json!({ "StartTime": "2020-01-01 00:00:00", "Limit": 1_000 });
    server.client().sign("DescribePurgeTasks", &filter)
}

/// A connection on which the system takes few bytes that the program has not read.
async fn small_window(to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("our own socket");
    socket.connect(to).await.expect("the door is open")
}

#[tokio::test]
async fn client_that_does_not_take_its_answer_is_cut_off() {
    let server = with_long_history().await;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(small_window(server.api).await)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let slow = within(sender.send_request(history(&server))).await.expect("the headers of the answer");
    // Nothing more is read until another client was served, on the only connection that there may be.
    is_served(&server).await;
    assert!(within(slow.into_body().collect()).await.is_err(), "the answer was cut off");

    // HTTP/2, with the window of the stream as the only thing that holds the answer up.
    let (mut sender, connection) = http2_on(connect(&server).await).await;
    tokio::spawn(connection);
    let slow = within(sender.send_request(history(&server))).await.expect("the headers of the answer");
    is_served(&server).await;
    assert!(within(slow.into_body().collect()).await.is_err(), "the answer was cut off");

    // Who takes it gets it whole.
    let (status, body) = within(Connection::open(server.api).await.expect("the door is open").send(history(&server)))
        .await
        .expect("an answer");
    assert_eq!(status, 200);
    assert!(body.len() > 7_900_000, "{}", body.len());
}

type Http2 = http2::SendRequest<Full<Bytes>>;

async fn http2_on(stream: TcpStream) -> (Http2, http2::Connection<TokioIo<TcpStream>, Full<Bytes>, TokioExecutor>) {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(65_535).initial_connection_window_size(65_535);
    builder.handshake(TokioIo::new(stream)).await.expect("HTTP/2")
}
