//! Parameters behind a right signature, in each form, read by each action.

use bytes::Bytes;
use catharsis_tcapi::cdn::{self, Action};
use catharsis_tcapi::client::{Credentials, Moment, SignForm, Signer};
use catharsis_tcapi::params::Params;
use catharsis_tcapi::v1::HmacMethod;
use catharsis_tcapi::{ErrorCode, RequestParts, SecretId, SecretKey, WireError};
use http::Request;

use crate::call::through;
use crate::outcome::{Read, assert_refusal, read};
use crate::planted;
use crate::raw::Raw;
use crate::signing::{DAY, HOST, NOW, SECRET, SECRET_ID, Tc3, V1Method, v1};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// How the parameters travel; the first byte of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Tc3Post,
    Tc3Unsigned,
    Tc3Get,
    V1Get(V1Method),
    V1Post(V1Method),
}

/// `data` is a letter for the form, the action's name, a line's end, and the parameters as they would travel. A request signed by the documented
/// algorithm verifies whenever it parses. What an action accepts is accepted and read alike in whatever order its pairs come, when written out as JSON,
/// and when the client's side signs it in one form or another.
pub fn signed(data: &[u8]) {
    let Some((form, action, raw)) = cut(data) else { return };
    let outcome = sent(form, action, raw);
    if let Err(error) = &outcome {
        assert_refusal(error);
    }
    if form.is_flat() {
        let backwards: Vec<&str> = raw.rsplit('&').collect();
        let other = sent(form, action, &backwards.join("&"));
        let told = |outcome: &Result<Read, WireError>| outcome.clone().map_err(|error| error.code);
        assert_eq!(told(&other), told(&outcome), "the order of pairs changes what is read");
    }
    if let Ok(request) = outcome {
        assert_written_alike(action, &request);
    }
}

impl Form {
    const fn of(letter: u8) -> Self {
        match letter % 7 {
            0 => Form::Tc3Post,
            1 => Form::Tc3Unsigned,
            2 => Form::Tc3Get,
            3 => Form::V1Get(V1Method::Sha1),
            4 => Form::V1Get(V1Method::Sha256),
            5 => Form::V1Post(V1Method::Sha1),
            _ => Form::V1Post(V1Method::Sha256),
        }
    }

    const fn is_flat(self) -> bool {
        match self {
            Form::Tc3Post | Form::Tc3Unsigned => false,
            Form::Tc3Get | Form::V1Get(_) | Form::V1Post(_) => true,
        }
    }
}

/// An unknown name stands for some action, so that few inputs are lost.
fn cut(data: &[u8]) -> Option<(Form, Action, &str)> {
    let text = std::str::from_utf8(data).ok()?;
    let (head, raw) = text.split_once('\n')?;
    let (letter, name) = head.as_bytes().split_first()?;
    let known = Action::ALL.into_iter().find(|action| action.as_str().as_bytes() == name);
    let some = name.iter().map(|&byte| usize::from(byte)).sum::<usize>() % Action::ALL.len();
    Some((Form::of(*letter), known.unwrap_or(Action::ALL[some]), raw))
}

/// The request with the parameters as they are, signed by the documented algorithm and handed to the server.
fn sent(form: Form, action: Action, raw: &str) -> Result<Read, WireError> {
    let request = match form {
        Form::Tc3Post => tc3("POST", action, "", raw.as_bytes(), JSON, raw.as_bytes()),
        Form::Tc3Unsigned => tc3("POST", action, "", raw.as_bytes(), JSON, UNSIGNED.as_bytes()),
        Form::Tc3Get => tc3("GET", action, raw, b"", FORM, b""),
        Form::V1Get(method) => {
            let query = v1("GET", method, action.as_str(), raw);
            Raw::new("GET", Some(&query), &[("host", HOST)], b"")
        }
        Form::V1Post(method) => {
            let body = v1("POST", method, action.as_str(), raw);
            Raw::new("POST", None, &[("host", HOST), ("content-type", FORM)], body.as_bytes())
        }
    };
    let call = request.call()?;
    let outcome = through(&call);
    let refused = outcome.as_ref().is_err_and(|error| error.code == ErrorCode::AuthSignatureFailure);
    assert!(!refused, "a right signature is refused: {request:?}");
    outcome
}

fn tc3(method: &str, action: Action, query: &str, body: &[u8], content_type: &str, payload: &[u8]) -> Raw {
    let signed = [("content-type", content_type), ("host", HOST)];
    let day = DAY;
    let tc3 = Tc3 { method, query, headers: &signed, payload, timestamp: NOW, day, service: cdn::PRODUCT };
    let authorization = tc3.authorization();
    let mut headers = vec![
        ("content-type", content_type),
        ("host", HOST),
        ("authorization", &authorization),
        ("x-tc-action", action.as_str()),
        ("x-tc-version", cdn::VERSION),
        ("x-tc-timestamp", "1551113065"),
    ];
    if payload == UNSIGNED.as_bytes() {
        headers.push(("x-tc-content-sha256", UNSIGNED));
    }
    Raw::new(method, (method == "GET").then_some(query), &headers, body)
}

/// Written out as JSON, and signed by the client's side in each form, the request is read as the same one.
fn assert_written_alike(action: Action, request: &Read) {
    let text = request.json.to_string();
    let mut again = Params::from_json(text.as_bytes()).map_err(WireError::from).and_then(|params| read(action, params));
    if planted(request.shown.contains("\\u{")) {
        again = again.map(|read| Read { shown: read.shown.replace("\\u{", ""), ..read });
    }
    assert_eq!(again.as_ref(), Ok(request), "written out as {text}");
    let forms = [
        SignForm::Tc3Post,
        SignForm::Tc3PostUnsigned,
        SignForm::Tc3Get,
        SignForm::V1Get(HmacMethod::Sha1),
        SignForm::V1Post(HmacMethod::Sha256),
    ];
    // One form an input: signing in all of them would cost more than all the rest.
    let form = forms[text.len() % forms.len()];
    let (parts, body) = client(form, action, request).into_parts();
    let seen = catharsis_tcapi::Call::parse(&RequestParts::of(&parts, &body)).map_err(WireError::from);
    match seen.and_then(|call| through(&call)) {
        // A GET carries 32 KB, and percent-encoding makes three bytes of one.
        Err(error) if error.code == ErrorCode::RequestSizeLimitExceeded => {}
        outcome => assert_eq!(outcome.as_ref(), Ok(request), "signed by the client as {form:?}"),
    }
}

fn client(form: SignForm, action: Action, request: &Read) -> Request<Bytes> {
    let credentials = Credentials {
        secret_id: SecretId::parse(SECRET_ID).expect("an id"),
        secret_key: SecretKey::new(SECRET),
        token: None,
    };
    let signer = Signer::new(HOST, credentials, form).expect("a host");
    let at = Moment { unix: NOW, nonce: 1 };
    signer.sign(action.as_str(), cdn::VERSION, &request.json, at).expect("an accepted request can be signed")
}
