//! Reading request bodies within bounds.
//!
//! What this is: one body is bounded by its form, all bodies together by a budget, and the time to
//! send one by a limit. Invariant: memory for a body is taken from the budget before it is read.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use tokio::sync::{Semaphore, SemaphorePermit};

use catharsis_tcapi::code::{ErrorCode, WireError};
use catharsis_tcapi::request::body_limit;

/// The budget is counted in pages, since a semaphore's permits are 32-bit numbers at once.
const PAGE: usize = 4_096;

/// The memory for all bodies that are being read or worked on.
#[derive(Debug)]
pub(super) struct BodyBudget {
    pages: Semaphore,
    total: usize,
    timeout: Duration,
}

/// A body, and its share of the budget until it is dropped.
#[derive(Debug)]
pub(super) struct HeldBody<'a> {
    /// The bytes.
    pub bytes: Bytes,
    _share: SemaphorePermit<'a>,
}

impl BodyBudget {
    /// A budget of so many bytes (at least one largest body), and the time in which a body, its
    /// wait for the budget included, must have arrived.
    #[must_use]
    pub(super) fn new(bytes: usize, timeout: Duration) -> Self {
        let largest = catharsis_tcapi::limits::MAX_JSON_BODY;
        let total = bytes.max(largest).div_ceil(PAGE).min(Semaphore::MAX_PERMITS);
        Self { pages: Semaphore::new(total), total, timeout }
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    /// `RequestSizeLimitExceeded` when it is larger than its form allows, `InvalidRequest` when it
    /// does not arrive whole and in time.
    pub(super) async fn read(&self, parts: &Parts, body: Incoming) -> Result<HeldBody<'_>, WireError> {
        let limit = body_limit(parts.method.as_str(), &parts.headers)?;
        // A length that is announced is refused before anything is read; one that is not (chunked)
        // is counted as the largest.
        let announced = usize::try_from(body.size_hint().upper().unwrap_or(limit as u64)).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_large(limit));
        }
        let pages = u32::try_from(announced.div_ceil(PAGE).min(self.total)).unwrap_or(u32::MAX);
        let arrive = async {
            let share = self.pages.acquire_many(pages).await.map_err(|_| incomplete("the server is stopping"))?;
            let collected = Limited::new(body, limit).collect().await;
            let bytes = collected
                .map_err(|error| {
                    if error.is::<http_body_util::LengthLimitError>() {
                        too_large(limit)
                    } else {
                        incomplete("the connection ended within it")
                    }
                })?
                .to_bytes();
            Ok(HeldBody { bytes, _share: share })
        };
        tokio::time::timeout(self.timeout, arrive)
            .await
            .unwrap_or_else(|_| Err(incomplete("it did not arrive in time")))
    }
}

fn too_large(limit: usize) -> WireError {
    let text = format!("The request body is larger than the {limit} bytes that its method and content type allow.");
    WireError::new(ErrorCode::RequestSizeLimitExceeded, text)
}

fn incomplete(why: &str) -> WireError {
    WireError::new(ErrorCode::InvalidRequest, format!("The request body is incomplete: {why}."))
}
