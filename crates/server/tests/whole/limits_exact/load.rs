//! Connections that call on and on, through the death and the restart of the server.
//!
//! What this is: where the server is now, signed requests, and the moments of sending and of the end as a
//! client saw them. What this is not: a judge.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use catharsis_tcapi::auth::{SecretId, SecretKey};
use catharsis_tcapi::cdn::VERSION;
use catharsis_tcapi::client::{self, Credentials, SignForm, Signer};
use http::Request;
use http_body_util::Full;
use serde_json::Value;
use tokio::sync::watch;

use super::bucket::Moment;
use crate::support::{Connection, PATIENCE, SECRET_ID, SECRET_KEY, Server, Setup};

/// A key pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    pub(super) id: &'static str,
    pub(super) secret: &'static str,
}

/// The keys of the first account.
pub(super) const FIRST: Keys = Keys { id: SECRET_ID, secret: SECRET_KEY };

impl Keys {
    /// A signed request.
    pub(super) fn sign(self, api: SocketAddr, action: &str, parameters: &Value) -> Request<Full<Bytes>> {
        let secret_id = SecretId::parse(self.id).expect("a valid id");
        let credentials = Credentials { secret_id, secret_key: SecretKey::new(self.secret), token: None };
        let signer = Signer::new(&api.to_string(), credentials, SignForm::Tc3Post).expect("a valid host");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let at = client::Moment { unix: i64::try_from(now.as_secs()).expect("before 292 billion"), nonce: 1 };
        signer.sign(action, VERSION, parameters, at).expect("parameters of a test").map(Full::new)
    }
}

/// The server, as it is killed and started again.
pub(super) struct Victim<'a> {
    setup: &'a Setup,
    server: Server,
    began: Instant,
    api: watch::Sender<SocketAddr>,
    accepted: watch::Sender<u64>,
    /// When it was certainly gone.
    pub(super) deaths: Vec<Moment>,
    /// The shortest time from a death until it was ready again.
    pub(super) shortest_absence: Duration,
}

impl<'a> Victim<'a> {
    pub(super) fn start(setup: &'a Setup) -> Self {
        let server = setup.start();
        Self {
            setup,
            began: Instant::now(),
            api: watch::Sender::new(server.api),
            accepted: watch::Sender::new(0),
            server,
            deaths: Vec::new(),
            shortest_absence: Duration::MAX,
        }
    }

    /// A new client's view of it.
    pub(super) fn post(&self) -> Post {
        Post { began: self.began, api: self.api.subscribe(), accepted: self.accepted.clone() }
    }

    /// Waits until so many calls were reported as accepted.
    pub(super) async fn until_accepted(&self, calls: u64) {
        let mut accepted = self.accepted.subscribe();
        let reached = tokio::time::timeout(PATIENCE, accepted.wait_for(|count| *count >= calls)).await;
        reached.expect("calls go on").expect("the sender is our own");
    }

    /// Kills it and starts it again; clients hear of it with [`Self::announce`].
    pub(super) fn restart(&mut self) -> SocketAddr {
        self.server.kill();
        self.deaths.push(since(self.began));
        let dead = Instant::now();
        self.server = self.setup.start();
        self.shortest_absence = self.shortest_absence.min(dead.elapsed());
        self.server.api
    }

    /// Tells clients where it is now.
    pub(super) fn announce(&self) {
        self.api.send_replace(self.server.api);
    }

    pub(super) const fn server(&self) -> &Server {
        &self.server
    }
}

/// What a client knows.
#[derive(Clone)]
pub(super) struct Post {
    began: Instant,
    api: watch::Receiver<SocketAddr>,
    accepted: watch::Sender<u64>,
}

impl Post {
    /// Now.
    pub(super) fn now(&self) -> Moment {
        since(self.began)
    }

    /// A connection to the server, after its restart if it is dead.
    pub(super) async fn connect(&mut self) -> (SocketAddr, Connection) {
        loop {
            let api = *self.api.borrow_and_update();
            if let Ok(connection) = Connection::open(api).await {
                return (api, connection);
            }
            let restarted = tokio::time::timeout(PATIENCE, self.api.changed()).await;
            restarted.expect("a dead server is started again").expect("the run is not over");
        }
    }

    /// Sends a request: when, when its end was seen, and the answer unless the server died.
    pub(super) async fn exchange(
        &self,
        connection: &mut Connection,
        request: Request<Full<Bytes>>,
    ) -> (Moment, Moment, Option<Bytes>) {
        let sent = self.now();
        let answer = connection.send(request).await;
        (sent, self.now(), answer.ok().map(|(_status, body)| body))
    }

    /// Reports that a call was accepted.
    pub(super) fn report_accepted(&self) {
        self.accepted.send_modify(|count| *count += 1);
    }
}

fn since(began: Instant) -> Moment {
    u64::try_from(began.elapsed().as_nanos()).expect("a run lasts minutes")
}
