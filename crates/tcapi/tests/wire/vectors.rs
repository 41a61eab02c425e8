//! The published signature vectors, and those computed beside them, go through the whole of parsing and verification; and each of them fails as soon
//! as one byte of what it signs is another.

use catharsis_tcapi::tc3::UnsignedPayload;

use crate::support::Wire;
use catharsis_tcapi::ErrorCode;

const EXAMPLE: &str = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE";
const STARRED: &str = "Gu5t9xGARNpq86cd98joQYCN3*******";
const ASTERISKS: &str = "********************************";
const FILTERS: &str = r#"{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}"#;
const URLS: &str = r#"{"Urls": ["http://www.test.com/1.jpg"]}"#;
const JSON_UTF8: &str = "application/json; charset=utf-8";
const FORM: &str = "application/x-www-form-urlencoded";
const ID: &str = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE";

struct Tc3<'a> {
    secret: &'a str,
    service: &'a str,
    content_type: &'a str,
    signed: &'a str,
    signature: &'a str,
}

fn tc3(vector: &Tc3<'_>) -> Wire {
    let Tc3 { secret, service, content_type, signed, signature } = *vector;
    let authorization = format!(
        "TC3-HMAC-SHA256 Credential={ID}/2019-02-25/{service}/tc3_request, SignedHeaders={signed}, Signature={signature}"
    );
    let headers = [
        ("Host", format!("{service}.tencentcloudapi.com")),
        ("Content-Type", content_type.to_owned()),
        ("Authorization", authorization),
        ("X-TC-Action", if service == "cvm" { "DescribeInstances".to_owned() } else { "PurgeUrlsCache".to_owned() }),
        ("X-TC-Version", "2018-06-06".to_owned()),
        ("X-TC-Timestamp", "1551113065".to_owned()),
    ];
    Wire {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        query: None,
        headers: headers.map(|(n, v)| (n.to_owned(), v)).into(),
        body: if service == "cvm" { FILTERS } else { URLS }.into(),
        secret: secret.to_owned(),
        now: 1_551_113_065,
        product: service.to_owned(),
        authority: None,
        unsigned_payload: UnsignedPayload::Accept,
    }
}

fn published() -> Vec<Wire> {
    let both = "content-type;host";
    let three = "content-type;host;x-tc-action";
    [
        (EXAMPLE, both, "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"),
        (STARRED, both, "2230eefd229f582d8b1b891af7107b91597240707d778ab3738f756258d7652c"),
        (STARRED, three, "be4f67d323c78ab9acb7395e43c0dbcf822a9cfac32fea2449a7bc7726b770a3"),
        (ASTERISKS, three, "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f"),
    ]
    .map(|(secret, signed, signature)| tc3(&Tc3 { secret, service: "cvm", content_type: JSON_UTF8, signed, signature }))
    .into()
}

fn cdn(content_type: &str, signature: &str) -> Wire {
    tc3(&Tc3 { secret: EXAMPLE, service: "cdn", content_type, signed: "content-type;host", signature })
}

fn cdn_post() -> Wire {
    cdn("application/json", "8728f48c40bcb6fc6f756796e617b2055b57083a3d112cd1bb26380d9a587d0d")
}

fn cdn_unsigned() -> Wire {
    let mut wire = cdn("application/json", "166bbad9152d89eb67832a717f8acbae2b287ce30d8a3aa3783116ad1a36dc4d");
    wire.headers.push(("X-TC-Content-SHA256".to_owned(), "UNSIGNED-PAYLOAD".to_owned()));
    wire
}

fn cdn_get() -> Wire {
    let mut wire = cdn(FORM, "998400d47b665803c686d0d6d70efd910b2b50a47ef97b0e56daec9c1447775f");
    wire.method = "GET".to_owned();
    wire.query = Some("Urls.0=http%3A%2F%2Fwww.test.com%2F1.jpg".to_owned());
    wire.body.clear();
    wire
}

fn v1_get(host: &str, secret: &str, query: &str, signature: &str, now: i64) -> Wire {
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    Wire {
        method: "GET".to_owned(),
        path: "/".to_owned(),
        query: Some(format!("{query}&Signature={signature}")),
        headers: vec![("Host".to_owned(), host.to_owned())],
        body: Vec::new(),
        secret: secret.to_owned(),
        now,
        product: "cdn".to_owned(),
        authority: None,
        unsigned_payload: UnsignedPayload::Accept,
    }
}

fn v1_post(get: &Wire) -> Wire {
    let mut wire = get.clone();
    wire.method = "POST".to_owned();
    wire.body = wire.query.take().expect("a query").into_bytes();
    wire.headers.push(("Content-Type".to_owned(), FORM.to_owned()));
    wire
}

