//! The process: quickstart, readiness, shutdown, one store one server.

use std::process::Command;

use crate::support::Setup;
use catharsis_tcapi::cdn::TaskStatus;

#[test]
fn quickstart_shows_the_main_job_and_ends_well() {
    let output = Command::new(env!("CARGO_BIN_EXE_catharsis"))
        .args(["quickstart", "--once", "--port", "0"])
        .output()
        .expect("the binary was built");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for seen in [
        "MISS \"Hello, this is version 1.\"",
        "HIT \"Hello",
        "receipt of edge-overseas: applied",
        "MISS \"Hello, this is version 2.\"",
    ] {
        assert!(text.contains(seen), "{seen}: {text}");
    }
}

#[tokio::test]
async fn server_is_ready_tells_its_metrics_and_stops_cleanly() {
    // Nobody listens there: a purge stays unsettled.
    let nowhere = "127.0.0.1:1".parse().expect("an address");
    let setup = Setup::new().node("away", "mainland", "varnish", nowhere, "");
    let server = setup.start();
    let task = server.client().purge(&["http://www.a.test/"]).await;

    assert_eq!(server.ops("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(server.ops("/readyz").await, (200, "ready\n".to_owned()));
    let (_, metrics) = server.ops("/metrics").await;
    for line in [
        "catharsis_accepted_tasks_total 1",
        "catharsis_node_backlog{node=\"away\",area=\"mainland\"} 1",
        "catharsis_calls_total{action=\"PurgeUrlsCache\",code=\"OK\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(server.terminate().await.success());

    let again = setup.start();
    let receipts = again.client().receipts(&task).await;
    assert_eq!((receipts.status, receipts.nodes[0].pending), (TaskStatus::Process, 1));
}

#[test]
fn second_server_on_one_store_is_refused_with_the_reason() {
    let setup = Setup::new();
    let _first = setup.start();
    let second = Command::new(env!("CARGO_BIN_EXE_catharsis"))
        .args(["serve", "--config"])
        .arg(setup.write())
        .output()
        .expect("the binary was built");
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && text.contains("is in use"), "{text}");
}
