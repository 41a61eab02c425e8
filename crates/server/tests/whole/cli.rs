//! The command line against the real server.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::recorder::Recorder;
use crate::support::{SECRET_ID, SECRET_KEY, Server, Setup, free_address};

const FENCE: &str = "fence = { kind = \"none\" }";

fn command(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_catharsis"));
    command
        .args(arguments)
        .env("CATHARSIS_ENDPOINT", format!("http://{}", server.api))
        .env("TENCENTCLOUD_SECRET_ID", SECRET_ID)
        .env("TENCENTCLOUD_SECRET_KEY", SECRET_KEY)
        // No profile of whoever runs the tests.
        .env("HOME", "/nonexistent")
        .env_remove("TENCENTCLOUD_TOKEN");
    command
}

async fn run(server: &Server, arguments: &[&str]) -> Output {
    let mut command = command(server, arguments);
    // The server's nodes live in this process: its runtime must not be blocked meanwhile.
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic");
    output.expect("the binary was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn one_node() -> (Recorder, Server) {
    let node = Recorder::start().await;
    let server = Setup::new().node("one", "mainland", "varnish", node.address, FENCE).start();
    (node, server)
}

#[tokio::test]
async fn purge_waits_until_done_and_receipts_and_nodes_tell_of_it() {
    let (node, server) = one_node().await;
    let purged = run(&server, &["purge", "http://www.a.test/x", "http://www.a.test/y", "--wait", "--json"]).await;
    assert_eq!(purged.status.code(), Some(0), "{}", text(&purged.stderr));
    let report: Value = serde_json::from_slice(&purged.stdout).expect("one JSON document");
    assert_eq!((&report["Tasks"][0]["Status"], &report["Tasks"][0]["Urls"]), (&Value::from("done"), &Value::from(2)));
    assert!(node.missing(&["www.a.test/x".to_owned(), "www.a.test/y".to_owned()]).is_empty());

    let task = report["Tasks"][0]["TaskId"].as_str().expect("a text").to_owned();
    let receipts = text(&run(&server, &["receipts", &task]).await.stdout);
    assert!(receipts.contains("done") && receipts.contains("one"), "{receipts}");
    let nodes = text(&run(&server, &["nodes"]).await.stdout);
    assert!(nodes.lines().nth(1).is_some_and(|row| row.starts_with("one") && row.contains(" ok ")), "{nodes}");
    let tasks = text(&run(&server, &["tasks", "--keyword", "http://www.a.test/y"]).await.stdout);
    assert!(tasks.contains(&task) && tasks.lines().count() == 2, "{tasks}");
    let quota = text(&run(&server, &["quota"]).await.stdout);
    assert!(quota.contains("99999998"), "{quota}");
}

#[tokio::test]
async fn long_list_from_standard_input_is_split_and_wholly_delivered() {
    let (node, server) = one_node().await;
    let urls: Vec<String> = (0..2_500).map(|number| format!("www.a.test/{number}")).collect();
    let list: String = urls.iter().map(|url| format!("http://{url}\r\n")).collect();
    let mut child = command(&server, &["purge", "-", "--wait"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    child.stdin.take().expect("it is piped").write_all(list.as_bytes()).expect("it reads");
    let output =
        tokio::task::spawn_blocking(move || child.wait_with_output()).await.expect("no panic").expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    let counts: Vec<&str> = lines.lines().filter_map(|line| line.split("  ").nth(2)).collect();
    assert_eq!(counts, ["1000 URLs", "1000 URLs", "500 URLs"]);
    assert!(node.missing(&urls).is_empty());
}

#[tokio::test]
async fn exit_status_tells_what_happened() {
    let setup = Setup::new().section("[relay]\nfail_after = \"300ms\"\nretry_max = \"100ms\"\n").node(
        "away",
        "mainland",
        "varnish",
        free_address(),
        FENCE,
    );
    let server = setup.start();

    let usage = run(&server, &["purge", "www.a.test/no-scheme"]).await;
    assert_eq!(usage.status.code(), Some(2), "{}", text(&usage.stderr));

    let refused = run(&server, &["purge", "http://nowhere.test/"]).await;
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("ResourceNotFound.CdnHostNotExists"), "{}", text(&refused.stderr));

    let failed = run(&server, &["purge", "http://inland.a.test/x", "--wait"]).await;
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
    assert!(text(&failed.stderr).contains("node away") && text(&failed.stderr).contains("no connection"));

    let nobody = format!("http://{}", free_address());
    let silent = run(&server, &["purge", "http://www.a.test/", "--endpoint", &nobody]).await;
    assert_eq!(silent.status.code(), Some(4), "{}", text(&silent.stderr));
    assert!(text(&silent.stderr).contains("unknown whether"), "{}", text(&silent.stderr));
}

#[tokio::test]
async fn partly_refused_list_still_tells_what_was_accepted() {
    let (_node, server) = one_node().await;
    let output = run(&server, &["purge", "--batch", "1", "http://www.a.test/ok", "http://nowhere.test/"]).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stdout).contains("accepted  1 URLs"), "{}", text(&output.stdout));
}

#[tokio::test]
async fn waiting_ends_with_its_own_status() {
    let setup = Setup::new().node("away", "mainland", "varnish", free_address(), FENCE);
    let server = setup.start();
    let output = run(&server, &["purge", "http://inland.a.test/", "--wait", "--timeout", "300ms"]).await;
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
}

#[tokio::test]
async fn closed_pipe_ends_quietly() {
    let (_node, server) = one_node().await;
    let purged = run(&server, &["purge", "http://www.a.test/x"]).await;
    assert_eq!(purged.status.code(), Some(0), "{}", text(&purged.stderr));
    for arguments in [&["tasks"][..], &["quota", "--json"], &["purge", "http://www.a.test/y"]] {
        // The reading end is closed before the command begins.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = command(&server, arguments);
        command.stdout(writer).stderr(Stdio::piped());
        let child = command.spawn().expect("the binary was built");
        let output =
            tokio::task::spawn_blocking(move || child.wait_with_output()).await.expect("no panic").expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
    }
}
