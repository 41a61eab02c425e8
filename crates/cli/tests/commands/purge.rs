//! `purge`, `tasks` and what all commands of the public API have in common.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::scripted::{Asked, ClosedPipe, Service};

fn answer(fields: &str) -> (u16, String) {
    (200, format!(r#"{{"Response":{{{fields}"RequestId":"r-1"}}}}"#))
}

fn rows(count: usize) -> (u16, String) {
    answer(&format!(r#""PurgeLogs":[],"TotalCount":{count},"#))
}

/// A service that accepts every purge and shows `shown(status, round)` rows of it; a round begins
/// with each question for what is under way.
async fn showing(shown: impl Fn(&str, usize) -> usize + Send + Sync + 'static) -> Service {
    let round = AtomicUsize::new(0);
    Service::start(move |asked: &Asked| match asked.action.as_str() {
        "PurgeUrlsCache" => answer(r#""TaskId":"t-1","#),
        "DescribePurgeTasks" => {
            let status = asked.body["Status"].as_str().expect("one is asked for").to_owned();
            let begun = usize::from(status == "process");
            let now = round.fetch_add(begun, Ordering::SeqCst) + begun;
            rows(shown(&status, now))
        }
        other => panic!("{other}"),
    })
    .await
}

#[tokio::test]
async fn task_that_is_not_shown_yet_is_not_taken_for_done() {
    // Nothing at all, then one of two rows, then both under way, then both done.
    let service = showing(|status, round| match (status, round) {
        (_, 1) | ("fail", _) => 0,
        ("done", 2) => 1,
        ("process", 3) | ("done", 4) => 2,
        _ => 0,
    })
    .await;
    let ran = service.run(&["purge", "http://a.test/1", "http://a.test/2", "--wait"]).await;
    assert_eq!((ran.status(), ran.out.as_str()), (0, "t-1  done  2 URLs\n"), "{}", ran.err);
    let polls = service.asked().iter().filter(|asked| asked.body["Status"] == "process").count();
    assert_eq!(polls, 4);
}

#[tokio::test]
async fn task_that_is_never_shown_ends_with_the_time() {
    let service = showing(|_, _| 0).await;
    let ran = service.run(&["purge", "http://a.test/1", "--wait", "--timeout", "50ms", "--json"]).await;
    assert_eq!(ran.status(), 5);
    assert_eq!(ran.document()["Error"]["Code"], "ClientError.TimedOut");
    assert_eq!(ran.document()["Tasks"], json!([{ "TaskId": "t-1", "Urls": 1 }]));
}

#[tokio::test]
async fn closed_pipe_ends_neither_the_work_nor_the_command() {
    let service = showing(|status, _| usize::from(status == "fail")).await;
    let arguments = ["purge", "http://a.test/1", "http://a.test/2", "--batch", "1"];
    let ran = service.run_into(&arguments, ClosedPipe).await;
    assert_eq!((ran.status(), ran.err.as_str()), (0, ""));
    assert_eq!(service.asked().len(), 2);
}

#[tokio::test]
async fn refusal_is_an_object_for_machines_and_a_line_for_people() {
    let service = Service::start(|_| answer(r#""Error":{"Code":"AuthFailure","Message":"no\nkey\u001b[A"},"#)).await;
    let error = json!({ "Code": "AuthFailure", "Message": "no\nkey\u{1b}[A", "RequestId": "r-1" });
    for command in [&["purge", "http://a.test/"][..], &["quota"]] {
        let ran = service.run(&[command, &["--json"]].concat()).await;
        assert_eq!(ran.status(), 3);
        assert_eq!(ran.document()["Error"], error);
        assert_eq!(ran.err, "catharsis: refused: AuthFailure: no\\u{a}key\\u{1b}[A (RequestId r-1)\n");
    }
}

#[tokio::test]
async fn text_of_the_service_cannot_write_to_the_terminal() {
    let service = Service::start(|_| {
        let row = r#"{"TaskId":"t\u001b]0;x\u0007","Url":"http://a.test/\u202etxt","Status":"done","PurgeType":"url","FlushType":"delete","CreateTime":"2026-01-01 00:00:00"}"#;
        answer(&format!(r#""PurgeLogs":[{row}],"TotalCount":1,"#))
    })
    .await;
    let people = service.run(&["tasks"]).await;
    assert!(people.out.contains("t\\u{1b}]0;x\\u{7}") && people.out.contains("\\u{202e}txt"), "{}", people.out);
    assert!(!people.out.contains(|c: char| c == '\u{202e}' || (c.is_control() && c != '\n')), "{}", people.out);
    let machine = service.run(&["tasks", "--json"]).await;
    assert_eq!(machine.document()["PurgeLogs"][0]["Url"], "http://a.test/\u{202e}txt");
}

#[tokio::test]
async fn list_that_is_wrong_anywhere_sends_nothing() {
    let service = showing(|_, _| 0).await;
    let too_long = format!("http://a.test/{}", "x".repeat(8_000));
    let ran = service.run(&["purge", "http://a.test/1", &too_long, "--batch", "1"]).await;
    assert_eq!(ran.status(), 2);
    assert!(ran.err.contains("8000 bytes") && ran.err.len() < 300, "{}", ran.err);
    assert_eq!(service.asked(), []);
}

/// What the first call of an action held.
fn sent(service: &Service, action: &str) -> serde_json::Value {
    service.asked().into_iter().find(|asked| asked.action == action).expect("it was asked").body
}

#[tokio::test]
async fn each_command_sends_what_it_says() {
    let service = Service::start(|_| answer(r#""TaskId":"t-1","#)).await;
    let path = ["purge-path", "http://a.test/dir/", "--flush", "--area", "overseas", "--webhook", "ops"];
    assert_eq!(service.run(&path).await.out, "t-1  accepted  1 URLs\n");
    let body = json!({
        "Paths": ["http://a.test/dir/"], "FlushType": "flush", "UrlEncode": false, "Area": "overseas", "Webhook": "ops"
    });
    assert_eq!(sent(&service, "PurgePathCache"), body);

    let push =
        ["push", "http://a.test/1", "--area", "global", "--header", "Cookie: a=b", "--middle", "--user-agent", "me"];
    assert_eq!(service.run(&push).await.status(), 0);
    let body = sent(&service, "PushUrlsCache");
    assert_eq!((&body["Urls"], &body["Area"]), (&json!(["http://a.test/1"]), &json!("global")));
    assert_eq!(body["Headers"], json!([{ "Name": "Cookie", "Value": "a=b" }]));
    assert_eq!((&body["Layer"], &body["UserAgent"]), (&json!("middle"), &json!("me")));
}

#[tokio::test]
async fn contract_is_kept_unless_an_option_goes_beyond_it() {
    let service = Service::start(|_| answer(r#""TaskId":"t-1","#)).await;
    assert_eq!(service.run(&["purge", "http://a.test/1"]).await.status(), 0);
    assert_eq!(sent(&service, "PurgeUrlsCache"), json!({ "Urls": ["http://a.test/1"], "UrlEncode": false }));
}

#[tokio::test]
async fn calls_of_one_list_are_intentions_of_their_own() {
    let service = Service::start(|_| answer(r#""TaskId":"t-1","#)).await;
    let arguments = ["purge", "http://a.test/1", "http://a.test/2", "--batch", "1", "--client-token", "deploy-7"];
    assert_eq!(service.run(&arguments).await.status(), 0);
    let tokens: Vec<serde_json::Value> =
        service.asked().iter().map(|asked| asked.body["ClientToken"].clone()).collect();
    assert_eq!(tokens, ["deploy-7", "deploy-7.2"]);
}

#[tokio::test]
async fn dry_run_that_would_have_succeeded_is_a_success() {
    let service = Service::start(|asked| {
        assert_eq!(asked.body["DryRun"], true);
        answer(r#""Error":{"Code":"DryRunOperation","Message":"it would reach 3 nodes"},"#)
    })
    .await;
    let people = service.run(&["purge", "http://a.test/1", "--dry-run"]).await;
    assert_eq!((people.status(), people.out.as_str()), (0, "dry run  1 URLs  it would reach 3 nodes\n"));
    let machine = service.run(&["purge", "http://a.test/1", "--dry-run", "--json"]).await;
    let document = json!({ "Tasks": [], "Tried": [{ "Urls": 1, "Message": "it would reach 3 nodes" }] });
    assert_eq!(machine.document(), document);
}

#[tokio::test]
async fn dry_run_that_was_carried_out_is_no_success() {
    let service = Service::start(|_| answer(r#""TaskId":"t-1","#)).await;
    let ran = service.run(&["purge", "http://a.test/1", "http://a.test/2", "--batch", "1", "--dry-run"]).await;
    assert_eq!((ran.status(), ran.out.as_str()), (1, "t-1  accepted  1 URLs\n"));
    assert_eq!(service.asked().len(), 1);
}

#[tokio::test]
async fn prefetch_of_what_the_origin_refuses_has_failed() {
    let service = Service::start(|asked| match (asked.action.as_str(), asked.body["Status"].as_str()) {
        ("PushUrlsCache", _) => answer(r#""TaskId":"t-1","#),
        ("DescribePushTasks", Some("invalid")) => {
            let row = r#"{"TaskId":"t-1","Url":"http://a.test/1","Status":"invalid","Percent":0,"CreateTime":"","Area":"mainland","UpdateTime":""}"#;
            answer(&format!(r#""PushLogs":[{row}],"TotalCount":1,"#))
        }
        _ => answer(r#""PushLogs":[],"TotalCount":0,"#),
    })
    .await;
    let ran = service.run(&["push", "http://a.test/1", "--wait"]).await;
    assert_eq!((ran.status(), ran.out.as_str()), (1, "t-1  fail  1 URLs\n"), "{}", ran.err);
    assert_eq!(ran.err, "catharsis: task t-1 failed\n  invalid: http://a.test/1\n");
    let rows = service.run(&["push-tasks", "--status", "invalid"]).await;
    assert!(rows.out.contains("invalid  0 %      t-1   http://a.test/1"), "{}", rows.out);
}

#[tokio::test]
async fn header_of_a_prefetch_is_not_repeated_when_it_is_wrong() {
    let service = Service::start(|_| answer("")).await;
    let ran = service.run(&["push", "http://a.test/1", "--header", "Authorization hunter2"]).await;
    assert_eq!(ran.status(), 2);
    assert!(ran.err.contains("NAME: VALUE") && !ran.err.contains("hunter2"), "{}", ran.err);
    assert_eq!(service.asked(), []);
}

#[tokio::test]
async fn domains_are_listed_page_by_page() {
    let service = Service::start(|asked| {
        let name = if asked.body["Offset"] == 0 { "a.test" } else { "b.test" };
        let row = json!({
            "ResourceId": "cdn-1", "AppId": 1, "Domain": name, "Cname": "c.test", "Status": "online", "ProjectId": 0,
            "ServiceType": "web", "CreateTime": "2026-01-01 00:00:00", "UpdateTime": "2026-01-02 00:00:00",
            "Origin": { "Origins": ["10.0.0.1"], "OriginType": "ip" }, "Disable": "normal", "Area": "global",
            "Readonly": "normal", "Product": "cdn", "ParentHost": ""
        });
        answer(&format!(r#""Domains":[{row}],"TotalNumber":2,"#))
    })
    .await;
    let ran = service.run(&["domains"]).await;
    assert!(ran.out.contains("a.test  online  global") && ran.out.contains("b.test  online"), "{}{}", ran.out, ran.err);
    assert_eq!(service.asked().len(), 2);
}
