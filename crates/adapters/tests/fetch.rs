//! Fetching through nodes that misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use catharsis_adapters::fetch::{FetchLimits, HttpFetcher, NoTraffic};
use catharsis_adapters::purger::NodeAddress;
use catharsis_core::push::ports::{Fetch, Fetched, Fetcher};
use catharsis_core::push::{How, Playlist, PushFields};
use catharsis_core::target::{CacheUrl, Encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// What a node does after its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Closes,
    Holds,
}

/// A node that reads one request, answers these bytes and gives the request to the test.
async fn node(answer: Vec<u8>, then: Then) -> (SocketAddr, oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let (mut request, mut buffer) = (Vec::new(), [0; 1_024]);
        while !request.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer).await.expect("readable");
            request.extend_from_slice(&buffer[..read]);
            assert!(read > 0, "the request ends early");
        }
        let _gone = tell.send(String::from_utf8_lossy(&request).into_owned());
        stream.write_all(&answer).await.expect("writable");
        if then == Then::Holds {
            std::future::pending::<()>().await;
        }
    });
    (address, told)
}

fn fetch(url: &str, playlist: Playlist) -> Fetch {
    let url = CacheUrl::parse(url, Encode::AsSubmitted).expect("a valid URL");
    let fields = PushFields::parse([("X-Token", "a b"), ("Accept-Encoding", "gzip")]).expect("valid");
    Fetch { url, how: Arc::new(How { fields, ..How::default() }), playlist }
}

fn fetcher(address: SocketAddr) -> HttpFetcher {
    let limits = FetchLimits { connect: Duration::from_secs(2), total: Duration::from_secs(10) };
    HttpFetcher::new(NodeAddress::from(address), limits)
}

async fn fetched(answer: &str, then: Then) -> Fetched {
    let (address, _request) = node(answer.as_bytes().to_vec(), then).await;
    fetcher(address).fetch(&fetch("http://a.test/list.m3u8", Playlist::Expand)).await
}

const fn complete(status: u16, bytes: u64) -> Fetched {
    Fetched::Complete { status, bytes, links: Vec::new() }
}

fn why(fetched: &Fetched) -> &str {
    match fetched {
        Fetched::Failed(why) => why.as_str(),
        Fetched::Complete { .. } | Fetched::Status(_) | Fetched::Impossible(_) => panic!("{fetched:?}"),
    }
}

#[tokio::test]
async fn node_is_asked_as_a_client_would_ask() {
    let (address, request) = node(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(), Then::Holds).await;
    let asked = fetch("https://A.test:8443/%7Ea b?é=*", Playlist::AsIs);
    assert_eq!(fetcher(address).fetch(&asked).await, complete(200, 2));
    let request = request.await.expect("a request came");
    assert_eq!(
        request.to_ascii_lowercase(),
        "get /%7ea%20b?%c3%a9=* http/1.1\r\nhost: a.test:8443\r\nuser-agent: tencentcdn\r\nx-token: a b\r\naccept-encoding: gzip\r\n\r\n"
    );
}

#[tokio::test]
async fn only_a_whole_body_is_complete() {
    assert_eq!(fetched("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Then::Closes).await, complete(200, 2));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
    assert_eq!(fetched(&format!("{chunked}0\r\n\r\n"), Then::Holds).await, complete(200, 2));
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";
    for answer in [short, chunked] {
        let broken = fetched(answer, Then::Closes).await;
        assert!(why(&broken).starts_with("the body broke off"), "{broken:?}");
    }
    for answer in ["", "HTTP/1.1 200", "SSH-2.0-x\r\n"] {
        let broken = fetched(answer, Then::Closes).await;
        assert!(why(&broken).starts_with("no answer"), "{broken:?}");
    }
}

#[tokio::test]
async fn redirect_is_an_answer_and_is_not_followed() {
    let (elsewhere, mut request) = node(Vec::new(), Then::Closes).await;
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(fetched(&answer, Then::Holds).await, complete(302, 0));
    assert!(request.try_recv().is_err(), "the redirect was followed");
}

#[tokio::test]
async fn status_of_the_origin_is_told_without_waiting_for_its_page() {
    for status in [404, 500, 503] {
        let answer = format!("HTTP/1.1 {status} Oh\r\nContent-Length: 100\r\n\r\n");
        assert_eq!(fetched(&answer, Then::Holds).await, Fetched::Status(status));
    }
}

#[tokio::test]
async fn node_that_is_silent_or_absent_fails_in_time() {
    let limits = FetchLimits { connect: Duration::from_secs(2), total: Duration::from_millis(200) };
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"] {
        let (address, _request) = node(answer.as_bytes().to_vec(), Then::Holds).await;
        let slow = HttpFetcher::new(NodeAddress::from(address), limits);
        let fetched = slow.fetch(&fetch("http://a.test/", Playlist::AsIs)).await;
        assert!(why(&fetched).starts_with("not whole within"), "{fetched:?}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let closed = listener.local_addr().expect("bound");
    drop(listener);
    let fetched = fetcher(closed).fetch(&fetch("http://a.test/", Playlist::AsIs)).await;
    assert!(why(&fetched).starts_with("no connection"), "{fetched:?}");
    let nowhere = NoTraffic.fetch(&fetch("http://a.test/", Playlist::AsIs)).await;
    assert!(matches!(nowhere, Fetched::Impossible(_)), "{nowhere:?}");
}

#[tokio::test]
async fn playlist_is_read_only_when_asked_and_up_to_its_bound() {
    let answer = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let body = "#EXTM3U\n1.ts\n";
    let read = |playlist| async move {
        let (address, _request) = node(answer(body).into_bytes(), Then::Holds).await;
        fetcher(address).fetch(&fetch("http://a.test/l/list.m3u8", playlist)).await
    };
    let links = vec!["http://a.test/l/1.ts".into()];
    assert_eq!(read(Playlist::Expand).await, Fetched::Complete { status: 200, bytes: 13, links });
    assert_eq!(read(Playlist::AsIs).await, complete(200, 13));
    let long = format!("{body}{}", "#\n".repeat(1 << 19));
    assert_eq!(fetched(&answer(&long), Then::Holds).await, complete(200, long.len() as u64));
}
