//! Signed receipts, through the command line: made by the real server, checked offline.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;

use catharsis_testkit::client::get;
use serde_json::Value;

use crate::recorder::Recorder;
use crate::support::{SECRET_ID, SECRET_KEY, Server, Setup, free_address};

const FENCE: &str = "fence = { kind = \"none\" }";
const TOKEN: &str = "operator-4815162342";

/// A server, its operator's door, and a folder for files.
struct World {
    /// `None` once it was stopped.
    server: Option<Server>,
    api: SocketAddr,
    admin: SocketAddr,
    folder: tempfile::TempDir,
}

impl World {
    fn start(setup: Setup) -> Self {
        let admin = free_address();
        let setup = setup.section(&format!("[admin]\nlisten = \"{admin}\"\ntoken = \"{TOKEN}\""));
        let setup = setup.section("[receipts]\nserver_name = \"purger-1\"");
        let server = setup.start();
        Self { api: server.api, server: Some(server), admin, folder: tempfile::tempdir().expect("a folder") }
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_catharsis"));
        command
            .args(arguments)
            .env("CATHARSIS_ENDPOINT", format!("http://{}", self.api))
            .env("TENCENTCLOUD_SECRET_ID", SECRET_ID)
            .env("TENCENTCLOUD_SECRET_KEY", SECRET_KEY)
            .env("CATHARSIS_ADMIN", format!("http://{}", self.admin))
            .env("CATHARSIS_ADMIN_TOKEN", TOKEN)
            .env("HOME", "/nonexistent");
        command.output().await.expect("the binary was built")
    }

    async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The server's public key, in a file.
    async fn key(&self) -> PathBuf {
        let path = self.file("key.pem");
        std::fs::write(&path, self.ok(&["receipts", "public-key"]).await).expect("a writable folder");
        path
    }

    /// A task's signed statement, in a file.
    async fn signed(&self, task: &str) -> PathBuf {
        let path = self.file(task);
        self.ok(&["receipts", task, "--signed", "-o", utf8(&path)]).await;
        path
    }

    /// The task that a purge makes.
    async fn purge(&self, arguments: &[&str]) -> String {
        let report = self.run(&[&["purge", "--json"], arguments].concat()).await;
        let report: Value = serde_json::from_slice(&report.stdout).expect("one JSON document");
        report["Tasks"][0]["TaskId"].as_str().expect("a text").to_owned()
    }

