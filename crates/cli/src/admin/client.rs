//! Calling the admin API.
//!
//! What this is: JSON over HTTP with a bearer credential. Questions that got no answer are repeated;
//! nothing else is, since a key that is created twice is one too many.
//! Invariant: an answer that cannot be read is not shown, since it may hold a secret.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ended::{Ended, Refusal};
use crate::transport::Transport;

const REPEATS: u32 = 2;

/// RFC 3986's unreserved characters stay.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The operator's credential.
pub(crate) struct Bearer {
    pub header: HeaderValue,
    pub text: String,
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// Calls one admin API with one credential.
#[derive(Debug)]
pub(crate) struct AdminClient {
    transport: Transport,
    bearer: Bearer,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    error: Told,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    code: String,
    message: String,
    request_id: Option<String>,
}

/// A path below `/v1`, each segment percent-encoded.
pub(crate) fn path(segments: &[&dyn Display]) -> String {
    let encoded = segments.iter().map(|segment| utf8_percent_encode(&segment.to_string(), ENCODED).to_string());
    format!("/v1/{}", encoded.collect::<Vec<_>>().join("/"))
}

impl AdminClient {
    pub(crate) const fn new(transport: Transport, bearer: Bearer) -> Self {
        Self { transport, bearer }
    }

    /// Asks for what stands at a path (with a query, perhaps).
    ///
    /// # Errors
    /// [`Ended::Refused`] or [`Ended::Network`].
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Ended> {
        let mut repeated = 0;
        loop {
            match self.once(&Method::GET, path, Bytes::new()).await {
                Err(Ended::Network(_)) if repeated < REPEATS => {
                    repeated += 1;
                    tokio::time::sleep(Duration::from_millis(250) * repeated).await;
                }
                ended => return ended,
            }
        }
    }

    /// Asks for a list, part by part: an answer with `Next` goes on behind what that names.
    ///
    /// # Errors
    /// [`Ended::Refused`] or [`Ended::Network`].
    pub(crate) async fn list(&self, path: &str) -> Result<Value, Ended> {
        let mut whole = self.get(path).await?;
        let joint = if path.contains('?') { '&' } else { '?' };
        while let Some(after) = take_next(&mut whole) {
            let part = self.get(&format!("{path}{joint}after={}", utf8_percent_encode(&after, ENCODED))).await?;
            if part["Next"].as_str() == Some(&after) {
                return Err(self.transport.silent(&format!("its list does not go on behind {after}")));
            }
            append(&mut whole, part);
        }
        Ok(whole)
    }

    /// Changes something; `Null` when the answer has no body.
    ///
    /// # Errors
    /// [`Ended::Refused`], or [`Ended::Network`], in which case it is unknown whether it was done.
    pub(crate) async fn change(&self, method: Method, path: &str, body: &impl Serialize) -> Result<Value, Ended> {
        let body = serde_json::to_vec(body).map_err(|error| Ended::Usage(error.to_string()))?;
        self.send(&method, path, body.into()).await
    }

    /// Changes something, with nothing to say about it.
    ///
    /// # Errors
    /// As of [`AdminClient::change`].
    pub(crate) async fn touch(&self, method: Method, path: &str) -> Result<Value, Ended> {
        self.send(&method, path, Bytes::new()).await
    }

    async fn send(&self, method: &Method, path: &str, body: Bytes) -> Result<Value, Ended> {
        self.once(method, path, body).await.map_err(|ended| match ended {
            Ended::Network(why) => Ended::Network(format!(
                "{why}. It is unknown whether {method} {path} was carried out: look before you try again"
            )),
            ended @ (Ended::Failed(_)
            | Ended::Usage(_)
            | Ended::Refused(_)
            | Ended::TimedOut(_)
            | Ended::Output(_)
            | Ended::NotVerified(_)) => ended,
        })
    }

    async fn once(&self, method: &Method, path: &str, body: Bytes) -> Result<Value, Ended> {
        let mut request = Request::builder().method(method).uri(path).header(AUTHORIZATION, self.bearer.header.clone());
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let request = request.body(body).map_err(|error| Ended::Usage(error.to_string()))?;
        let (status, body) = self.transport.exchange(request).await?;
        self.read(status, &body)
    }

    fn read(&self, status: StatusCode, body: &[u8]) -> Result<Value, Ended> {
        if status.is_success() {
            if body.is_empty() {
                return Ok(Value::Null);
            }
            // The reader's own words would repeat what it read.
            return serde_json::from_slice(body).map_err(|error| {
                let place = format!("line {}, column {}", error.line(), error.column());
                self.transport.silent(&format!("the answer (HTTP {}) is not JSON at {place}", status.as_u16()))
            });
        }
        match serde_json::from_slice::<Failure>(body) {
            Ok(Failure { error }) => Err(Ended::Refused(Refusal {
                code: error.code,
                // A server has no reason to repeat the credential; one that does is not helped.
                message: error.message.replace(&self.bearer.text, "(secret)"),
                request_id: error.request_id,
            })),
            Err(_) => {
                Err(self.transport.silent(&format!("HTTP {} without an error of the admin API", status.as_u16())))
            }
        }
    }
}

/// What the next part of a list begins behind; the list forgets it.
fn take_next(list: &mut Value) -> Option<String> {
    match list.as_object_mut()?.remove("Next")? {
        Value::String(after) => Some(after),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Puts the rows of a part behind those of the parts before it.
fn append(whole: &mut Value, part: Value) {
    let (Value::Object(whole), Value::Object(part)) = (whole, part) else { return };
    for (name, value) in part {
        match (whole.get_mut(&name), value) {
            (Some(Value::Array(rows)), Value::Array(more)) => rows.extend(more),
            (_, value) => {
                whole.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_stays_one_segment_of_the_path() {
        assert_eq!(path(&[&"accounts", &7, &"policies", &"a/b?c#中"]), "/v1/accounts/7/policies/a%2Fb%3Fc%23%E4%B8%AD");
    }
}
