//! The operator's commands: what each sends, and that no secret is ever told twice.

use std::io::Write;

use serde_json::{Value, json};

use crate::scripted::{ADMIN_TOKEN, ClosedPipe, Service};

const SECRET: &str = "s3cret-4815162342";

/// A service that answers everything with one body.
async fn answering(status: u16, body: &Value) -> Service {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Service::start(move |_| (status, body.clone())).await
}

/// Runs a command, and checks the one request that it makes: method, target, body and credential.
async fn check(arguments: &[&str], line: &str, body: Value) {
    let service = answering(200, &json!({})).await;
    let ran = service.run(arguments).await;
    assert_eq!(ran.status(), 0, "{arguments:?}: {}", ran.err);
    let asked = service.asked();
    assert_eq!(asked.len(), 1, "{arguments:?}");
    assert_eq!((asked[0].line().as_str(), &asked[0].body), (line, &body), "{arguments:?}");
    assert_eq!(asked[0].authorization, format!("Bearer {ADMIN_TOKEN}"));
}

#[tokio::test]
async fn account_and_user_commands_ask_for_what_they_say() {
    check(&["account", "list"], "GET /v1/accounts", Value::Null).await;
    check(&["account", "show", "100"], "GET /v1/accounts/100", Value::Null).await;
    let created = json!({ "Name": "acme & co", "UrlsPerDay": 50_000, "State": "auth_pending" });
    let create = ["account", "create", "acme & co", "--urls-per-day", "50000", "--state", "auth_pending"];
    check(&create, "POST /v1/accounts", created).await;
    let set = ["account", "set", "100", "--requests-per-second", "default", "--domains-max", "7"];
    check(&set, "PATCH /v1/accounts/100", json!({ "RequestsPerSecond": null, "DomainsMax": 7 })).await;
    check(&["account", "delete", "100"], "DELETE /v1/accounts/100", Value::Null).await;
    check(&["user", "list", "100"], "GET /v1/accounts/100/users", Value::Null).await;
    check(&["user", "show", "200"], "GET /v1/users/200", Value::Null).await;
    check(&["user", "create", "100", "ci"], "POST /v1/accounts/100/users", json!({ "Name": "ci" })).await;
    check(&["user", "disable", "200"], "PATCH /v1/users/200", json!({ "State": "disabled" })).await;
    check(&["user", "delete", "200"], "DELETE /v1/users/200", Value::Null).await;
}

#[tokio::test]
async fn key_and_token_commands_ask_for_what_they_say() {
    check(&["key", "list", "200"], "GET /v1/principals/200/keys", Value::Null).await;
    check(&["key", "--json", "list", "200"], "GET /v1/principals/200/keys", Value::Null).await;
    check(&["key", "create", "200"], "POST /v1/principals/200/keys", Value::Null).await;
    check(&["key", "enable", "AKIDx"], "PATCH /v1/keys/AKIDx", json!({ "State": "enabled" })).await;
    check(&["key", "disable", "AKIDx"], "PATCH /v1/keys/AKIDx", json!({ "State": "disabled" })).await;
    check(&["key", "delete", "AKIDx"], "DELETE /v1/keys/AKIDx", Value::Null).await;
    let token = ["token", "create", "--user", "200", "--duration", "2h"];
    check(&token, "POST /v1/principals/200/tokens", json!({ "DurationSeconds": 7_200 })).await;
}

#[tokio::test]
async fn policy_commands_ask_for_what_they_say() {
    let document = json!({ "version": "2.0", "statement": [] });
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(document.to_string().as_bytes()).expect("it is writable");
    let file = file.path().to_str().expect("plain");
    let put = ["policy", "put", "100", "purge/only", "--file", file];
    check(&put, "PUT /v1/accounts/100/policies/purge%2Fonly", json!({ "Document": document })).await;
    check(&["policy", "list", "--account", "100"], "GET /v1/accounts/100/policies", Value::Null).await;
    check(&["policy", "list", "--user", "200"], "GET /v1/users/200/policies", Value::Null).await;
    check(&["policy", "show", "100", "p"], "GET /v1/accounts/100/policies/p", Value::Null).await;
    check(&["policy", "delete", "100", "p"], "DELETE /v1/accounts/100/policies/p", Value::Null).await;
    check(&["policy", "attach", "p", "--user", "200"], "PUT /v1/users/200/policies/p", Value::Null).await;
    check(&["policy", "detach", "p", "--user", "200"], "DELETE /v1/users/200/policies/p", Value::Null).await;
    let resource = "qcs::cdn::uin/100:domain/www.a.test";
    let explain = [
        "policy",
        "explain",
        "--user",
        "200",
        "--action",
        "cdn:PurgeUrlsCache",
        "--resource",
        resource,
        "--ip",
        "10.0.0.1",
    ];
    let question = json!({ "User": 200, "Action": "cdn:PurgeUrlsCache", "Resource": resource, "Ip": "10.0.0.1" });
    check(&explain, "POST /v1/explain", question).await;
}

