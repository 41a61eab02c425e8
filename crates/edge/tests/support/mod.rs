//! An origin that can be held, a client, and a relay: what the edge's tests are told with.
//!
//! Each wait is for an event, with a deadline only against hanging for ever.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

const DEADLINE: Duration = Duration::from_secs(20);

pub async fn in_time<T>(what: &str, it: impl Future<Output = T>) -> T {
    let Ok(it) = tokio::time::timeout(DEADLINE, it).await else {
        panic!("waited in vain: {what}");
    };
    it
}

/// Holds responses until it is opened.
#[derive(Clone, Debug)]
pub struct Gate {
    reached: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

impl Gate {
    pub fn closed() -> Self {
        Self { reached: watch::Sender::new(0), open: watch::Sender::new(false) }
    }

    /// Until `count` responses have come here.
    pub async fn reached(&self, count: usize) {
        let mut reached = self.reached.subscribe();
        in_time("a response at the gate", reached.wait_for(|it| *it >= count)).await.expect("sender lives");
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    async fn pass(&self) {
        self.reached.send_modify(|it| *it += 1);
        self.open.subscribe().wait_for(|it| *it).await.expect("sender lives");
    }
}

/// What the origin answers under one path.
#[derive(Clone, Debug)]
pub struct Page {
    status: u16,
    headers: Vec<(String, String)>,
    pieces: Vec<Bytes>,
    before_header: Option<Gate>,
    after_first_piece: Option<Gate>,
    echo: Option<String>,
}

impl Page {
    pub fn new(body: &str) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            pieces: vec![Bytes::copy_from_slice(body.as_bytes())],
            before_header: None,
            after_first_piece: None,
            echo: None,
        }
    }

    pub fn fresh(body: &str) -> Self {
        Self::new(body).header("cache-control", "max-age=600")
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A further piece of the body, which makes it chunked.
    pub fn piece(mut self, piece: impl Into<Bytes>) -> Self {
        self.pieces.push(piece.into());
        self
    }

    pub fn held(mut self, gate: &Gate) -> Self {
        self.before_header = Some(gate.clone());
        self
    }

    pub fn held_after_first_piece(mut self, gate: &Gate) -> Self {
        self.after_first_piece = Some(gate.clone());
        self
    }

    /// Appends the value of a request header to the body, and varies by it.
    pub fn varying_by(mut self, name: &str) -> Self {
        self.echo = Some(name.to_owned());
        self.header("vary", name)
    }
}

/// A request that the origin got.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
}

type Pages = Arc<Mutex<(HashMap<String, Page>, Vec<Asked>)>>;

/// An origin on a free port; it ends with the test's runtime.
#[derive(Clone, Debug)]
pub struct Origin {
    pub addr: SocketAddr,
    pages: Pages,
}

impl Origin {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let pages = Pages::default();
        let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&pages));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { addr, pages }
    }

    pub fn put(&self, path: &str, page: Page) {
        self.pages.lock().expect("no panic").0.insert(path.to_owned(), page);
    }

    /// What it was asked under a path.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let pages = self.pages.lock().expect("no panic");
        pages.1.iter().filter(|it| it.path == path).cloned().collect()
    }
}

async fn answer(State(pages): State<Pages>, request: Request) -> Response {
    let path = request.uri().path_and_query().expect("origin form").as_str().to_owned();
    // The content is what it is when the request arrives: that is when the fetch began.
    let page = {
        let mut pages = pages.lock().expect("no panic");
        pages.1.push(Asked {
            method: request.method().to_string(),
            path: path.clone(),
            headers: request.headers().clone(),
        });
        pages.0.get(&path).cloned()
    };
    let Some(page) = page else {
        return Response::builder().status(404).body(Body::empty()).expect("valid");
    };
    if let Some(gate) = &page.before_header {
        gate.pass().await;
    }
    let mut response = Response::builder().status(page.status);
    for (name, value) in &page.headers {
        response = response.header(name, value);
    }
    let etag = page.headers.iter().find(|(name, _)| name == "etag").map(|(_, it)| it.as_str());
    let wanted = request.headers().get("if-none-match").and_then(|it| it.to_str().ok());
    let modified = page.headers.iter().find(|(name, _)| name == "last-modified").map(|(_, it)| it.as_str());
    let since = request.headers().get("if-modified-since").and_then(|it| it.to_str().ok());
    if (etag.is_some() && etag == wanted) || (modified.is_some() && modified == since) {
        return response.status(304).body(Body::empty()).expect("valid");
    }
    let mut pieces = page.pieces.clone();
    if let Some(name) = &page.echo {
        let value = request.headers().get(name).map_or(&b""[..], |it| it.as_bytes());
        pieces[0] = Bytes::from([&pieces[0], value].concat());
    }
    if pieces.len() == 1 {
        return response.body(Body::from(pieces.remove(0))).expect("valid");
    }
    let (sender, mut receiver) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    tokio::spawn(async move {
        for (at, piece) in pieces.into_iter().enumerate() {
            if at == 1
                && let Some(gate) = &page.after_first_piece
            {
                gate.pass().await;
            }
            if sender.send(Ok(piece)).await.is_err() {
                break;
            }
        }
    });
    let stream = futures_of(move |context| receiver.poll_recv(context));
    response.body(Body::new(stream)).expect("valid")
}