fn v1_instances(id: &str, secret: &str, method: &str, signature: &str) -> Wire {
    let query = format!(
        "Action=DescribeInstances&InstanceIds.0=ins-09dx96dg&Limit=20&Nonce=11886&Offset=0&Region=ap-guangzhou&SecretId={id}{method}\
         &Timestamp=1465185768&Version=2017-03-12"
    );
    v1_get("cvm.tencentcloudapi.com", secret, &query, signature, 1_465_185_768)
}

fn v1_urls(method: &str, signature: &str) -> Wire {
    let query = format!(
        "Action=PurgeUrlsCache&Nonce=11886&SecretId={ID}&SignatureMethod={method}&Timestamp=1551113065\
         &Urls.0=http%3A%2F%2Fwww.test.com%2Fa+b.jpg%3Fx%3D1%26y%3D%E4%B8%AD&Version=2018-06-06"
    );
    v1_get("cdn.tencentcloudapi.com", EXAMPLE, &query, signature, 1_551_113_065)
}

fn v1_all() -> Vec<Wire> {
    let starred_id = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3*******";
    let asterisks_id = format!("AKID{ASTERISKS}");
    vec![
        v1_instances(ID, EXAMPLE, "", "EliP9YW3pW28FpsEdkXt/+WcGeI="),
        v1_instances(starred_id, STARRED, "", "zmmjn35mikh6pM3V7sUEuX4wyYM="),
        v1_instances(&asterisks_id, ASTERISKS, "", "7RAM2xfNMO9EiVTNmPg06MRnCvQ="),
        v1_instances(ID, EXAMPLE, "&SignatureMethod=HmacSHA256", "A8uy2/o7WBZXYCTWEFpMrVGhGBVlEGIOioeqRM+fzFs="),
        v1_urls("HmacSHA256", "3kh6lDQLhQTtLCCuq5/4Hpx8DbthpgKs52OMu7pqzOc="),
        v1_urls("HmacSHA1", "NlysayLGDzsCyh3p1KFXtLWiqUU="),
        v1_post(&v1_urls("HmacSHA256", "BXxy7d1lpfmj+69t72kTOvxq9HofyPopOWYPgHkBZ/8=")),
        v1_post(&v1_urls("HmacSHA1", "MOI0qaEpzig3iIJT/mSAtZvBIaw=")),
    ]
}

fn tc3_all() -> Vec<Wire> {
    published().into_iter().chain([cdn_post(), cdn_unsigned(), cdn_get()]).collect()
}

#[test]
fn every_vector_is_accepted() {
    for wire in tc3_all().iter().chain(&v1_all()) {
        assert_eq!(wire.accepted(), Ok(()), "{wire:?}");
    }
}

#[test]
fn every_vector_with_another_last_letter_of_the_key_is_refused() {
    for wire in tc3_all().iter().chain(&v1_all()) {
        let refused = wire.with(|w| {
            w.secret.pop();
            w.secret.push('x');
        });
        assert_eq!(refused.refusal(), ErrorCode::AuthSignatureFailure);
    }
}

#[test]
fn a_changed_part_of_a_tc3_request_is_refused() {
    type Change = fn(&mut Wire);
    let changes: [(&str, Change); 10] = [
        ("host", |w| w.header("Host").replace_range(1..2, "x")),
        ("port", |w| w.header("Host").push('0')),
        ("content type", |w| w.header("Content-Type").push(';')),
        ("scope's date", |w| replace_once(w.header("Authorization"), "2019-02-25", "2019-02-26")),
        ("scope's service", |w| replace_once(w.header("Authorization"), "/tc3_request", "x/tc3_request")),
        // The server's own product now, so that only the key derived from it can tell.
        ("scope's service, product alike", |w| {
            replace_once(w.header("Authorization"), "/tc3_request", "x/tc3_request");
            w.product.push('x');
        }),
        ("timestamp", |w| replace_once(w.header("X-TC-Timestamp"), "65", "66")),
        ("signature", |w| {
            let last = w.header("Authorization").pop();
            w.header("Authorization").push(if last == Some('0') { '1' } else { '0' });
        }),
        ("signed headers", |w| replace_once(w.header("Authorization"), "host", "host;x-tc-timestamp")),
        ("method", |w| {
            w.method = if w.method == "GET" { "POST".into() } else { "GET".into() };
            w.body.clear();
            w.header("Content-Type").replace_range(.., "application/json");
        }),
    ];
    for wire in tc3_all() {
        for (part, change) in changes {
            let signed_anyway =
                part == "signed headers" && wire.headers.iter().any(|(_, v)| v.contains("host;x-tc-action"));
            let changed = wire.with(change);
            if !signed_anyway {
                assert!(changed.accepted().is_err(), "{part}: {changed:?}");
            }
        }
    }
}

