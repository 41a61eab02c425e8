//! What the official clients sent, byte for byte, is accepted and read as what they were told to send. See `captures/README.md`.

use std::path::Path;

use catharsis_tcapi::cdn::{
    Action, DescribePurgeQuotaRequest, DescribePurgeTasksRequest, Keyword, PurgeArea, PurgeUrlsCacheRequest, Request,
    Span, TaskFilter,
};
use catharsis_tcapi::{Call, WireError};

use catharsis_tcapi::tc3::UnsignedPayload;

use crate::support::Wire;

const SECRET: &str = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE";

/// A captured request, at the second that it speaks of.
fn wire(raw: &[u8]) -> Wire {
    let end = raw.windows(4).position(|w| w == b"\r\n\r\n").expect("a blank line ends the head");
    let head = std::str::from_utf8(&raw[..end]).expect("an ASCII head");
    let body = raw[end + 4..].to_vec();
    let (line, fields) = head.split_once("\r\n").expect("headers");
    let mut words = line.split(' ');
    let (method, target) = (words.next().expect("a method"), words.next().expect("a target"));
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let headers: Vec<(String, String)> =
        fields.lines().filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let header = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case("x-tc-timestamp")).map(|(_, v)| v.clone());
    let parameter = || {
        let form = query.unwrap_or_else(|| std::str::from_utf8(&body).expect("a form"));
        form.split('&').find_map(|pair| pair.strip_prefix("Timestamp=")).expect("a timestamp").to_owned()
    };
    Wire {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.map(str::to_owned),
        now: header.unwrap_or_else(parameter).parse().expect("seconds"),
        headers,
        body,
        secret: SECRET.to_owned(),
        product: "cdn".to_owned(),
        authority: None,
        unsigned_payload: UnsignedPayload::Accept,
    }
}

/// Whether the request says what the client was told to send.
fn says_what_was_meant(wire: &Wire, action: &str) -> Result<bool, WireError> {
    let known = |call: &Call| Action::of(call).map(Action::as_str);
    let urls = || (0..12).map(|n| format!("http://a.example/x y+*~'(!)%20%2F中😀&<?a=b{n}").into()).collect();
    let span = Span { start: Some(1_533_045_796), end: None };
    wire.verified(|call, params| match action {
        "purge" => {
            let meant = PurgeUrlsCacheRequest {
                area: Some(PurgeArea::Overseas),
                url_encode: true,
                ..PurgeUrlsCacheRequest::of(urls())
            };
            Ok(known(call)? == "PurgeUrlsCache" && PurgeUrlsCacheRequest::from_params(params)? == meant)
        }
        "tasks" => {
            let meant = DescribePurgeTasksRequest {
                keyword: Some(Keyword::Domain("a.example".into())),
                limit: 5,
                ..DescribePurgeTasksRequest::of(TaskFilter::Created(span))
            };
            Ok(known(call)? == "DescribePurgeTasks" && DescribePurgeTasksRequest::from_params(params)? == meant)
        }
        _ => DescribePurgeQuotaRequest::from_params(params).and(known(call)).map(|name| name == "DescribePurgeQuota"),
    })?
}

#[test]
fn the_official_clients_are_understood_in_every_form_they_offer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/captures");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the captures are there") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_stem().and_then(|n| n.to_str()).expect("a name").to_owned();
        let Some(action) = name.rsplit('_').next().filter(|_| path.extension().is_some_and(|e| e == "http")) else {
            continue;
        };
        let wire = wire(&std::fs::read(&path).expect("a readable capture"));
        assert_eq!(says_what_was_meant(&wire, action), Ok(true), "{name}");
        let stranger = wire.with(|w| w.secret.make_ascii_lowercase());
        assert!(says_what_was_meant(&stranger, action).is_err(), "{name} with another key");
        seen += 1;
    }
    assert_eq!(seen, 45, "Python 8 forms, tccli 1, Node 6, three actions each");
}