/// A body out of a poll function.
struct Pieces<F>(F);

fn futures_of<F>(poll: F) -> Pieces<F>
where
    F: FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<Result<Bytes, Infallible>>> + Unpin,
{
    Pieces(poll)
}

impl<F> hyper::body::Body for Pieces<F>
where
    F: FnMut(&mut std::task::Context<'_>) -> std::task::Poll<Option<Result<Bytes, Infallible>>> + Unpin,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        (self.0)(context).map(|it| it.map(|piece| piece.map(hyper::body::Frame::data)))
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("tests send text")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |it| it.to_str().expect("text"))
    }

    /// `X-Cache` and body.
    pub fn seen(&self) -> (&str, &str) {
        (self.header("x-cache"), self.text())
    }
}

/// An edge as its clients and its relay see it.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    pub traffic: SocketAddr,
    pub control: SocketAddr,
}

async fn send(to: SocketAddr, request: Request<Full<Bytes>>) -> http::Response<Incoming> {
    let stream = in_time("a connection", TcpStream::connect(to)).await.expect("it listens");
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.expect("a connection");
    tokio::spawn(connection);
    in_time("an answer", sender.send_request(request)).await.expect("an answer")
}

async fn whole(response: http::Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = in_time("a body", body.collect()).await.expect("a whole body").to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

impl Door {
    pub async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        whole(self.begin(method, path, headers).await).await
    }

    /// The header; the body is still to be read.
    pub async fn begin(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> http::Response<Incoming> {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "a.test");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(self.traffic, request.body(Full::default()).expect("valid")).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[]).await
    }

    /// A request under way.
    pub fn getting(&self, path: &'static str) -> tokio::task::JoinHandle<Answer> {
        let door = *self;
        tokio::spawn(async move { door.get(path).await })
    }

    pub async fn order(&self, body: &str, token: Option<&str>) -> Answer {
        self.tell("POST", "/v1/invalidations", body, token).await
    }

    pub async fn tell(&self, method: &str, path: &str, body: &str, token: Option<&str>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "control");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::from(body.to_owned())).expect("valid");
        whole(send(self.control, request).await).await
    }

    /// Purges a path of `a.test`; gives the outcome.
    pub async fn purge(&self, seq: u64, mode: &str, path: &str) -> String {
        self.invalidate("log", seq, mode, &format!(r#"{{"url":{{"host":"a.test","paths":["{path}"]}}}}"#)).await
    }

    /// Purges as a relay does that takes the numbers of copies; gives the outcome as it is written.
    pub async fn counted(&self, seq: u64, mode: &str, target: &str) -> String {
        let body = format!(
            r#"{{"log":"log","upto":{seq},"invalidations":[{{"seq":{seq},"mode":"{mode}","target":{target}}}]}}"#
        );
        let answer = self.tell("POST", "/v1/invalidations?copies", &body, None).await;
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        answer["outcomes"][0].to_string()
    }

    /// Purges a directory of `a.test`; gives the outcome.
    pub async fn purge_below(&self, seq: u64, mode: &str, directory: &str) -> String {
        let target = format!(r#"{{"prefix":{{"host":"a.test","paths":["{directory}"]}}}}"#);
        self.invalidate("log", seq, mode, &target).await
    }

    pub async fn invalidate(&self, log: &str, seq: u64, mode: &str, target: &str) -> String {
        let body = format!(
            r#"{{"log":"{log}","upto":{seq},"invalidations":[{{"seq":{seq},"mode":"{mode}","target":{target}}}]}}"#
        );
        let answer = self.order(&body, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        answer["outcomes"][0].as_str().expect("an outcome").to_owned()
    }

    pub async fn status(&self) -> serde_json::Value {
        let request = Request::builder().uri("/v1/status").header("host", "control");
        let answer = whole(send(self.control, request.body(Full::default()).expect("valid")).await).await;
        assert_eq!(answer.status, 200);
        serde_json::from_slice(&answer.body).expect("JSON")
    }
}

/// A fetch begins, a purge comes, the content changes, the fetch ends. What does the next request get?
pub async fn content_after_a_fetch_that_a_purge_overtook(door: Door, origin: &Origin, purge: Overtaking) -> String {
    let gate = Gate::closed();
    origin.put("/over/taken", Page::fresh("v1").held(&gate));
    let old = door.getting("/over/taken");
    gate.reached(1).await;
    match purge {
        Overtaking::Url => door.purge(1, "delete", "/over/taken").await,
        Overtaking::Directory => door.purge_below(1, "delete", "/over").await,
    };
    origin.put("/over/taken", Page::fresh("v2"));
    gate.open();
    assert_eq!(old.await.expect("no panic").text(), "v1");
    door.get("/over/taken").await.text().to_owned()
}

/// What the purge names.
#[derive(Clone, Copy, Debug)]
pub enum Overtaking {
    Url,
    Directory,
}
