//! The `Authorization` header of TC3, alone: its grammar, and what its signature binds.

use catharsis_tcapi::cdn::{self, Action};
use catharsis_tcapi::{Call, ErrorCode};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use crate::call::verified;
use crate::outcome::{assert_code, assert_refusal};
use crate::planted;
use crate::raw::Raw;
use crate::signing::{DAY, HOST, NOW, Tc3};

const BODY: &[u8] = br#"{"Urls": ["http://www.test.com/1.jpg"]}"#;
const JSON: &str = "application/json";

/// What a request with a wrong header may be answered.
const CODES: [ErrorCode; 3] =
    [ErrorCode::AuthInvalidAuthorization, ErrorCode::AuthInvalidSecretId, ErrorCode::UnsupportedProtocol];

/// `data` is the header's value in a request that is right otherwise. What is accepted without being signed anew says what the right header says;
/// what parses verifies once it is signed by the documented algorithm, exactly when its scope is of the request's day and product.
pub fn authorization(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let mut request = request();
    request.headers.insert(AUTHORIZATION, value);
    let call = match request.call() {
        Ok(call) => call,
        Err(error) => return assert_code(&error, &CODES),
    };
    let text = std::str::from_utf8(data).expect("a header that is no text does not parse");
    let sent = Fields::cut(text).expect("a header that parses has three parts");
    assert_eq!(call.secret_id().as_str(), sent.secret_id);
    assert_eq!(call.service(), Some(sent.service));
    if verifies(&call) || planted(sent.day == "2019-02-26") {
        let right = plain().authorization();
        // The id only tells which key to look up; the signature does not cover it.
        let right = Fields { secret_id: sent.secret_id, ..Fields::cut(&right).expect("three parts") };
        assert_eq!(sent, right, "a signature binds the rest");
    }
    resigned(&request.headers, &sent);
}

/// A request that is right, but for its `Authorization`.
fn request() -> Raw {
    let headers = [
        ("content-type", JSON),
        ("host", HOST),
        ("x-tc-action", Action::PurgeUrlsCache.as_str()),
        ("x-tc-version", cdn::VERSION),
        ("x-tc-timestamp", "1551113065"),
        ("x-tc-language", "zh-CN"),
    ];
    Raw::new("POST", None, &headers, BODY)
}

fn plain() -> Tc3<'static> {
    Tc3 {
        method: "POST",
        query: "",
        headers: &[("content-type", JSON), ("host", HOST)],
        payload: BODY,
        timestamp: NOW,
        day: DAY,
        service: cdn::PRODUCT,
    }
}

fn verifies(call: &Call) -> bool {
    let outcome = verified(call, NOW);
    if let Err(error) = &outcome {
        assert_refusal(&error.clone().into());
    }
    outcome.is_ok()
}

/// The same scope and list of headers, signed with the key.
fn resigned(headers: &HeaderMap, sent: &Fields<'_>) {
    let value_of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signed: Option<Vec<_>> = sent.signed_headers.split(';').map(|name| Some((name, value_of(name)?))).collect();
    let signed = signed.expect("each signed header is in the request");
    if signed.iter().any(|(name, _)| *name == AUTHORIZATION.as_str()) {
        // It cannot cover itself: the value that is signed would be another one than that which is sent.
        return;
    }
    let tc3 = Tc3 { headers: &signed, day: sent.day, service: sent.service, ..plain() };
    let mut again = request();
    let header = HeaderValue::from_str(&tc3.authorization()).expect("made of parts that were one");
    again.headers.insert(AUTHORIZATION, header);
    let call = again.call().expect("the same scope and list of headers parse");
    // The first label of the host is the product's name, and hosts have no case.
    let of_product = sent.service.eq_ignore_ascii_case(cdn::PRODUCT);
    assert_eq!(verifies(&call), sent.day == DAY && of_product, "{tc3:?}");
}

/// What the header says, whatever the order of its parts and the blanks between them.
#[derive(Debug, PartialEq, Eq)]
struct Fields<'a> {
    secret_id: &'a str,
    day: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Fields<'a> {
    fn cut(header: &'a str) -> Option<Self> {
        let rest = header.trim().strip_prefix("TC3-HMAC-SHA256")?;
        let part = |name: &str| {
            let mut values = rest.split(',').filter_map(|part| part.trim().strip_prefix(name));
            values.next().and_then(|value| value.trim().strip_prefix('=')).map(str::trim)
        };
        let scope: Vec<&str> = part("Credential")?.split('/').collect();
        let &[secret_id, day, service, "tc3_request"] = scope.as_slice() else { return None };
        Some(Self { secret_id, day, service, signed_headers: part("SignedHeaders")?, signature: part("Signature")? })
    }
}