    async fn verify(&self, file: &Path, key: &Path) -> Output {
        self.run(&["receipts", "verify", utf8(file), "--key", utf8(key), "--json"]).await
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("a temporary folder's name is plain")
}

#[tokio::test]
async fn whole_signed_receipt_proves_a_removal_without_the_server() {
    let node = Recorder::start().await;
    let mut world = World::start(Setup::new().node("one", "mainland", "varnish", node.address, FENCE));
    let task = world.purge(&["http://www.a.test/x", "http://www.a.test/y", "--wait"]).await;
    let (file, key) = (world.signed(&task).await, world.key().await);
    let server = world.server.take().expect("it runs");
    assert_eq!(server.ops("/receipts-key.pem").await.1, std::fs::read_to_string(&key).expect("just written"));
    let listed = world.ok(&["receipts", &task, "--items"]).await;
    assert!(listed.contains("http://www.a.test/y") && listed.contains("ITEM"), "{listed}");
    let words: Vec<&str> = listed.lines().last().unwrap_or_default().split_whitespace().collect();
    assert_eq!(words, ["2", "one", "applied", "1", "http://www.a.test/y"], "the node said `Purged 1`: {listed}");
    // The operator knows the task's id only.
    let bearer = format!("Bearer {TOKEN}");
    let operator = async |path: &str| get(world.admin, "admin", path, &[("authorization", bearer.as_str())]).await.body;
    let told: Value = serde_json::from_str(&operator(&format!("/v1/tasks/{task}/receipts")).await).expect("JSON");
    assert_eq!((&told["Account"], &told["Nodes"][0]["Node"]), (&1.into(), &"one".into()));
    let by_operator = world.file("by-operator");
    let signed = operator(&format!("/v1/tasks/{task}/receipts/signed")).await;
    std::fs::write(&by_operator, signed).expect("a writable folder");
    assert!(operator("/v1/tasks/1-x/receipts").await.contains("NotFound"));
    // From here on nobody can be asked.
    assert!(server.terminate().await.success());

    assert_eq!(world.verify(&by_operator, &key).await.status.code(), Some(0));
    let verified = world.verify(&file, &key).await;
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stderr));
    let said: Value = serde_json::from_slice(&verified.stdout).expect("one JSON document");
    assert_eq!((&said["Verified"], &said["ProvesRemoval"]), (&Value::from(true), &Value::from(true)));
    let said = &said["Statement"];
    assert_eq!((&said["Server"], &said["TaskId"]), (&Value::from("purger-1"), &Value::from(task)));
    assert_eq!((&said["Status"], &said["Account"], &said["Mode"]), (&"done".into(), &1.into(), &"delete".into()));
    assert_eq!(said["Items"][1]["Url"], "http://www.a.test/y");
    let at = &said["Nodes"][0];
    assert_eq!((&at["Node"], &at["Fence"], &at["Attempts"]), (&"one".into(), &"none".into(), &1.into()));
    assert_eq!((&at["Outcomes"][0]["First"], &at["Outcomes"][0]["Last"]), (&1.into(), &2.into()));
    assert_eq!((&at["Outcomes"][0]["Outcome"], &at["Outcomes"][0]["Copies"]), (&"applied".into(), &1.into()));
    assert!(said["DoneAt"].as_str() >= said["AcceptedAt"].as_str(), "{said}");

    let people = world.ok(&["receipts", "verify", utf8(&file), "--key", utf8(&key)]).await;
    for part in ["done", "no fence", "1-2 applied to 1 copy"] {
        assert!(people.contains(part), "{part}: {people}");
    }
}

#[tokio::test]
async fn whole_signed_receipt_that_was_changed_or_is_of_another_key_is_refused() {
    let node = Recorder::start().await;
    let world = World::start(Setup::new().node("one", "mainland", "varnish", node.address, FENCE));
    let task = world.purge(&["http://www.a.test/x", "--wait"]).await;
    let (file, key) = (world.signed(&task).await, world.key().await);
    let original = std::fs::read(&file).expect("just written");
    // A byte in each part of the envelope; each byte is changed in the tests of the envelope.
    for place in [0, 14, original.len() / 2, original.len() - 8] {
        let mut changed = original.clone();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let path = world.file("changed");
        std::fs::write(&path, changed).expect("a writable folder");
        let verified = world.verify(&path, &key).await;
        assert_eq!(verified.status.code(), Some(7), "byte {place}: {}", text(&verified.stderr));
        assert!(text(&verified.stderr).contains("NOT VERIFIED"), "{}", text(&verified.stderr));
    }
    let other = World::start(Setup::new());
    let verified = world.verify(&file, &other.key().await).await;
    assert_eq!(verified.status.code(), Some(7));
    assert!(text(&verified.stderr).contains("another key"), "{}", text(&verified.stderr));
    assert_eq!(world.verify(&file, &world.file("nothing")).await.status.code(), Some(2));
}

#[tokio::test]
async fn whole_signed_receipt_of_a_task_that_is_not_done_is_no_proof_and_says_so() {
    let setup = Setup::new().section("[relay]\nfail_after = \"300ms\"\nretry_max = \"100ms\"\n");
    let world = World::start(setup.node("away", "mainland", "varnish", free_address(), FENCE));
    let task = world.purge(&["http://inland.a.test/x", "--wait"]).await;
    let made = world.run(&["receipts", &task, "--signed"]).await;
    assert!(text(&made.stderr).contains("no proof"), "{}", text(&made.stderr));
    let file = world.file("failed");
    std::fs::write(&file, made.stdout).expect("a writable folder");
    let verified = world.verify(&file, &world.key().await).await;
    assert_eq!(verified.status.code(), Some(1));
    assert!(text(&verified.stderr).contains("NO PROOF"), "{}", text(&verified.stderr));
    let said = text(&verified.stdout);
    for part in ["\"Status\": \"fail\"", "\"Outcome\": \"pending\"", "no connection"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
