//! The purger of the built-in edge against a control listener that speaks its protocol.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use catharsis_adapters::purger::edge::{EdgePurger, EdgePurgerError};
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Unreachable};
use catharsis_core::target::{CachePrefix, Encode, Target};
use catharsis_edge::protocol::{
    DOMAINS_PATH, DomainTable, DomainsResponse, InvalidationsRequest, InvalidationsResponse, LogId, STATUS_PATH,
    StatusResponse, WireOutcome, WireSeq, WireTarget,
};
use catharsis_testkit::conformance::invalidation;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// An edge that holds copies of URLs whose path begins with `/there`. It leaves the last outcome
/// out when it is asked for `/short`.
async fn edge() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serving =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(control));
            tokio::spawn(async move { drop(serving.await) });
        }
    });
    address
}

async fn control(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let token = request.headers().get("authorization").map(|it| it.as_bytes().to_vec());
    let mut response = Response::new(Full::default());
    if token.as_deref() != Some(b"Bearer right") {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(response);
    }
    let call = (request.method().clone(), request.uri().path().to_owned());
    let body = request.into_body().collect().await.expect("a whole body").to_bytes();
    if call == (Method::PUT, DOMAINS_PATH.to_owned()) {
        let table: DomainTable = serde_json::from_slice(&body).expect("the protocol");
        let generation = table.generation();
        if generation < 7 {
            *response.status_mut() = StatusCode::CONFLICT;
            return Ok(response);
        }
        *response.body_mut() = Full::from(serde_json::to_vec(&DomainsResponse { generation }).expect("serialisable"));
        return Ok(response);
    }
    if call == (Method::GET, STATUS_PATH.to_owned()) {
        let position = WireSeq::try_from(Seq(0)).expect("in bounds");
        let status = StatusResponse { log: None, position, entries: 0, bytes: 0, marks: 0, domains: Some(7) };
        *response.body_mut() = Full::from(serde_json::to_vec(&status).expect("serialisable"));
        return Ok(response);
    }
    let order: InvalidationsRequest = serde_json::from_slice(&body).expect("the protocol");
    assert_eq!(order.log().as_str(), "log-1");
    let path = |target: &WireTarget| match target {
        WireTarget::Url(url) => url.paths()[0].as_str().to_owned(),
        WireTarget::Prefix(prefix) => prefix.paths()[0].as_str().to_owned(),
        WireTarget::Everything => "/there".to_owned(),
    };
    let mut outcomes: Vec<WireOutcome> = Vec::new();
    for one in order.invalidations() {
        if path(&one.target) != "/short" {
            let there = path(&one.target).starts_with("/there");
            outcomes.push(if there { WireOutcome::Applied } else { WireOutcome::Absent });
        }
    }
    let answer = InvalidationsResponse { position: WireSeq::try_from(order.upto()).expect("in bounds"), outcomes };
    *response.body_mut() = Full::from(serde_json::to_vec(&answer).expect("serialisable"));
    Ok(response)
}

fn purger(address: SocketAddr, token: &str) -> EdgePurger {
    let address = NodeAddress::from(address);
    EdgePurger::new(address, HttpLimits::default(), "log-1", Some(token)).expect("valid")
}

#[tokio::test]
async fn each_invalidation_of_a_batch_gets_its_own_outcome() {
    let purger = purger(edge().await, "right");
    let urls = ["http://a.test/there", "http://a.test/not", "http://a.test/there?2"];
    for _ in 0..3 {
        let batch: Vec<_> = urls.iter().zip(7..).map(|(url, seq)| invalidation(seq, url)).collect();
        let outcomes = purger.apply(&batch).await;
        assert_eq!(outcomes, [Outcome::Applied, Outcome::Absent, Outcome::Applied]);
    }
    assert_eq!(purger.everything(Seq(9)).await, Outcome::Applied);
    let many: Vec<_> = (1..=1_300).map(|seq| invalidation(seq, "http://a.test/there")).collect();
    assert_eq!(purger.apply(&many).await, vec![Outcome::Applied; 1_300]);
}

#[tokio::test]
async fn directory_is_sent_beside_urls() {
    let purger = purger(edge().await, "right");
    let directory = CachePrefix::parse("https://a.test/there/", Encode::AsSubmitted).expect("a valid directory");
    let batch = [
        invalidation(1, "http://a.test/not"),
        Invalidation { target: Target::Prefix(directory).into(), ..invalidation(2, "http://a.test/") },
    ];
    assert_eq!(purger.apply(&batch).await, [Outcome::Absent, Outcome::Applied]);
}

#[tokio::test]
async fn domains_are_served_or_the_edge_says_why_not() {
    let purger = purger(edge().await, "right");
    let table =
        |generation| DomainTable::new(LogId::new("log-1").expect("valid"), generation, Vec::new()).expect("valid");
    assert_eq!(purger.serve_domains(&table(7)).await, Ok(7));
    assert_eq!(purger.serve_domains(&table(6)).await, Err(Unreachable::Failed { status: 409 }));
    assert_eq!(purger.domains_generation().await, Ok(Some(7)));
}

#[tokio::test]
async fn wrong_token_is_denied_and_the_edge_is_alive() {
    let purger = purger(edge().await, "wrong");
    let denied = Outcome::Unreachable(Unreachable::Denied { status: 401 });
    assert_eq!(purger.apply(&[invalidation(1, "http://a.test/there")]).await, vec![denied.clone()]);
    assert_eq!(purger.everything(Seq(1)).await, denied);
    assert!(purger.answers().await);
}

#[tokio::test]
async fn answer_that_does_not_speak_of_each_invalidation_is_none() {
    let purger = purger(edge().await, "right");
    let batch = [invalidation(1, "http://a.test/there"), invalidation(2, "http://a.test/short")];
    for outcome in purger.apply(&batch).await {
        assert!(matches!(outcome, Outcome::Unreachable(Unreachable::Protocol(_))), "{outcome:?}");
    }
}

#[tokio::test]
async fn token_is_never_shown_and_must_fit_a_header_field() {
    let address = || NodeAddress::parse("127.0.0.1:1").expect("an address");
    let made = |log: &str, token: &str| EdgePurger::new(address(), HttpLimits::default(), log, Some(token));
    let shown = format!("{:?}", made("log", "s3cret-token").expect("valid"));
    assert!(!shown.contains("s3cret"), "{shown}");
    for token in ["", "a b", "a\r\nX: y", "é"] {
        assert_eq!(made("log", token).map(|_| ()), Err(EdgePurgerError::Token), "{token:?}");
    }
    assert_eq!(made("no log", "t").map(|_| ()), Err(EdgePurgerError::Log));
}
