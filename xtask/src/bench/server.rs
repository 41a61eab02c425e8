//! The release binary as a process, and requests signed for it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use catharsis_tcapi::auth::{SecretId, SecretKey};
use catharsis_tcapi::cdn::VERSION;
use catharsis_tcapi::client::{Credentials, Moment, SignForm, Signer};
use serde_json::Value;

/// A key pair.
#[derive(Clone)]
pub(super) struct Keys {
    /// The public half.
    pub id: String,
    /// The secret half.
    pub secret: String,
}

/// The root account's keys.
pub(super) fn root() -> Keys {
    Keys { id: "AKIDbench".to_owned(), secret: "bench-secret".to_owned() }
}

/// The database of a server in this folder.
pub(super) fn database(folder: &Path) -> PathBuf {
    folder.join("bench.db")
}

/// A running server. Ends when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Where the API listens; absent in a process of edges only.
    pub api: Option<SocketAddr>,
    /// Where metrics are.
    pub ops: SocketAddr,
}

/// The configuration of an API with a store in this folder, and further sections. Quota and rate are
/// counted for each call as always, and too large to be reached.
pub(super) fn api_config(folder: &Path, sections: &str) -> String {
    let store = database(folder);
    let Keys { id, secret } = root();
    format!(
        "[api]\nlisten = \"127.0.0.1:0\"\n[ops]\nlisten = \"127.0.0.1:0\"\n[store]\npath = {store:?}\n\
         [log]\nformat = \"json\"\nfilter = \"warn,catharsis=info,catharsis_server::assemble=info\"\n\
         [limits]\nurls_per_day = 4000000000\nrequests_per_second = 4000000000\n\
         [[account]]\nuin = 1\n[[account.key]]\nsecret_id = \"{id}\"\nsecret_key = \"{secret}\"\n\
         [[account.domain]]\nname = \"www.bench.test\"\narea = \"mainland\"\n{sections}\n"
    )
}

impl Server {
    /// Starts the binary and waits until it is ready.
    ///
    /// # Errors
    /// When it ends before that.
    pub(super) fn start(binary: &Path, folder: &Path, config: &str) -> anyhow::Result<Self> {
        let file = folder.join("bench.toml");
        std::fs::write(&file, config)?;
        let mut child = Command::new(binary)
            .args(["serve", "--config"])
            .arg(&file)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", binary.display()))?;
        let mut lines = BufReader::new(child.stderr.take().context("it is piped")?).lines();
        let mut server = Self { child, api: None, ops: SocketAddr::from(([127, 0, 0, 1], 0)) };
        loop {
            let Some(line) = lines.next().transpose()? else { bail!("the server ended before it was ready") };
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            let address = || event["address"].as_str().and_then(|text| text.parse().ok()).context("an address");
            match (event["message"].as_str(), event["door"].as_str()) {
                (Some("catharsis is ready"), _) => break,
                (Some("listening"), Some("api")) => server.api = Some(address()?),
                (Some("listening"), Some("ops")) => server.ops = address()?,
                _ => {}
            }
        }
        // Read on, so that the server is never held up by a full pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(server)
    }

    /// Its process.
    #[must_use]
    pub(super) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Where the API listens.
    ///
    /// # Errors
    /// When it has none.
    pub(super) fn api(&self) -> anyhow::Result<SocketAddr> {
        self.api.context("this process has no API")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// A signed call as it stands on the wire.
///
/// # Errors
/// When it cannot be signed.
pub(super) fn signed(api: SocketAddr, keys: &Keys, action: &str, parameters: &Value) -> anyhow::Result<Vec<u8>> {
    let secret_id = SecretId::parse(&keys.id).context("a valid id")?;
    let credentials = Credentials { secret_id, secret_key: SecretKey::new(&keys.secret), token: None };
    let signer = Signer::new(&api.to_string(), credentials, SignForm::Tc3Post)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let at = Moment { unix: i64::try_from(now.as_secs())?, nonce: 1 };
    let request = signer.sign(action, VERSION, parameters, at)?;
    let mut bytes = format!("{} / HTTP/1.1\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        bytes.extend_from_slice(format!("{name}: ").as_bytes());
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", request.body().len()).as_bytes());
    bytes.extend_from_slice(request.body());
    Ok(bytes)
}
