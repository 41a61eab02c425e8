//! A service that answers as a test says and remembers what it was asked, and a command run in this
//! process against it.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use catharsis_cli::{Console, Ended};
use clap::Parser;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;

/// The operator's credential in the profile.
pub(crate) const ADMIN_TOKEN: &str = "operator-4815";

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub authorization: String,
    /// `X-TC-Action`, of the public API.
    pub action: String,
    /// `Null` for an empty one.
    pub body: Value,
}

impl Asked {
    /// Method and target.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// A profile file that names it, and the keys for it.
    profile: Arc<NamedTempFile>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Service {
    /// One that answers with status and body, until the test ends.
    pub(crate) async fn start(answer: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let mut profile = NamedTempFile::new().expect("a file");
        let text = format!(
            "[default]\nendpoint = \"{url}\"\nsecret_id = \"AKIDtest\"\nsecret_key = \"hunter2\"\n\
             admin_endpoint = \"{url}\"\nadmin_token = \"{ADMIN_TOKEN}\"\n"
        );
        profile.write_all(text.as_bytes()).expect("it is writable");
        let service = Self { profile: Arc::new(profile), asked: Arc::default() };
        let (asked, answer) = (Arc::clone(&service.asked), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                let respond = service_fn(move |request| {
                    let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                    async move {
                        let seen = read(request).await;
                        let (status, body) = answer(&seen);
                        asked.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
                        let mut response = Response::new(Full::new(Bytes::from(body)));
                        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
                        Ok::<_, std::convert::Infallible>(response)
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), respond),
                );
            }
        });
        service
    }

    /// Runs a command line in this process, with the profile of the service.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        let out = Captured::default();
        let mut ran = self.run_into(arguments, out.clone()).await;
        ran.out = out.text();
        ran
    }

    /// The same with another standard output.
    pub(crate) async fn run_into(&self, arguments: &[&str], out: impl Write + 'static) -> Ran {
        let profile = ["--profile-file", self.profile.path().to_str().expect("plain")];
        let command = ["catharsis"].iter().chain(arguments).chain(&profile);
        let command = Cli::try_parse_from(command).expect("the command line is right").command;
        let err = Captured::default();
        let result = catharsis_cli::run_on(command, &mut Console::new(out, err.clone())).await;
        Ran { result, out: String::new(), err: err.text() }
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn read(request: http::Request<Incoming>) -> Asked {
    let (parts, body) = request.into_parts();
    let header =
        |name: &str| parts.headers.get(name).map(|value| value.to_str().expect("plain").to_owned()).unwrap_or_default();
    let body = body.collect().await.expect("the client sends it whole").to_bytes();
    Asked {
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        authorization: header("authorization"),
        action: header("x-tc-action"),
        body: if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") },
    }
}

/// Whether clap finds nothing wrong with the definition of any command.
#[test]
fn every_command_is_well_defined() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

/// How a command ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Ran {
    pub result: Result<(), Ended>,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub(crate) fn status(&self) -> u8 {
        self.result.as_ref().map_or_else(Ended::status, |()| 0)
    }

    /// The one document on standard output.
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.out).expect("one JSON document")
    }
}

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: catharsis_cli::Command,
}

#[derive(Clone, Debug, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("UTF-8")
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// An output whose reader went away.
#[derive(Debug)]
pub(crate) struct ClosedPipe;

impl Write for ClosedPipe {
    fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
