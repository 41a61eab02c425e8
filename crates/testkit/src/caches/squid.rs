//! A real Squid.
//!
//! What this is: a Squid by `docs/caches/squid.conf`, with a cache on disk, which survives
//! [`RealCache::restart_squid`]. Started by root it runs as Debian's `proxy`, so its directories are open to all.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;

use super::{RealCache, Relay, directory, free_addresses, sample, start};

impl RealCache {
    /// Starts a Squid in front of an origin.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn squid(origin: SocketAddr, relay: Relay) -> Self {
        Self::squid_edited(origin, relay, |configuration| configuration).await
    }

    /// As [`Self::squid`], with a change to its configuration.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn squid_edited(origin: SocketAddr, relay: Relay, edit: impl FnOnce(String) -> String) -> Self {
        let directory = directory();
        let [traffic] = free_addresses();
        let htcp = free_datagrams();
        let at = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir(&path).expect("a writable directory");
            open_to_all(&path);
            path.to_str().expect("a temporary path is text").to_owned()
        };
        let configuration = sample(
            "squid.conf",
            &[
                ("@ORIGIN_HOST@", &origin.ip().to_string()),
                ("@ORIGIN_PORT@", &origin.port().to_string()),
                ("@RELAY_HOST@", relay.address()),
                ("@LISTEN_HOST@", &traffic.ip().to_string()),
                ("@LISTEN_PORT@", &traffic.port().to_string()),
                ("@HTCP_PORT@", &htcp.port().to_string()),
                ("@CACHE_DIR@", &at("cache")),
                ("@RUN_DIR@", &at("run")),
            ],
        );
        // Thousands of directories would take longer to make than a test.
        let configuration = configuration.replace(" 256 16 256", " 256 1 4");
        let file = directory.path().join("squid.conf");
        std::fs::write(&file, edit(configuration)).expect("a writable directory");
        let made = squid(directory.path(), traffic).arg("-z").output();
        let made = made.unwrap_or_else(|error| panic!("squid cannot be started ({error}): apt-get install squid"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut command = squid(directory.path(), traffic);
        let process = start(&mut command, &directory, "squid");
        let mut cache =
            Self { traffic, purge: traffic, management: None, htcp: Some(htcp), process, command, directory };
        cache.listens(traffic).await;
        cache
    }

    /// Starts a Squid whose agent is asked for names at this address, by a copy of this program.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn squid_with_agent(origin: SocketAddr, relay: Relay, program: &Path, agent: SocketAddr) -> Self {
        Self::squid_with_command(origin, relay, (program, ""), agent).await
    }

    /// As [`Self::squid_with_agent`], with arguments of the program that stand before the address.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn squid_with_command(
        origin: SocketAddr,
        relay: Relay,
        (program, arguments): (&Path, &str),
        agent: SocketAddr,
    ) -> Self {
        Self::squid_edited(origin, relay, |configuration| {
            // Squid's user may not be able to enter the folder of the build.
            let run = configuration.lines().find_map(|line| line.strip_prefix("coredump_dir "));
            let copy = Path::new(run.expect("the sample names its directory")).join("store-id");
            std::fs::copy(program, &copy).expect("a writable directory");
            let command = format!("{} {arguments}", copy.display());
            let values = [("@STORE_ID_PROGRAM@", command.trim_end()), ("@AGENT@", &agent.to_string())];
            let added = sample("squid-agent.conf", &values);
            let left: Vec<_> = configuration.lines().filter(|line| !line.contains("varies")).collect();
            format!("{}\n{added}", left.join("\n"))
        })
        .await
    }

    /// Ends the Squid as an operator does and starts it again, with what it kept on disk.
    ///
    /// # Panics
    /// When it does not come back.
    pub async fn restart_squid(&mut self) {
        self.end();
        self.process = start(&mut squid(self.directory.path(), self.traffic), &self.directory, "squid");
        self.listens(self.traffic).await;
    }
}

fn squid(directory: &Path, traffic: SocketAddr) -> Command {
    let mut command = Command::new("squid");
    // Squids of one machine share memory by their service name.
    command.args(["-N", "-n", &format!("catharsis{}", traffic.port()), "-f"]).arg(directory.join("squid.conf"));
    command
}

fn free_datagrams() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("a bound socket has an address")
}

fn open_to_all(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).expect("our own directory");
    }
    #[cfg(not(unix))]
    let _same = path;
}