#[test]
fn a_changed_body_or_query_of_a_tc3_request_is_refused() {
    for wire in published().into_iter().chain([cdn_post()]) {
        for at in 0..wire.body.len() {
            let changed = wire.with(|w| w.body[at] ^= 1);
            assert_eq!(changed.refusal(), ErrorCode::AuthSignatureFailure, "byte {at}");
        }
    }
    for (from, to) in [("1.jpg", "2.jpg"), ("%3A", ":"), ("Urls.0", "Urls.1"), ("%2F", "%2f"), ("1.jpg", "1.jpg&")] {
        let changed = cdn_get().with(|w| replace_once(w.query.as_mut().expect("a query"), from, to));
        assert_eq!(changed.refusal(), ErrorCode::AuthSignatureFailure, "{to}");
    }
}

#[test]
fn a_signed_action_cannot_be_exchanged() {
    for wire in published().iter().filter(|w| format!("{w:?}").contains("host;x-tc-action")) {
        assert_eq!(wire.with(|w| w.header("X-TC-Action").push('s')).refusal(), ErrorCode::AuthSignatureFailure);
    }
}

#[test]
fn an_unsigned_payload_leaves_the_body_open_and_nothing_else() {
    assert_eq!(cdn_unsigned().with(|w| w.body = b"{}".to_vec()).accepted(), Ok(()));
    let header_dropped = cdn_unsigned().with(|w| {
        w.headers.pop();
    });
    assert_eq!(header_dropped.refusal(), ErrorCode::AuthSignatureFailure);
}

#[test]
fn a_deployer_may_refuse_unsigned_payloads() {
    let strict = |wire: Wire| wire.with(|w| w.unsigned_payload = UnsignedPayload::Refuse);
    assert_eq!(strict(cdn_unsigned()).refusal(), ErrorCode::AuthSignatureFailure);
    assert_eq!(strict(cdn_post()).accepted(), Ok(()));
    assert_eq!(strict(cdn_get()).accepted(), Ok(()));
}

#[test]
fn the_authority_of_http2_stands_for_the_host_header() {
    for wire in tc3_all() {
        let h2 = wire.with(|w| {
            w.authority = Some(w.header("Host").clone());
            w.headers.retain(|(name, _)| name != "Host");
        });
        assert_eq!(h2.accepted(), Ok(()));
        let elsewhere = h2.with(|w| w.authority = Some("cdn.example.com".into()));
        assert!(elsewhere.accepted().is_err());
        assert_eq!(h2.with(|w| w.authority = None).refusal(), ErrorCode::UnsupportedProtocol);
    }
}

#[test]
fn a_changed_part_of_a_v1_request_is_refused() {
    for wire in v1_all() {
        assert_eq!(wire.with(|w| w.header("Host").replace_range(0..1, "x")).refusal(), ErrorCode::AuthSignatureFailure);
        let text = if wire.method == "GET" {
            wire.query.clone().expect("a query")
        } else {
            String::from_utf8(wire.body.clone()).expect("text")
        };
        for (at, byte) in text.bytes().enumerate().filter(|(_, b)| b.is_ascii_digit()) {
            let mut other = text.clone().into_bytes();
            other[at] = if byte == b'9' { b'8' } else { byte + 1 };
            let mut changed = wire.clone();
            if wire.method == "GET" {
                changed.query = String::from_utf8(other).ok()
            } else {
                changed.body = other
            };
            assert!(changed.accepted().is_err(), "byte {at} of {text}");
        }
    }
    let other_method = v1_post(&v1_urls("HmacSHA1", "NlysayLGDzsCyh3p1KFXtLWiqUU="));
    assert_eq!(other_method.refusal(), ErrorCode::AuthSignatureFailure);
}

#[test]
fn five_minutes_either_way_are_accepted_and_no_more() {
    for wire in tc3_all().iter().chain(&v1_all()) {
        for (seconds, accepted) in [(-301, false), (-299, true), (299, true), (301, false)] {
            let shifted = wire.with(|w| w.now += seconds);
            assert_eq!(
                shifted.accepted().map_err(|e| e.code),
                if accepted { Ok(()) } else { Err(ErrorCode::AuthSignatureExpire) }
            );
        }
    }
}

#[test]
fn a_mismatch_tells_the_hash_of_the_servers_canonical_request_and_no_secret() {
    let error = published().remove(0).with(|w| w.secret.push('x')).accepted().expect_err("a refusal");
    assert!(
        error.message.contains("5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031"),
        "{}",
        error.message
    );
    assert!(
        error.message.contains("35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064"),
        "{}",
        error.message
    );
    assert!(
        error
            .message
            .starts_with("The provided credentials could not be validated. Please check your signature is correct.")
    );
    assert!(!error.message.contains(EXAMPLE));
}

fn replace_once(text: &mut String, from: &str, to: &str) {
    *text = text.replacen(from, to, 1);
}
