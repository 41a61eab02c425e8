//! What the official clients sent, byte for byte, is accepted and read as what they were told to send. See `captures/README.md`.

use std::borrow::Cow;
use std::path::Path;

use catharsis_tcapi::cdn::{
    Action, AddCdnDomainRequest, BackupOrigin, CacheKey, CallOptions, DescribeDomainsRequest,
    DescribePurgeQuotaRequest, DescribePurgeTasksRequest, DomainFilter, DomainFilterName, FlushType, HttpHeader,
    KeyQueryString, KeyScheme, KeySwitch, Keyword, Layer, OriginAddress, OriginConfig, OriginType, PullProtocol,
    PurgeArea, PurgePathCacheRequest, PurgeUrlsCacheRequest, PushUrlsCacheRequest, QueryAction, Request, ServiceType,
    Span, TaskArea, TaskFilter,
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

fn push() -> PushUrlsCacheRequest<'static> {
    PushUrlsCacheRequest {
        user_agent: "a b/1 (+c)".into(),
        layer: Some(Layer::Middle),
        parse_m3u8: true,
        headers: vec![
            HttpHeader { name: "X-A".into(), value: "b c+%&".into() },
            HttpHeader { name: "Accept".into(), value: "*/*".into() },
        ],
        url_encode: true,
        ..PushUrlsCacheRequest::of(vec!["http://a.example/x y+*~'(!)%20%2F中😀&<?a=b".into()], TaskArea::Global)
    }
}

fn add() -> AddCdnDomainRequest<'static> {
    let address = |text: &'static str| OriginAddress::parse(text).expect("an address");
    AddCdnDomainRequest {
        domain: "www.a.example".into(),
        service_type: ServiceType::Web,
        origin: OriginConfig {
            origins: vec![address("1.2.3.4:80:5"), address("[2001:db8::1]:443")],
            origin_type: OriginType::IpIpv6,
            server_name: Some("s.example".into()),
            pull_protocol: PullProtocol::Follow,
            backup: Some(BackupOrigin {
                origins: vec![address("b.example")],
                origin_type: OriginType::Domain,
                server_name: None,
            }),
        },
        project_id: 0,
        area: TaskArea::Global,
        // `{"FullUrlCache": "on", "KeyRules": []}`: it says what is so anyway.
        cache_key: Some(CacheKey {
            full_url_cache: KeySwitch::On,
            ignore_case: KeySwitch::Off,
            query_string: KeyQueryString {
                switch: KeySwitch::Off,
                reorder: KeySwitch::Off,
                action: QueryAction::IncludeAll,
                value: "".into(),
            },
            scheme: KeyScheme { switch: KeySwitch::Off },
        }),
        options: CallOptions::default(),
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
        "path" => {
            let path = "http://a.example/x y+*~'(!)%20%2F中😀&</";
            let meant = PurgePathCacheRequest {
                url_encode: true,
                area: Some(PurgeArea::Mainland),
                ..PurgePathCacheRequest::of(vec![path.into()], FlushType::Flush)
            };
            Ok(known(call)? == "PurgePathCache" && PurgePathCacheRequest::from_params(params)? == meant)
        }
        "push" => Ok(known(call)? == "PushUrlsCache" && PushUrlsCacheRequest::from_params(params)? == push()),
        "domains" => {
            let filter = |name, values: &[&'static str], fuzzy| DomainFilter {
                name,
                values: values.iter().map(|value| Cow::from(*value)).collect(),
                fuzzy,
            };
            let filters = vec![
                filter(DomainFilterName::Domain, &["a.ex"], true),
                filter(DomainFilterName::Status, &["online", "offline"], false),
            ];
            let meant = DescribeDomainsRequest { offset: 0, limit: 7, filters };
            Ok(known(call)? == "DescribeDomains" && DescribeDomainsRequest::from_params(params)? == meant)
        }
        "add" => Ok(known(call)? == "AddCdnDomain" && AddCdnDomainRequest::from_params(params)? == add()),
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
    assert_eq!(seen, 105, "Python 8 forms, tccli 1, Node 6, seven actions each");
}
