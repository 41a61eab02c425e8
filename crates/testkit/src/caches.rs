//! Real caches on free ports, set up by the sample configurations.
//!
//! What this is: Varnish, nginx, Squid and Traffic Server started from `docs/caches`, in a directory of their own that goes
//! with them, ready when they are returned and stopped by their own process id when dropped. What
//! this is not: a reason to skip a test; a missing program is a panic that says what to install.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

mod faults;
mod trafficserver;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::Instant;

mod squid;

/// How long a cache may take to listen: varnishd compiles its configuration with a C compiler.
const START_MAX: Duration = Duration::from_secs(60);

/// What the secret file of a Varnish holds, which is not secret here.
pub const VARNISH_SECRET: &[u8] = b"of no worth\n";

/// Who may purge a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// The loopback address, from which tests purge.
    Allowed,
    /// Another address only, so that tests are denied.
    Elsewhere,
}

impl Relay {
    const fn address(self) -> &'static str {
        match self {
            Self::Allowed => "127.0.0.1",
            // Reserved for documentation (RFC 5737): nobody has it.
            Self::Elsewhere => "192.0.2.1",
        }
    }
}

/// A running cache. Ends when dropped.
#[derive(Debug)]
pub struct RealCache {
    /// Where clients come in.
    pub traffic: SocketAddr,
    /// Where purges come in.
    pub purge: SocketAddr,
    /// Varnish's management port; its secret is [`VARNISH_SECRET`].
    pub management: Option<SocketAddr>,
    /// Where Squid takes purges by HTCP.
    pub htcp: Option<SocketAddr>,
    process: Child,
    /// How it was started, and is again after a crash.
    command: Command,
    directory: TempDir,
}

impl RealCache {
    /// Starts a Varnish in front of an origin.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn varnish(origin: SocketAddr, relay: Relay) -> Self {
        Self::varnish_with(&Self::varnish_vcl(origin, relay)).await
    }

    /// The sample configuration of Varnish, with the sample rules for keys.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn varnish_vcl(origin: SocketAddr, relay: Relay) -> String {
        let vcl = sample(
            "varnish.vcl",
            &[
                ("@ORIGIN_HOST@", &origin.ip().to_string()),
                ("@ORIGIN_PORT@", &origin.port().to_string()),
                ("@RELAY_HOST@", relay.address()),
            ],
        );
        let rules = "# include \"./varnish-keys.vcl\";";
        assert!(vcl.contains(rules), "varnish.vcl says where rules for keys are included");
        vcl.replace(rules, &rules[2..])
    }

    /// Starts a Varnish with this configuration and the options that docs/caches/README.md asks for.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn varnish_with(vcl: &str) -> Self {
        Self::varnish_started(vcl, &["-p", "ban_lurker_age=1", "-p", "cli_limit=16m"]).await
    }

    /// Starts a Varnish with this configuration and these further options.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn varnish_started(vcl: &str, options: &[&str]) -> Self {
        let directory = directory();
        let file = directory.path().join("test.vcl");
        std::fs::write(&file, vcl).expect("a writable directory");
        std::fs::write(directory.path().join("varnish-keys.vcl"), sample("varnish-keys.vcl", &[])).expect("writable");
        let secret = directory.path().join("secret");
        std::fs::write(&secret, VARNISH_SECRET).expect("a writable directory");
        let [traffic, management] = free_addresses();
        let mut command = Command::new("varnishd");
        command
            .arg("-F")
            .arg("-n")
            .arg(directory.path().join("work"))
            .args(["-a", &traffic.to_string(), "-T", &management.to_string(), "-S"])
            .arg(&secret)
            .args(["-s", "malloc,64m", "-f"])
            .arg(&file)
            .args(options);
        let process = start(&mut command, &directory, "varnish");
        let mut cache =
            Self { traffic, purge: traffic, management: Some(management), htcp: None, process, command, directory };
        cache.listens(traffic).await;
        cache
    }

    /// Where Varnish is started: what `varnishstat -n` wants.
    #[must_use]
    pub fn varnish_directory(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// Starts an nginx in front of an origin.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn nginx(origin: SocketAddr, relay: Relay) -> Self {
        Self::nginx_edited(origin, relay, |configuration| configuration).await
    }

    /// As [`Self::nginx`], with a change to its configuration.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn nginx_edited(origin: SocketAddr, relay: Relay, edit: impl FnOnce(String) -> String) -> Self {
        Self::nginx_of("nginx.conf", origin, relay, edit).await
    }

    /// Starts an nginx with the key rules of the sample, in front of an origin.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn nginx_keys(origin: SocketAddr, relay: Relay) -> Self {
        Self::nginx_of("nginx-keys.conf", origin, relay, |configuration| configuration).await
    }

    async fn nginx_of(name: &str, origin: SocketAddr, relay: Relay, edit: impl FnOnce(String) -> String) -> Self {
        let [traffic, purge] = free_addresses();
        let directory = directory();
        let at = |name: &str| made(&directory, name);
        let configuration = sample(
            name,
            &[
                ("@ORIGIN_HOST@", &origin.ip().to_string()),
                ("@ORIGIN_PORT@", &origin.port().to_string()),
                ("@RELAY_HOST@", relay.address()),
                ("@LISTEN_HOST@", &traffic.ip().to_string()),
                ("@LISTEN_PORT@", &traffic.port().to_string()),
                ("@PURGE_HOST@", &purge.ip().to_string()),
                ("@PURGE_PORT@", &purge.port().to_string()),
                ("@CACHE_DIR@", &at("cache")),
                ("@RUN_DIR@", &at("run")),
            ],
        );
        let mut cache = Self::start_nginx(directory, &edit(configuration), traffic, purge);
        cache.listens(traffic).await;
        cache.listens(purge).await;
        cache
    }

    /// Starts an nginx without any purge module in front of an origin, for an agent.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn nginx_stock(origin: SocketAddr) -> Self {
        Self::nginx_stock_edited(origin, |configuration| configuration).await
    }

    /// As [`Self::nginx_stock`], with a change to its configuration.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn nginx_stock_edited(origin: SocketAddr, edit: impl FnOnce(String) -> String) -> Self {
        let [traffic] = free_addresses();
        let directory = directory();
        let at = |name: &str| made(&directory, name);
        let configuration = sample(
            "nginx-stock.conf",
            &[
                ("@ORIGIN_HOST@", &origin.ip().to_string()),
                ("@ORIGIN_PORT@", &origin.port().to_string()),
                ("@LISTEN_HOST@", &traffic.ip().to_string()),
                ("@LISTEN_PORT@", &traffic.port().to_string()),
                ("@CACHE_DIR@", &at("cache")),
                ("@RUN_DIR@", &at("run")),
            ],
        );
        let mut cache = Self::start_nginx(directory, &edit(configuration), traffic, traffic);
        cache.listens(traffic).await;
        cache
    }

    fn start_nginx(directory: TempDir, configuration: &str, traffic: SocketAddr, purge: SocketAddr) -> Self {
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, configuration).expect("a writable directory");
        let owner = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(directory.path().join("run"))
            .arg("-c")
            .arg(&file)
            // Started by root, its workers would be somebody who cannot write here.
            .args(["-g", &format!("daemon off; user {owner};")]);
        let process = start(&mut command, &directory, "nginx libnginx-mod-http-cache-purge libnginx-mod-http-lua");
        Self { traffic, purge, management: None, htcp: None, process, command, directory }
    }

    /// The directory of an nginx's cached files.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    /// Its process, whose children do the work.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it accepts connections.
    async fn listens(&mut self, address: SocketAddr) {
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect(address).await.is_err() {
            let ended = self.process.try_wait().expect("our own child");
            assert!(ended.is_none(), "it ended at once: {}", self.log());
            assert!(Instant::now() < deadline, "it does not listen: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(log_path(&self.directory)).unwrap_or_default()
    }
}

impl RealCache {
    fn end(&mut self) {
        // By its own id and with TERM: killed outright, it would leave its workers behind.
        let asked = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &self.process.id().to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            // Only our own child, and only when it could not be asked.
            let _killed = self.process.kill();
        }
        let _ended = self.process.wait();
    }
}

