//! A whole request, as text: parsed, timed, verified with a known key, and read by the action it names.

use catharsis_tcapi::call::{Verified, VerifyRules};
use catharsis_tcapi::cdn::{self, Action};
use catharsis_tcapi::limits::{MAX_ACTION, MAX_HOST, MAX_REQUEST_CLIENT, MAX_SKEW_SECONDS, MAX_TRACE_ID};
use catharsis_tcapi::tc3::UnsignedPayload;
use catharsis_tcapi::{AuthError, Call, SecretId, SecretKey, WireError, request};

use crate::outcome::{Read, assert_refusal, read};
use crate::planted;
use crate::raw::Raw;
use crate::signing::SECRET;

/// What a deployer takes here: the product's name, unsigned payloads as at the vendor.
pub(crate) const RULES: VerifyRules<'static> =
    VerifyRules { product: cdn::PRODUCT, unsigned_payload: UnsignedPayload::Accept };

/// `data` is the text of an HTTP/1.1 request. Each refusal is well formed; each field of an accepted call keeps its documented rule; the clock is
/// checked to the second; another key neither verifies nor changes a word of the refusal.
pub fn call(data: &[u8]) {
    let raw = Raw::cut(data);
    let limit = request::body_limit(&raw.method, &raw.headers);
    match raw.call() {
        Err(error) => assert_refusal(&told(error)),
        Ok(call) => {
            let limit = limit.expect("a method and content type that pass have a limit");
            assert!(raw.body.len() <= limit, "{} bytes of body pass a limit of {limit}", raw.body.len());
            assert_fields(&call);
            if let Err(error) = through(&call) {
                assert_refusal(&told(error));
            }
        }
    }
}

/// The error as it is.
fn told(mut error: WireError) -> WireError {
    if planted(error.message.contains("\\u{")) {
        error.message = error.message.replace("\\u{", "\u{1b}");
    }
    error
}

/// From the clock to the action's own request, with the key that the targets know, at the second that the request speaks of.
pub(crate) fn through(call: &Call) -> Result<Read, WireError> {
    let now = call.timestamp();
    let skew = i64::try_from(MAX_SKEW_SECONDS).expect("minutes");
    assert!(call.timely(now - skew).is_ok() && call.timely(now + skew).is_ok(), "five minutes are allowed");
    assert!(call.timely(now - skew - 1).is_err() && call.timely(now + skew + 1).is_err(), "no more are");
    let action = Action::of(call)?;
    let verified = verified(call, now)?;
    read(action, verified.params()?)
}

/// The signature checked with the key that the targets know, and with another one, which can neither verify too nor change a word of the refusal.
pub(crate) fn verified(call: &Call, now: i64) -> Result<Verified<'_>, AuthError> {
    let verify = |secret| call.timely(now)?.verify(&SecretKey::new(secret), RULES);
    match (verify(SECRET), verify(&SECRET[1..])) {
        (Ok(verified), Err(_)) => Ok(verified),
        (Err(error), Err(other)) => {
            assert_eq!(error, other, "a refusal tells of the key");
            Err(error)
        }
        (Ok(_) | Err(_), Ok(_)) => panic!("another key has signed: {call:?}"),
    }
}

fn assert_fields(call: &Call) {
    let within = |text: &str, longest: usize, allowed: fn(u8) -> bool| {
        assert!((1..=longest).contains(&text.len()) && text.bytes().all(allowed), "{text:?} breaks its rule");
    };
    within(call.action(), MAX_ACTION, |b| b.is_ascii_alphanumeric());
    assert!(!call.action().starts_with(|c: char| c.is_ascii_lowercase()), "{}", call.action());
    within(call.host(), MAX_HOST, |b| b.is_ascii_graphic());
    call.trace_id().inspect(|text| within(text, MAX_TRACE_ID, |b| b.is_ascii_alphanumeric() || b == b'-'));
    call.request_client().inspect(|text| {
        within(text, MAX_REQUEST_CLIENT, |b| b.is_ascii_alphanumeric() || b"-_,;. ".contains(&b));
    });
    assert_eq!(SecretId::parse(call.secret_id().as_str()).as_ref(), Some(call.secret_id()));
    assert!((0..=catharsis_tcapi::time::MAX_UNIX).contains(&call.timestamp()));
}
