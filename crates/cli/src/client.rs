//! Calling the public API.
//!
//! What this is: a signed call that waits out rate limits and repeats what got no answer, a few
//! times. Repeating is harmless: a purge that is replayed purges again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use catharsis_tcapi::cdn::{Action, VERSION};
use catharsis_tcapi::client::{Moment, SignForm, Signer};
use catharsis_tcapi::code::ErrorCode;
use catharsis_tcapi::envelope::{self, AnswerError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::console::Console;
use crate::ended::Ended;
use crate::settings::Connection;
use crate::transport::Transport;

/// Calls of one action a second are limited; a large list is sent as fast as that allows.
const RATE_RETRIES: u32 = 60;
const NETWORK_RETRIES: u32 = 2;

/// Calls one endpoint with one key.
#[derive(Debug)]
pub(crate) struct Client {
    transport: Transport,
    signer: Signer,
}

impl Client {
    /// A client of the connection's endpoint.
    ///
    /// # Errors
    /// When the settings or the certificates cannot be used.
    pub(crate) fn new(connection: &Connection, console: &mut Console) -> Result<Self, Ended> {
        let (endpoint, credentials) = connection.resolve(console)?;
        let signer = Signer::new(&endpoint.authority, credentials, SignForm::Tc3Post)
            .map_err(|error| Ended::Usage(error.to_string()))?;
        Ok(Self { transport: Transport::new(endpoint, connection.ca_file.as_deref())?, signer })
    }

    /// Calls an action.
    ///
    /// # Errors
    /// [`Ended::Refused`] with the API's code, or [`Ended::Network`] when there was no answer of the
    /// API, in which case it is unknown whether the call was carried out.
    pub(crate) async fn call<T: DeserializeOwned>(&self, action: Action, request: &impl Serialize) -> Result<T, Ended> {
        let limited_code = ErrorCode::RequestLimitExceeded.to_string();
        let (mut limited, mut unanswered) = (0, 0);
        loop {
            match self.once(action, request).await {
                Ok(fields) => return Ok(fields),
                Err(Ended::Refused(refusal)) if refusal.code == limited_code && limited < RATE_RETRIES => {
                    limited += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(Ended::Network(_)) if unanswered < NETWORK_RETRIES => {
                    unanswered += 1;
                    tokio::time::sleep(Duration::from_millis(250) * unanswered).await;
                }
                Err(ended) => return Err(ended),
            }
        }
    }

    async fn once<T: DeserializeOwned>(&self, action: Action, request: &impl Serialize) -> Result<T, Ended> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = Moment { unix: i64::try_from(now.as_secs()).unwrap_or(i64::MAX), nonce: rand::random() };
        let signed =
            self.signer.sign(action.as_str(), VERSION, request, at).map_err(|error| Ended::Usage(error.to_string()))?;
        let (_status, body) = self.transport.exchange(signed).await?;
        match envelope::parse(&body) {
            Ok(answer) => Ok(answer.fields),
            Err(AnswerError::Api(error)) => Err(Ended::Refused(error.into())),
            Err(error @ AnswerError::Foreign { .. }) => Err(self.transport.silent(&error.to_string())),
        }
    }
}
