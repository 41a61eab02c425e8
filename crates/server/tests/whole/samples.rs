//! The sample configurations are valid, and what is wrong in a file is told all at once.

use std::path::Path;
use std::process::{Command, Output};

fn check_config(path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_catharsis"))
        .args(["check-config", "--config"])
        .arg(path)
        .output()
        .expect("the binary was built")
}

#[test]
fn every_sample_is_valid_and_shows_no_secret() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/samples");
    let mut samples = 0;
    for entry in std::fs::read_dir(&folder).expect("the samples are there") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            samples += 1;
            let output = check_config(&path);
            let shown = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
            assert!(!shown.contains("change-me"), "{}", path.display());
        }
    }
    assert!(samples >= 2, "a server and an edge at least");
}

#[test]
fn all_problems_of_a_file_are_told_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("wrong.toml");
    let text = r#"
[api]
listen = "127.0.0.1:0"
[store]
path = "/tmp/x.db"
[[account]]
uin = 1
[[account.key]]
secret_id = "AKID"
[[account.domain]]
name = "http://a.test"
[[node]]
name = "n1"
area = "mainland"
kind = "nginx"
address = "127.0.0.1:1"
[[node]]
name = "n2"
area = "mainland"
kind = "varnish"
address = "127.0.0.1:1"
shield = "nobody"
[[edge]]
name = "e"
listen = "127.0.0.1:0"
control = "0.0.0.0:1"
[[edge.route]]
host = "*"
upstream = "127.0.0.1:1"
"#;
    std::fs::write(&path, text).expect("a writable folder");
    let output = check_config(&path);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for problem in ["secret_key", "http://a.test", "join = \"empty\"", "`nobody`", "write a token"] {
        assert!(told.contains(problem), "{problem}: {told}");
    }
}
