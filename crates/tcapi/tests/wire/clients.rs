//! What the official clients do differently from each other, each by an independent signer that only this file knows.

use catharsis_tcapi::tc3::UnsignedPayload;

use crate::support::Wire;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use catharsis_tcapi::ErrorCode;
use catharsis_tcapi::cdn::{PurgeUrlsCacheRequest, Request};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

const SECRET: &str = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE";
const NOW: i64 = 1_551_113_065;
const URL: &str = "http://a.example/x y+*~'(!)%20%2F中😀&<?a=b";

/// What a client sends and what it signs, where these differ.
struct Client {
    method: &'static str,
    query: &'static str,
    body: &'static str,
    host_sent: &'static str,
    host_signed: &'static str,
    type_sent: &'static str,
    type_signed: &'static str,
    service: &'static str,
    blanks: &'static str,
    now: i64,
    date: &'static str,
}

const PYTHON: Client = Client {
    method: "POST",
    query: "",
    body: r#"{"Urls": ["http://a.example/x y+*~'(!)%20%2F\u4e2d\ud83d\ude00&<?a=b"], "UrlEncode": true}"#,
    host_sent: "cdn.example.com:8080",
    host_signed: "cdn.example.com:8080",
    type_sent: "application/json",
    type_signed: "application/json",
    service: "cdn",
    blanks: " ",
    now: NOW,
    date: "2019-02-25",
};

fn sha256(data: &str) -> String {
    Sha256::digest(data).iter().map(|b| format!("{b:02x}")).collect()
}

