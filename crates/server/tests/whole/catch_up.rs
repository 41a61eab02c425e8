//! Nodes that are away, and what is said of them meanwhile.

use catharsis_tcapi::cdn::{DescribePurgeTasksRequest, DescribePurgeTasksResponse, TaskFilter, TaskStatus};

use crate::recorder::Recorder;
use crate::support::{Server, Setup, free_address};

const FENCE: &str = "fence = { kind = \"none\" }";
/// Fails soon, and tries again soon.
const IMPATIENT: &str = "[relay]\nfail_after = \"1s\"\nretry_max = \"200ms\"\n";

async fn status(server: &Server, task: &str) -> TaskStatus {
    let request = DescribePurgeTasksRequest::of(TaskFilter::Task(task.into(), None));
    let page: DescribePurgeTasksResponse =
        server.client().call("DescribePurgeTasks", &request).await.expect("the task is known");
    page.purge_logs[0].status
}

#[tokio::test]
async fn late_success_turns_fail_into_done_and_the_node_is_named() {
    let away = free_address();
    let here = Recorder::start().await;
    let setup = Setup::new()
        .section(IMPATIENT)
        .node("here", "mainland", "varnish", here.address, FENCE)
        .node("away", "overseas", "varnish", away, FENCE);
    let server = setup.start();
    let client = server.client();
    let task = client.purge(&["http://www.a.test/x"]).await;

    let failed = client.await_status(&task, TaskStatus::Fail).await;
    let node = |name: &str| failed.nodes.iter().find(|node| node.node == name).expect("it is listed");
    assert_eq!((node("here").pending, node("here").applied), (0, 1), "a slow node delays only itself");
    assert_eq!(node("away").pending, 1);
    assert!(node("away").trouble.as_deref().is_some_and(|why| why.contains("no connection")), "{failed:?}");
    assert_eq!(status(&server, &task).await, TaskStatus::Fail);

    let back = Recorder::start_at(away).await;
    client.await_status(&task, TaskStatus::Done).await;
    assert_eq!(status(&server, &task).await, TaskStatus::Done);
    assert!(back.missing(&["www.a.test/x".to_owned()]).is_empty());
}

#[tokio::test]
async fn server_that_was_down_resumes_where_its_nodes_are() {
    let address = free_address();
    let setup = Setup::new().section(IMPATIENT).node("one", "mainland", "varnish", address, FENCE);
    let mut server = setup.start();
    let task = server.client().purge(&["http://www.a.test/before", "http://inland.a.test/before"]).await;
    server.kill();

    let node = Recorder::start_at(address).await;
    let server = setup.start();
    server.client().await_status(&task, TaskStatus::Done).await;
    assert!(node.missing(&["www.a.test/before".to_owned(), "inland.a.test/before".to_owned()]).is_empty());
}

#[tokio::test]
async fn purge_reaches_only_the_nodes_of_its_area() {
    let (mainland, overseas) = (Recorder::start().await, Recorder::start().await);
    let setup = Setup::new().node("one", "mainland", "varnish", mainland.address, FENCE).node(
        "two",
        "overseas",
        "varnish",
        overseas.address,
        FENCE,
    );
    let server = setup.start();
    let client = server.client();
    let inland = client.purge(&["http://inland.a.test/"]).await;
    let abroad = client.purge(&["http://abroad.a.test/"]).await;
    for task in [&inland, &abroad] {
        assert_eq!(client.await_status(task, TaskStatus::Done).await.nodes.len(), 1);
    }
    let urls = ["inland.a.test/".to_owned(), "abroad.a.test/".to_owned()];
    assert_eq!(mainland.missing(&urls), [&urls[1]]);
    assert_eq!(overseas.missing(&urls), [&urls[0]]);
}
