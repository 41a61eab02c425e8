//! Accepted means kept: the server is killed again and again under load.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use catharsis_tcapi::cdn::{PurgeUrlsCacheResponse, TaskStatus};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;

use crate::recorder::Recorder;
use crate::support::{Answer, Client, Setup, purge_urls};

const KILLS: u32 = 200;
const CALLERS: usize = 8;
const URLS_A_CALL: u64 = 3;

/// One caller purges until the server is gone, and keeps what was acknowledged.
async fn call_until_killed(client: Client, next: Arc<AtomicU64>) -> HashMap<String, Vec<String>> {
    let mut acknowledged = HashMap::new();
    loop {
        let first = next.fetch_add(URLS_A_CALL, Ordering::Relaxed);
        let urls: Vec<String> = (first..first + URLS_A_CALL).map(|number| format!("www.a.test/{number}")).collect();
        let full: Vec<String> = urls.iter().map(|url| format!("http://{url}")).collect();
        let request = purge_urls(&full.iter().map(String::as_str).collect::<Vec<_>>());
        match client.call::<PurgeUrlsCacheResponse>("PurgeUrlsCache", &request).await {
            Answer::Ok(answer) => drop(acknowledged.insert(answer.task_id, urls)),
            Answer::Silence(_) => return acknowledged,
            Answer::Refused { code, message } => panic!("{code}: {message}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_server_killed_at_random_moments_delivers_every_acknowledged_task_to_every_node() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let (mainland, overseas) = (Recorder::start().await, Recorder::start().await);
    let fence = "fence = { kind = \"none\" }";
    let setup = Setup::new().node("one", "mainland", "varnish", mainland.address, fence).node(
        "two",
        "overseas",
        "varnish",
        overseas.address,
        fence,
    );
    let next = Arc::new(AtomicU64::new(0));
    let mut acknowledged = HashMap::new();

    for _ in 0..KILLS {
        let mut server = setup.start();
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(call_until_killed(server.client(), Arc::clone(&next)));
        }
        // The moment of the kill is what the test varies, not something it waits for.
        tokio::time::sleep(Duration::from_micros(random.random_range(0..60_000))).await;
        server.kill();
        while let Some(caller) = callers.join_next().await {
            acknowledged.extend(caller.expect("no caller panics"));
        }
    }

    let server = setup.start();
    let client = server.client();
    let last = client.purge(&["http://www.a.test/last"]).await;
    // Cursors pass in order, so when the last task is settled all before it are.
    client.await_status(&last, TaskStatus::Done).await;
    println!("{} tasks were acknowledged over {KILLS} kills", acknowledged.len());
    assert!(acknowledged.len() > KILLS as usize, "the load was real");
    for node in [&mainland, &overseas] {
        let missing = node.missing(acknowledged.values().flatten());
        assert!(missing.is_empty(), "seed {seed}: acknowledged and never delivered: {missing:?}");
    }
    for task in acknowledged.keys().step_by(acknowledged.len() / 50 + 1) {
        assert_eq!(client.receipts(task).await.status, TaskStatus::Done, "seed {seed}: {task}");
    }
}

#[tokio::test]
async fn delivery_check_sees_what_was_never_delivered() {
    let node = Recorder::start().await;
    let setup = Setup::new().node("one", "mainland", "varnish", node.address, "fence = { kind = \"none\" }");
    let server = setup.start();
    let client = server.client();
    let task = client.purge(&["http://www.a.test/told"]).await;
    client.await_status(&task, TaskStatus::Done).await;

    let urls = ["www.a.test/told".to_owned(), "www.a.test/untold".to_owned()];
    assert_eq!(node.missing(&urls), [&urls[1]]);
}
