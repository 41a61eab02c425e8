//! Reading request bodies within bounds.
//!
//! What this is: one body is bounded by its form, all bodies together by a budget, and the time to
//! send one by a limit. Invariant: memory for a body is taken from the budget before it is read.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{Semaphore, SemaphorePermit};

use catharsis_tcapi::code::{ErrorCode, WireError};
use catharsis_tcapi::request::body_limit;

/// The budget is counted in pages, since a semaphore's permits are 32-bit numbers at once.
const PAGE: usize = 4_096;

/// Bytes of a refused body that are still read and thrown away: most clients look for the answer only
/// after they have sent everything, and would see a broken connection instead of the reason.
const DISCARD_MAX: usize = 64 << 20;

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
        // A length that is announced is refused before it takes memory; one that is not (chunked) is
        // counted as the largest.
        let announced = usize::try_from(body.size_hint().upper().unwrap_or(limit as u64)).unwrap_or(usize::MAX);
        let arrive = async {
            if announced > limit {
                discard(body).await;
                return Err(too_large(limit));
            }
            let pages = u32::try_from(announced.div_ceil(PAGE).min(self.total)).unwrap_or(u32::MAX);
            let share = self.pages.acquire_many(pages).await.map_err(|_| incomplete("the server is stopping"))?;
            let bytes = collect(body, announced, limit).await?;
            Ok(HeldBody { bytes, _share: share })
        };
        tokio::time::timeout(self.timeout, arrive)
            .await
            .unwrap_or_else(|_| Err(incomplete("it did not arrive in time")))
    }
}

/// The whole body, if it is within the limit.
async fn collect(mut body: Incoming, announced: usize, limit: usize) -> Result<Bytes, WireError> {
    let mut bytes = BytesMut::with_capacity(if body.size_hint().exact().is_some() { announced } else { 0 });
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(incomplete("the connection ended within it")) };
        // Trailers say nothing that this API reads.
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            discard(body).await;
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// Reads on without keeping anything; the caller's time limit bounds it too.
async fn discard(mut body: Incoming) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > DISCARD_MAX {
            return;
        }
    }
}

fn too_large(limit: usize) -> WireError {
    let text = format!("The request body is larger than the {limit} bytes that its method and content type allow.");
    WireError::new(ErrorCode::RequestSizeLimitExceeded, text)
}

fn incomplete(why: &str) -> WireError {
    WireError::new(ErrorCode::InvalidRequest, format!("The request body is incomplete: {why}."))
}