#[tokio::test]
async fn domain_quota_and_webhook_commands_ask_for_what_they_say() {
    check(&["domain", "list"], "GET /v1/domains", Value::Null).await;
    check(&["domain", "list", "--account", "100"], "GET /v1/domains?account=100", Value::Null).await;
    check(&["domain", "show", "www.a.test"], "GET /v1/domains/www.a.test", Value::Null).await;
    let create =
        ["domain", "create", "100", "www.a.test", "--area", "global", "--origin", "10.0.0.1:80", "--origin", "b.test"];
    let created = json!({ "Name": "www.a.test", "Area": "global", "Origins": ["10.0.0.1:80", "b.test"] });
    check(&create, "POST /v1/accounts/100/domains", created).await;
    let more =
        ["--service-type", "download", "--origin", "b.test", "--server-name", "c.test", "--pull-protocol", "follow"];
    let bare = ["domain", "create", "100", "www.a.test", "--area", "mainland"];
    let created = json!({
        "Name": "www.a.test", "Area": "mainland", "ServiceType": "download", "Origins": ["b.test"],
        "ServerName": "c.test", "PullProtocol": "follow"
    });
    check(&[&bare[..], &more].concat(), "POST /v1/accounts/100/domains", created).await;
    let locked = ["domain", "set-status", "www.a.test", "locked"];
    check(&locked, "PATCH /v1/domains/www.a.test", json!({ "Status": "locked" })).await;
    check(&["domain", "delete", "www.a.test"], "DELETE /v1/domains/www.a.test", Value::Null).await;

    check(&["quota", "show", "100"], "GET /v1/accounts/100/quota", Value::Null).await;
    let which = ["--kind", "path", "--area", "overseas", "--from", "2026-03-01", "--to", "2026-03-02"];
    let mut body = json!({ "Kind": "path", "Area": "overseas", "From": "2026-03-01", "To": "2026-03-02" });
    check(&[&["quota", "unset", "100"][..], &which].concat(), "DELETE /v1/accounts/100/quota", body.clone()).await;
    body["Total"] = 500.into();
    check(&[&["quota", "set", "100", "--total", "500"][..], &which].concat(), "PUT /v1/accounts/100/quota", body).await;

    check(&["webhook", "list", "100"], "GET /v1/accounts/100/webhooks", Value::Null).await;
    let create = ["webhook", "create", "100", "ops", "--url", "https://a.test/hook"];
    let created = json!({ "Name": "ops", "Url": "https://a.test/hook" });
    check(&create, "POST /v1/accounts/100/webhooks", created).await;
    check(&["webhook", "show", "100", "ops"], "GET /v1/accounts/100/webhooks/ops", Value::Null).await;
    check(&["webhook", "delete", "100", "ops"], "DELETE /v1/accounts/100/webhooks/ops", Value::Null).await;
    check(&["webhook", "failures", "100", "ops"], "GET /v1/accounts/100/webhooks/ops/failures", Value::Null).await;
}

#[tokio::test]
async fn secret_is_printed_once_with_a_note_beside_it() {
    let pair = json!({ "SecretId": "AKIDnew", "SecretKey": SECRET, "State": "enabled", "CreatedAt": "2026-01-01" });
    let service = answering(200, &pair).await;
    let people = service.run(&["key", "create", "200"]).await;
    assert_eq!(people.out.matches(SECRET).count(), 1, "{}", people.out);
    assert!(people.err.contains("not shown again") && !people.err.contains(SECRET), "{}", people.err);
    let machine = service.run(&["key", "create", "200", "--json"]).await;
    assert_eq!(machine.document(), pair);
    assert!(machine.err.contains("not shown again") && !machine.err.contains(SECRET), "{}", machine.err);
}

#[tokio::test]
async fn secret_that_could_not_be_written_is_told_with_the_remedy() {
    let service = answering(200, &json!({ "SecretId": "AKIDnew", "SecretKey": SECRET })).await;
    let ran = service.run_into(&["key", "create", "200"], ClosedPipe).await;
    assert_eq!(ran.status(), 6);
    assert!(ran.err.contains("catharsis key delete AKIDnew") && !ran.err.contains(SECRET), "{}", ran.err);
}

#[tokio::test]
async fn rotation_makes_a_second_pair_and_says_how_to_retire_the_first() {
    let service = Service::start(|asked| {
        let body = match asked.method.as_str() {
            "GET" => json!([
                { "SecretId": "AKIDold", "State": "enabled" }, { "SecretId": "AKIDoff", "State": "disabled" }
            ]),
            _ => json!({ "SecretId": "AKIDnew", "SecretKey": SECRET }),
        };
        (200, body.to_string())
    })
    .await;
    let ran = service.run(&["key", "rotate", "200"]).await;
    assert_eq!(ran.status(), 0, "{}", ran.err);
    let lines: Vec<String> = service.asked().iter().map(crate::scripted::Asked::line).collect();
    assert_eq!(lines, ["GET /v1/principals/200/keys", "POST /v1/principals/200/keys"]);
    assert!(ran.out.contains("AKIDnew") && ran.out.contains(SECRET), "{}", ran.out);
    assert!(ran.err.contains("catharsis key disable AKIDold") && !ran.err.contains("AKIDoff"), "{}", ran.err);
}

