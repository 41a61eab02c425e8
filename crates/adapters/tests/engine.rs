//! The HTTP engine against caches that behave badly: scripted on raw sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use catharsis_adapters::purger::varnish::VarnishPurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_core::invalidation::Invalidation;
use catharsis_core::keys::Bytewise;
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Unreachable};
use catharsis_testkit::conformance::invalidation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a bad cache does with one request.
#[derive(Clone, Copy)]
enum Act {
    Answer,
    /// Answers and closes.
    Last,
    /// Closes without an answer.
    Close,
    /// Says nothing more, ever.
    Hang,
    /// Says something that is not HTTP.
    Babble,
}

struct BadCache {
    purger: VarnishPurger,
    connections: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Drop for BadCache {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl BadCache {
    /// A cache that decides by the path and by the request's number on its connection, from 0.
    async fn start(script: fn(&str, usize) -> Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let server = tokio::spawn(async move {
            let mut workers = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                workers.spawn(converse(stream, script));
            }
        });
        let limits = HttpLimits { answer: Duration::from_millis(200), ..HttpLimits::default() };
        Self {
            purger: VarnishPurger::new(NodeAddress::from(address), limits, Arc::new(Bytewise::default())),
            connections,
            server,
        }
    }

    async fn apply(&self, paths: &[&str]) -> Vec<Outcome> {
        self.purger.apply(&batch(paths)).await
    }
}

async fn converse(mut stream: TcpStream, script: fn(&str, usize) -> Act) {
    let (mut buffer, mut number) = (Vec::new(), 0);
    loop {
        while let Some(end) = buffer.windows(4).position(|it| it == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            let head = String::from_utf8(head).expect("requests are text");
            let path = head.split(' ').nth(1).expect("a request target").to_owned();
            let answer = "HTTP/1.1 200 Purged 1\r\nX-Varnish: 1\r\nContent-Length: 0\r\n\r\n";
            let act = script(&path, number);
            number += 1;
            let said = match act {
                Act::Answer | Act::Last => stream.write_all(answer.as_bytes()).await,
                Act::Babble => stream.write_all(b"<html>no status line</html>\r\n\r\n").await,
                Act::Hang => std::future::pending().await,
                Act::Close => Ok(()),
            };
            if said.is_err() || matches!(act, Act::Last | Act::Close) {
                return;
            }
        }
        if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
            return;
        }
    }
}

fn batch(paths: &[&str]) -> Vec<Invalidation> {
    let one = |(path, seq): (&&str, u64)| invalidation(seq, &format!("http://a.test{path}"));
    paths.iter().zip(1..).map(one).collect()
}

const fn unreachable(why: Unreachable) -> Outcome {
    Outcome::Unreachable(why)
}

#[tokio::test]
async fn url_that_makes_the_cache_close_is_found_and_the_others_are_purged() {
    let cache = BadCache::start(|path, _| match path {
        "/poison" => Act::Close,
        _ => Act::Answer,
    })
    .await;
    let outcomes = cache.apply(&["/1", "/poison", "/2", "/poison", "/poison", "/3"]).await;
    let closed = || unreachable(Unreachable::Closed);
    let applied = || Outcome::counted(1);
    assert_eq!(outcomes, [applied(), closed(), applied(), closed(), closed(), applied()]);
}

#[tokio::test]
async fn silent_url_costs_one_wait_and_the_others_are_purged() {
    let cache = BadCache::start(|path, _| match path {
        "/silent" => Act::Hang,
        _ => Act::Answer,
    })
    .await;
    let outcomes = cache.apply(&["/1", "/silent", "/2"]).await;
    let silent = unreachable(Unreachable::Timeout);
    assert_eq!(outcomes, [Outcome::counted(1), silent, Outcome::counted(1)]);
}

#[tokio::test]
async fn node_that_answers_nothing_is_given_up_and_the_rest_is_not_blamed() {
    let cache = BadCache::start(|_, _| Act::Close).await;
    let outcomes = cache.apply(&["/1"; 10]).await;
    let closed = |outcome: &&Outcome| **outcome == unreachable(Unreachable::Closed);
    assert_eq!(outcomes.iter().filter(closed).count(), 3);
    // The relay counts `Closed` against a URL, `Connect` never.
    let not_tried = |outcome: &Outcome| matches!(outcome, Outcome::Unreachable(Unreachable::Connect(_)));
    assert!(outcomes[3..].iter().all(not_tried), "{outcomes:?}");
    assert!(cache.connections.load(Ordering::Relaxed) <= 3);
}

#[tokio::test]
async fn cache_that_closes_after_each_answer_is_purged_all_the_same() {
    let cache = BadCache::start(|_, number| match number {
        2 => Act::Last,
        _ => Act::Answer,
    })
    .await;
    let outcomes = cache.apply(&["/1"; 100]).await;
    assert!(outcomes.iter().all(|it| *it == Outcome::counted(1)), "{outcomes:?}");
}

#[tokio::test]
async fn connection_is_kept_and_one_that_died_meanwhile_is_replaced() {
    let cache = BadCache::start(|path, _| match path {
        "/last" => Act::Last,
        _ => Act::Answer,
    })
    .await;
    for _ in 0..5 {
        assert_eq!(cache.apply(&["/1"]).await, [Outcome::counted(1)]);
    }
    assert_eq!(cache.connections.load(Ordering::Relaxed), 1);
    assert_eq!(cache.apply(&["/last"]).await, [Outcome::counted(1)]);
    assert_eq!(cache.apply(&["/1"]).await, [Outcome::counted(1)]);
    assert_eq!(cache.connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn what_is_not_http_is_never_a_success() {
    let cache = BadCache::start(|_, _| Act::Babble).await;
    let outcomes = cache.apply(&["/1", "/2"]).await;
    let odd = |outcome: &Outcome| matches!(outcome, Outcome::Unreachable(Unreachable::Protocol(_)));
    assert!(outcomes.iter().all(odd), "{outcomes:?}");
}

#[tokio::test]
async fn nobody_listening_is_no_connection() {
    let cache = BadCache::start(|_, _| Act::Answer).await;
    let gone = NodeAddress::parse("127.0.0.1:1").expect("an address");
    let purger = VarnishPurger::new(gone, HttpLimits::default(), Arc::new(Bytewise::default()));
    let outcomes = purger.apply(&batch(&["/1", "/2"])).await;
    let no_connection = |outcome: &Outcome| matches!(outcome, Outcome::Unreachable(Unreachable::Connect(_)));
    assert!(outcomes.iter().all(no_connection), "{outcomes:?}");
    assert!(!purger.answers().await);
    assert!(cache.purger.answers().await);
}
