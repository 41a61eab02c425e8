//! A real Traffic Server, below a directory of its own.
//!
//! What this is: the sample configuration of `docs/caches/trafficserver` laid out with a run root, so
//! that any number of them run beside each other and beside the machine's own. `traffic_manager` is
//! what is started: only with it `traffic_ctl config reload` takes up new purge rules.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{RealCache, Relay, directory, free_addresses, sample, start};

/// The files of the sample.
const FILES: [&str; 7] = [
    "records.config",
    "storage.config",
    "ip_allow.yaml",
    "parent.config",
    "remap.config",
    "plugin.config",
    "catharsis.lua",
];
/// What Traffic Server and `traffic_ctl` take for the layout of an installation.
const RUN_ROOT: &str = "runroot.yaml";

impl RealCache {
    /// Starts a Traffic Server in front of an origin.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn trafficserver(origin: SocketAddr, relay: Relay) -> Self {
        Self::trafficserver_edited(origin, relay, |_, text| text).await
    }

    /// As [`Self::trafficserver`], with a change to its files: a name and a text become a text.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn trafficserver_edited(origin: SocketAddr, relay: Relay, edit: impl Fn(&str, String) -> String) -> Self {
        let directory = directory();
        let [traffic] = free_addresses();
        let at = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir(&path).expect("a writable directory");
            path.to_str().expect("a temporary path is text").to_owned()
        };
        let [etc, cache, run, logs, rules] = ["etc", "cache", "run", "logs", "rules"].map(at);
        let values = [
            ("@ORIGIN_HOST@", origin.ip().to_string()),
            ("@ORIGIN_PORT@", origin.port().to_string()),
            ("@RELAY_HOST@", relay.address().to_owned()),
            ("@LISTEN_HOST@", traffic.ip().to_string()),
            ("@LISTEN_PORT@", traffic.port().to_string()),
            ("@CACHE_DIR@", cache.clone()),
            ("@RULES_DIR@", rules),
        ];
        let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
        for name in FILES {
            let text = edit(name, sample(&format!("trafficserver/{name}"), &values));
            std::fs::write(Path::new(&etc).join(name), text).expect("a writable directory");
        }
        let layout = [
            ("prefix", "/usr"),
            ("exec_prefix", "/usr"),
            ("bindir", "/usr/bin"),
            ("sbindir", "/usr/sbin"),
            ("includedir", "/usr/include"),
            ("libdir", "/usr/lib/trafficserver"),
            ("libexecdir", "/usr/lib/trafficserver/modules"),
            ("sysconfdir", &etc),
            ("datadir", &cache),
            ("cachedir", &cache),
            ("localstatedir", &run),
            ("runtimedir", &run),
            ("logdir", &logs),
        ];
        let layout: String = layout.iter().map(|(name, path)| format!("{name}: {path}\n")).collect();
        let run_root = directory.path().join(RUN_ROOT);
        std::fs::write(&run_root, layout).expect("a writable directory");
        let mut command = Command::new("traffic_manager");
        command.arg(format!("--run-root={}", run_root.display())).arg("--nosyslog");
        let process = start(&mut command, &directory, "trafficserver");
        let mut cache = Self { traffic, purge: traffic, management: None, htcp: None, process, command, directory };
        cache.listens(traffic).await;
        cache
    }

    /// Where the sample's `plugin.config` looks for the rules by which directories are purged.
    #[must_use]
    pub fn trafficserver_rules(&self) -> PathBuf {
        self.directory.path().join("rules/rules")
    }

    /// The command that makes this Traffic Server take up new rules, and its arguments.
    #[must_use]
    pub fn trafficserver_reload(&self) -> Vec<String> {
        let run_root = format!("--run-root={}", self.directory.path().join(RUN_ROOT).display());
        ["traffic_ctl".to_owned(), run_root, "config".to_owned(), "reload".to_owned()].into()
    }
}