#[tokio::test]
async fn no_error_repeats_a_secret() {
    // The credential in the server's own words; a new secret in an answer that is cut; neither in a gateway's page.
    let refusal = json!({ "Error": { "Code": "Unauthorized", "Message": format!("no such token {ADMIN_TOKEN}") } });
    for (status, body, ended) in [
        (401, refusal.to_string(), 3),
        (200, format!(r#"{{"SecretId":"AKIDnew","SecretKey":"{SECRET}""#), 4),
        (502, format!("<html>{ADMIN_TOKEN} {SECRET}</html>"), 4),
    ] {
        let service = Service::start(move |_| (status, body.clone())).await;
        let ran = service.run(&["key", "create", "200", "--json"]).await;
        assert_eq!(ran.status(), ended, "{}", ran.err);
        let told = format!("{}{}{:?}", ran.out, ran.err, ran.result);
        assert!(!told.contains(SECRET) && !told.contains(ADMIN_TOKEN), "{told}");
        assert!(ran.document()["Error"]["Code"].is_string(), "{}", ran.out);
        assert_eq!(service.asked().len(), 1, "what makes a key is not repeated");
    }
}

#[tokio::test]
async fn refusal_of_the_admin_api_is_told_as_it_came() {
    let service = answering(409, &json!({ "Error": { "Code": "KeyLimit", "Message": "two keys exist" } })).await;
    let ran = service.run(&["key", "create", "200", "--json"]).await;
    assert_eq!(ran.document(), json!({ "Error": { "Code": "KeyLimit", "Message": "two keys exist" } }));
    assert_eq!(ran.err, "catharsis: refused: KeyLimit: two keys exist\n");
}

#[tokio::test]
async fn lists_are_tables_whether_they_stand_alone_or_in_an_object() {
    let rows = json!([
        { "Uin": 100, "Name": "acme", "State": "active", "UrlsPerDay": null },
        { "Uin": 7, "Name": "evil\u{1b}[2J", "State": "suspended", "UrlsPerDay": 5 },
    ]);
    let table = "UIN  NAME           STATE\n100  acme           active\n7    evil\\u{1b}[2J  suspended\n";
    for answer in [rows.clone(), json!({ "Accounts": rows })] {
        let service = answering(200, &answer).await;
        assert_eq!(service.run(&["account", "list"]).await.out, table);
        assert_eq!(service.run(&["account", "list", "--json"]).await.document(), answer);
    }
}

#[tokio::test]
async fn explanation_says_which_statement_decides() {
    let answer = json!({
        "Allowed": false, "Decision": "denied by statement 2 of policy p", "Trace": ["p[1]: allow", "p[2]: deny"]
    });
    let service = answering(200, &answer).await;
    let ran = service.run(&["policy", "explain", "--user", "200", "--action", "cdn:*", "--resource", "*"]).await;
    assert_eq!(ran.out, "denied: denied by statement 2 of policy p\n  p[1]: allow\n  p[2]: deny\n");
}

#[tokio::test]
async fn policy_that_the_service_keeps_as_text_is_shown_as_a_document() {
    let service = answering(200, &json!({ "Name": "p", "Document": "{\"version\":\"2.0\"}" })).await;
    assert_eq!(service.run(&["policy", "show", "100", "p"]).await.out, "{\n  \"version\": \"2.0\"\n}\n");
}

#[tokio::test]
async fn answer_without_a_body_is_a_success() {
    let service = answering(204, &Value::Null).await;
    assert_eq!(service.run(&["key", "delete", "AKIDx"]).await.out, "key AKIDx deleted\n");
    assert_eq!(service.run(&["key", "delete", "AKIDx", "--json"]).await.document(), json!({}));
}

#[tokio::test]
async fn long_list_is_asked_for_part_by_part_and_shown_whole() {
    let service = Service::start(|asked| {
        let part = match asked.target.as_str() {
            "/v1/domains?account=100" => json!({ "Domains": [{ "Name": "a.test" }], "Next": "a/test" }),
            "/v1/domains?account=100&after=a%2Ftest" => json!({ "Domains": [{ "Name": "b.test" }], "Next": null }),
            other => panic!("{other}"),
        };
        (200, part.to_string())
    })
    .await;
    let ran = service.run(&["domain", "list", "--account", "100"]).await;
    assert_eq!(ran.out, "NAME\na.test\nb.test\n", "{}", ran.err);
    let whole = json!({ "Domains": [{ "Name": "a.test" }, { "Name": "b.test" }] });
    assert_eq!(service.run(&["domain", "list", "--account", "100", "--json"]).await.document(), whole);
}

#[tokio::test]
async fn list_that_never_goes_on_is_given_up() {
    let service = answering(200, &json!({ "Users": [{ "Uin": 1 }], "Next": "1" })).await;
    let ran = service.run(&["user", "list", "100"]).await;
    assert_eq!((ran.status(), service.asked().len()), (4, 2));
}