impl Drop for RealCache {
    fn drop(&mut self) {
        self.end();
    }
}

fn directory() -> TempDir {
    let directory = tempfile::tempdir().expect("a writable temporary directory");
    // varnishd gives up root before it opens its files: others must be able to enter.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).expect("our own directory");
    }
    directory
}

/// A directory in it, made now.
fn made(directory: &TempDir, name: &str) -> String {
    let path = directory.path().join(name);
    std::fs::create_dir(&path).expect("a writable directory");
    path.to_str().expect("a temporary path is text").to_owned()
}

fn log_path(directory: &TempDir) -> PathBuf {
    directory.path().join("log")
}

fn start(command: &mut Command, directory: &TempDir, packages: &str) -> Child {
    let log = std::fs::File::create(log_path(directory)).expect("a writable directory");
    let errors = log.try_clone().expect("an open file");
    let program = command.get_program().to_owned();
    command
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be started ({error}): apt-get install {packages}", program.display()))
}

/// Addresses of the loopback interface that were free a moment ago, all different.
fn free_addresses<const COUNT: usize>() -> [SocketAddr; COUNT] {
    // All are held until all are known, or one could be given out twice.
    let sockets: [_; COUNT] = std::array::from_fn(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"));
    sockets.map(|socket| socket.local_addr().expect("a bound socket has an address"))
}

/// A sample configuration of `docs/caches` with its placeholders replaced.
fn sample(name: &str, values: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/caches").join(name);
    let mut text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for (placeholder, value) in values {
        text = text.replace(placeholder, value);
    }
    let left = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .find(|line| line.contains('@') && line.split('@').nth(1).is_some_and(is_placeholder));
    assert!(left.is_none(), "{name}: a placeholder is left: {left:?}");
    text
}

fn is_placeholder(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}