fn hmac(key: &[u8], data: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key");
    mac.update(data.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn send(client: &Client) -> Wire {
    let Client { method, query, body, host_sent, host_signed, type_sent, type_signed, service, blanks, now, date } =
        *client;
    let canonical = format!(
        "{method}\n/\n{query}\ncontent-type:{type_signed}\nhost:{host_signed}\n\ncontent-type;host\n{}",
        sha256(body)
    );
    let to_sign = format!("TC3-HMAC-SHA256\n{now}\n{date}/{service}/tc3_request\n{}", sha256(&canonical));
    let key = hmac(&hmac(&hmac(format!("TC3{SECRET}").as_bytes(), date), service), "tc3_request");
    let signature: String = hmac(&key, &to_sign).iter().map(|b| format!("{b:02x}")).collect();
    let authorization = format!(
        "TC3-HMAC-SHA256{blanks}Credential=AKID/{date}/{service}/tc3_request,{blanks}SignedHeaders=content-type;host,{blanks}Signature={signature}"
    );
    let headers = [
        ("host", host_sent.to_owned()),
        ("content-type", type_sent.to_owned()),
        ("authorization", authorization),
        ("x-tc-action", "purgeUrlsCache".to_owned()),
        ("x-tc-version", "2018-06-06".to_owned()),
        ("x-tc-timestamp", now.to_string()),
        ("x-tc-language", "zh-CN".to_owned()),
        ("x-tc-traceid", "8b1c6a80-0000-4000-8000-000000000001".to_owned()),
        ("X-Tc-Requestclient", "SDK_GO_1.3.166".to_owned()),
    ];
    Wire {
        method: method.to_owned(),
        path: "/".to_owned(),
        query: (!query.is_empty()).then(|| query.to_owned()),
        headers: headers.map(|(n, v)| (n.to_owned(), v)).into(),
        body: body.into(),
        secret: SECRET.to_owned(),
        now,
        product: "cdn".to_owned(),
        authority: None,
        unsigned_payload: UnsignedPayload::Accept,
    }
}

#[track_caller]
fn purges_the_url(wire: &Wire) {
    let request = wire.verified(|_, params| {
        PurgeUrlsCacheRequest::from_params(params).map(|r| (r.urls[0].clone().into_owned(), r.url_encode))
    });
    assert_eq!(request, Ok(Ok((URL.to_owned(), true))));
}

#[test]
fn python_signs_what_it_sends() {
    purges_the_url(&send(&PYTHON));
    let seen = send(&PYTHON).verified(|call, _| {
        format!("{} {:?} {:?} {:?}", call.action(), call.language(), call.trace_id(), call.request_client())
    });
    let expected = r#"PurgeUrlsCache Chinese Some("8b1c6a80-0000-4000-8000-000000000001") Some("SDK_GO_1.3.166")"#;
    assert_eq!(seen.as_deref(), Ok(expected));
}

#[test]
fn tccli_sends_a_scheme_in_its_host() {
    purges_the_url(&send(&Client {
        host_sent: "http://127.0.0.1:18080",
        host_signed: "http://127.0.0.1:18080",
        ..PYTHON
    }));
}

#[test]
fn node_signs_the_host_without_its_port_and_takes_the_service_from_the_endpoint() {
    let node = Client {
        body: r#"{"Urls":["http://a.example/x y+*~'(!)%20%2F中😀&<?a=b"],"UrlEncode":true}"#,
        host_sent: "127.0.0.1:18080",
        host_signed: "127.0.0.1",
        service: "127",
        ..PYTHON
    };
    purges_the_url(&send(&node));
    let get = Client {
        method: "GET",
        query: "Urls.0=http%3A%2F%2Fa.example%2Fx%20y%2B*~%27(!)%2520%252F%E4%B8%AD%F0%9F%98%80%26%3C%3Fa%3Db&UrlEncode=true",
        body: "",
        type_sent: "application/x-www-form-urlencoded",
        type_signed: "application/x-www-form-urlencoded",
        ..node
    };
    purges_the_url(&send(&get));
    purges_the_url(&send(&Client {
        host_sent: "localhost:18080",
        host_signed: "localhost",
        service: "localhost:18080",
        ..node
    }));
}

#[test]
fn go_escapes_html_characters_and_encodes_blanks_as_plus() {
    purges_the_url(&send(&Client {
        body: r#"{"Urls":["http://a.example/x y+*~'(!)%20%2F中😀\u0026\u003c?a=b"],"UrlEncode":true}"#,
        ..PYTHON
    }));
    purges_the_url(&send(&Client {
        method: "GET",
        query: "UrlEncode=true&Urls.0=http%3A%2F%2Fa.example%2Fx+y%2B%2A~%27%28%21%29%2520%252F%E4%B8%AD%F0%9F%98%80%26%3C%3Fa%3Db",
        body: "",
        type_sent: "application/x-www-form-urlencoded",
        type_signed: "application/x-www-form-urlencoded",
        ..PYTHON
    }));
}

#[test]
fn dot_net_and_java_vary_blanks_and_charset() {
    purges_the_url(&send(&Client { blanks: "  ", ..PYTHON }));
    purges_the_url(&send(&Client {
        type_signed: "application/json; charset=utf-8",
        type_sent: "application/json; charset=utf-8",
        ..PYTHON
    }));
    purges_the_url(&send(&Client { type_signed: "application/json; charset=utf-8", ..PYTHON }));
    let all_at_once = Client {
        type_signed: "application/json; charset=utf-8",
        host_sent: "CDN.example.com:80",
        host_signed: "cdn.example.com",
        ..PYTHON
    };
    purges_the_url(&send(&all_at_once));
}

#[test]
fn another_host_service_or_port_is_none_of_these_variations() {
    for other in [
        Client { host_signed: "cdn.example.com:8081", ..PYTHON },
        Client { host_signed: "example.com", ..PYTHON },
        Client { type_signed: "text/plain", ..PYTHON },
        Client { service: "cvm", ..PYTHON },
        Client { service: "", ..PYTHON },
    ] {
        assert_eq!(send(&other).refusal(), ErrorCode::AuthSignatureFailure);
    }
}

#[test]
fn the_scopes_date_is_the_utc_day_of_the_timestamp_not_the_local_one() {
    // 16:00 UTC on the 25th is already the 26th in UTC+8; the signature itself holds.
    assert_eq!(send(&Client { date: "2019-02-26", ..PYTHON }).refusal(), ErrorCode::AuthSignatureFailure);
    let before_midnight = Client { now: 1_551_139_199, ..PYTHON };
    assert_eq!(send(&before_midnight).with(|w| w.now += 60).accepted(), Ok(()));
    let after_midnight = Client { now: 1_551_139_200, date: "2019-02-26", ..PYTHON };
    assert_eq!(send(&after_midnight).with(|w| w.now -= 60).accepted(), Ok(()));
}

/// A v1 request: what is signed, how it is encoded, and what follows the signature's base64.
fn v1(
    pairs: &[(&str, &str)],
    leave_out_empty: &dyn Fn(&str) -> bool,
    encode: &dyn Fn(&str) -> String,
    after: &str,
) -> Wire {
    let mut pairs = pairs.to_vec();
    let now = NOW.to_string();
    pairs.extend([
        ("Action", "PurgeUrlsCache"),
        ("Version", "2018-06-06"),
        ("Timestamp", &now),
        ("Nonce", "0"),
        ("SecretId", "AKID"),
    ]);
    pairs.sort_unstable();
    let signed: Vec<String> =
        pairs.iter().filter(|(_, v)| !leave_out_empty(v)).map(|(n, v)| format!("{n}={v}")).collect();
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).expect("any key");
    mac.update(format!("POSTcdn.example.com:8080/?{}", signed.join("&")).as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes()) + after;
    pairs.push(("Signature", &signature));
    let body: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={}", encode(v))).collect();
    let mut wire = send(&PYTHON);
    wire.headers = vec![
        ("host".into(), "cdn.example.com:8080".into()),
        ("content-type".into(), "application/x-www-form-urlencoded".into()),
    ];
    wire.body = body.join("&").into_bytes();
    wire
}

/// Percent-encoding that leaves `raw` alone and writes a blank as `blank`.
fn encoder(raw: &'static str, blank: &'static str) -> impl Fn(&str) -> String {
    move |text| {
        let one = |b: u8| match b {
            b' ' => blank.to_owned(),
            b if b.is_ascii_alphanumeric() || b"-_.".contains(&b) || raw.as_bytes().contains(&b) => {
                char::from(b).to_string()
            }
            b => format!("%{b:02X}"),
        };
        text.bytes().map(one).collect()
    }
}

#[test]
fn each_clients_v1_encoding_carries_the_same_url() {
    for (raw, blank) in [("~", "+"), ("*~'()!", "%20"), ("*", "+"), ("", "+")] {
        purges_the_url(&v1(&[("Urls.0", URL), ("UrlEncode", "True")], &|_| false, &encoder(raw, blank), ""));
    }
}

#[test]
fn v1_holds_when_the_host_arrives_in_other_case_than_it_was_signed() {
    let wire = v1(&[("Urls.0", URL), ("UrlEncode", "true")], &|_| false, &encoder("~", "+"), "");
    purges_the_url(&wire.with(|w| *w.header("host") = "CDN.example.com:8080".into()));
    assert_eq!(wire.with(|w| *w.header("host") = "cdn.example.com".into()).refusal(), ErrorCode::AuthSignatureFailure);
}

#[test]
fn old_go_leaves_empty_values_out_and_ruby_ends_its_signature_with_a_newline() {
    let pairs = [("Urls.0", URL), ("UrlEncode", "true"), ("Region", ""), ("RequestClient", "")];
    purges_the_url(&v1(&pairs, &|_| false, &encoder("~", "+"), ""));
    purges_the_url(&v1(&pairs, &str::is_empty, &encoder("~", "+"), ""));
    purges_the_url(&v1(&pairs, &str::is_empty, &encoder("~", "+"), "\n"));
}
