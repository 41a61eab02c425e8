//! Templates that are taken, templates that are not, and keys both ways.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;

#[test]
fn template_that_could_be_read_in_two_ways_is_refused_by_name() {
    let why = |text: &str| text.parse::<KeyTemplate>().unwrap_err().to_string();
    assert!(why("$scheme$proxy_host$request_uri").contains("two sites would share"));
    assert!(why("$scheme$host$request_uri").contains("$scheme ends and $host begins"));
    assert!(why("$request_method$http_host$request_uri").contains("cannot be told"));
    assert!(why("${host}s$request_uri").contains("cannot be told"));
    assert!(why("$scheme$request_uri").contains("no $host"));
    assert!(why("$host$uri$is_args$args").contains("$uri is not known"));
    assert!(why("$host$request_uri$scheme").contains("does not end with $request_uri"));
    assert!(why("$host|$http_host$request_uri").contains("twice"));
    assert!(why("$host$").contains("name"));
}

#[test]
fn usual_templates_are_read_back() {
    for (template, key, scheme, port) in [
        ("$host$request_uri", "a.test/x?y", None, None),
        ("$scheme://$host$request_uri", "https://a.test/x?y", Some(Scheme::Https), None),
        ("$scheme$request_method$host$request_uri", "httpGETa.test/x?y", Some(Scheme::Http), None),
        ("${scheme}|$http_host$request_uri", "http|A.test:8080/x?y", Some(Scheme::Http), Some(8080)),
        ("$http_host$request_uri", "a.test:443/x?y", None, None),
    ] {
        let template: KeyTemplate = template.parse().unwrap();
        let read = template.read(key.as_bytes()).unwrap();
        assert_eq!((read.scheme, read.port, read.host.as_str()), (scheme, port, "a.test"), "{template}");
        assert_eq!(read.target, b"/x?y");
        assert_eq!(template.read(b"!/x"), None);
        assert_eq!(template.read(b""), None);
    }
}

proptest! {
    #[test]
    fn key_that_was_made_is_read_back(
        at in 0usize..5,
        host in "[a-z][a-z0-9-]{0,5}[a-z0-9](\\.test)?(:[1-9][0-9]{1,3})?",
        target in "/[!-~]{0,12}",
    ) {
        let templates = [
            "$host$request_uri",
            "$scheme://$host$request_uri",
            "$scheme$request_method$host$request_uri",
            "$http_host|$scheme$request_uri",
            "x$request_method $http_host$request_uri",
        ];
        let template: KeyTemplate = templates[at].parse().unwrap();
        let host = KeyHost::parse(&host).unwrap();
        for key in template.keys(None, &host, &target) {
            let read = template.read(key.as_bytes()).unwrap();
            prop_assert_eq!(read.host.as_str(), host.name());
            prop_assert_eq!(read.port, host.port().filter(|_| template.has_port()));
            prop_assert_eq!(read.target, target.as_bytes());
            prop_assert_eq!(read.scheme.is_some(), template.has_scheme());
        }
    }
}
