//! `catharsis quickstart`: the main job, shown on one machine with nothing else installed.
//!
//! What this is: the real API, relay, store and edges, assembled like `serve` does, with an origin, an
//! account and a domain made up for the occasion; then [`steps`] are played against it over HTTP.
//! What this is not: a mock of any part.

mod client;
mod origin;
mod show;
mod steps;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use tokio_util::sync::CancellationToken;

use catharsis_adapters::clock::SystemClock;
use catharsis_tcapi::auth::{SecretId, SecretKey};
use catharsis_tcapi::client::{Credentials, SignForm, Signer};

use crate::assemble::{self, Running};
use crate::config::{
    AccountSection, ApiSection, AuditMode, AuditSection, Config, DomainSection, EdgeSection, JoinName, KeySection,
    KindName, LimitsSection, LogFormat, LogSection, NodeAreaName, NodeSection, OpsSection, PushSection, RelaySection,
    Secret, StoreSection, TierName,
};
use crate::edges;
use crate::http::{Door, DoorLimits};
use crate::logging;
use origin::{PAGE, PUBLISH, SampleOrigin};
use show::Show;
use steps::Scene;

const HOST: &str = "www.example.test";
/// The relay is on this machine and grants one at once.
const LEASED_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);
const UIN: u64 = 100_000_000_001;

/// What can be chosen.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// End after the steps, with status 0 only if each was seen
    #[arg(long)]
    pub once: bool,
    /// Port of the API; the edges and the origin take the next ones. Busy ports are replaced by free ones, and 0 takes
    /// free ones throughout
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Keep the store in this folder; by default in a temporary one that goes with the process
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// The demo account's keys.
struct DemoKeys {
    id: String,
    key: String,
}

/// The whole installation.
struct Installation {
    running: Running,
    edges: Vec<(String, SocketAddr)>,
    origin: Arc<SampleOrigin>,
    origin_address: SocketAddr,
    keys: DemoKeys,
    api: SocketAddr,
    stop: CancellationToken,
}

/// Runs the quickstart until it is stopped, or to the end of its steps with `--once`.
///
/// # Errors
/// When a part cannot start. A step that does not show what it promises is a failure status.
pub async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    logging::start(&LogSection { format: LogFormat::Text, filter: "error".to_owned() })?;
    let show = Show::detect();
    show.line("catharsis quickstart: API, relay, origin and two edges on this machine.");
    let temporary = tempfile::tempdir().context("no temporary folder")?;
    let folder = options.data.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let installation = install(&options, folder.join("quickstart.db")).await?;
    tell_addresses(&show, &installation);

    let played = tokio::select! {
        played = play(&show, &installation) => played,
        () = stop.cancelled() => Err(anyhow::anyhow!("stopped before the steps were over")),
    };
    let status = match &played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show.line(&format!("\nFAILED: {error:#}"));
            ExitCode::FAILURE
        }
    };
    if played.is_ok() && !options.once {
        tell_next(&show, &installation);
        stop.cancelled().await;
        show.line("stopping");
    }
    installation.stop.cancel();
    installation.running.stop().await;
    Ok(status)
}

async fn play(show: &Show, installation: &Installation) -> anyhow::Result<()> {
    let DemoKeys { id, key } = &installation.keys;
    let secret_id = SecretId::parse(id).context("the demo key is well formed")?;
    let credentials = Credentials { secret_id, secret_key: SecretKey::new(key.as_str()), token: None };
    let signer = Signer::new(&installation.api.to_string(), credentials, SignForm::Tc3Post)?;
    Scene {
        show,
        api: installation.api,
        signer: &signer,
        edges: &installation.edges,
        origin: &installation.origin,
        host: HOST,
        clock: SystemClock::new(),
    }
    .play()
    .await
}

async fn install(options: &Options, store: PathBuf) -> anyhow::Result<Installation> {
    let keys = DemoKeys { id: format!("AKID{}", random_text(32)), key: random_text(32) };
    let stop = CancellationToken::new();
    let mut ports = Ports { next: options.port };

    let api_listen = ports.take();
    let edge_listens =
        [("mainland", NodeAreaName::Mainland, ports.take()), ("overseas", NodeAreaName::Overseas, ports.take())];
    let limits =
        DoorLimits { connections_max: 256, drain_timeout: std::time::Duration::from_secs(1), ..DoorLimits::USUAL };
    let door = Door::open(ports.take(), limits).await.context("the origin cannot listen")?;
    let origin = SampleOrigin::new();
    let origin_address = door.address()?;
    tokio::spawn(door.serve(Arc::clone(&origin), stop.clone()));

    let mut running_edges = Vec::new();
    let mut edges = Vec::new();
    let mut nodes = Vec::new();
    for (name, area, listen) in edge_listens {
        let control = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let section = EdgeSection::with_upstream(&format!("edge-{name}"), listen, control, origin_address);
        let edge = edges::start(&section, None)?;
        nodes.push(node(name, area, (edge.control_addr(), edge.traffic_addr())));
        edges.push((name.to_owned(), edge.traffic_addr()));
        running_edges.push(edge);
    }
    let config = config(api_listen, ports.take(), store, nodes, &keys);
    let checked = config.check()?;
    let mut running = assemble::start(&config, checked).await?;
    // Before its first lease an edge has each copy confirmed, which is no HIT.
    let leased = async {
        for edge in &running_edges {
            edge.trusts().await;
        }
    };
    tokio::time::timeout(LEASED_WITHIN, leased).await.context("the edges were granted no lease within 30 s")?;
    running.adopt(running_edges);
    let api = running.api().context("the API was not started")?;
    Ok(Installation { running, edges, origin, origin_address, keys, api, stop })
}

fn config(api: SocketAddr, ops: SocketAddr, store: PathBuf, nodes: Vec<NodeSection>, keys: &DemoKeys) -> Config {
    let key = KeySection {
        secret_id: keys.id.clone(),
        secret_key: Some(Secret::new(keys.key.clone())),
        secret_key_file: None,
    };
    let domain =
        DomainSection { name: HOST.to_owned(), area: Default::default(), status: Default::default(), key_rules: None };
    Config {
        api: Some(ApiSection::on(api)),
        store: Some(StoreSection::at(store)),
        admin: None,
        ops: OpsSection { listen: Some(ops) },
        relay: RelaySection::default(),
        probe: None,
        push: PushSection::default(),
        limits: LimitsSection::default(),
        webhooks: Default::default(),
        // It shows what its origin is asked for, and an audit asks too.
        audit: AuditSection { mode: AuditMode::Off, ..AuditSection::default() },
        receipts: Default::default(),
        log: LogSection::default(),
        accounts: vec![AccountSection {
            uin: UIN,
            keys: vec![key],
            domains: vec![domain],
            ..AccountSection::default()
        }],
        nodes,
        edges: Vec::new(),
        agents: Vec::new(),
    }
}

fn node(name: &str, area: NodeAreaName, (control, traffic): (SocketAddr, SocketAddr)) -> NodeSection {
    NodeSection {
        name: format!("edge-{name}"),
        pop: name.to_owned(),
        area,
        tier: TierName::Edge,
        kind: KindName::Edge,
        address: control,
        traffic: Some(traffic),
        htcp: None,
        shield: None,
        fence: None,
        join: JoinName::Everything,
        rotation: Default::default(),
        token: None,
        token_file: None,
        agent: None,
        lease: None,
        management: None,
        management_secret_file: None,
        bans_max: None,
    }
}

fn tell_addresses(show: &Show, installation: &Installation) {
    show.line(&format!("  API       http://{}", installation.api));
    for (area, edge) in &installation.edges {
        show.line(&format!("  {area:<9} http://{edge}"));
    }
    show.line(&format!("  origin    http://{}", installation.origin_address));
    show.line(&format!("  SecretId  {}\n  SecretKey {}", installation.keys.id, installation.keys.key));
}

fn tell_next(show: &Show, installation: &Installation) {
    let Installation { api, origin_address, edges, keys, .. } = installation;
    let url = format!("http://{HOST}{PAGE}");
    let edge = edges.first().map_or(*api, |(_, edge)| *edge);
    let ops = installation.running.ops().map(|ops| format!("\n  curl http://{ops}/metrics")).unwrap_or_default();
    show.line(&format!(
        "
Everything stays up until Ctrl-C. Try next, in another terminal:

  export TENCENTCLOUD_SECRET_ID={id} TENCENTCLOUD_SECRET_KEY={key} CATHARSIS_ENDPOINT=http://{api}

  # publish a new version, look at an edge, purge, look again
  curl -X POST http://{origin_address}{PUBLISH}
  curl -i -H 'Host: {HOST}' http://{edge}{PAGE}
  catharsis purge {url} --wait && catharsis nodes{ops}

  # the official command line (pip install tccli)
  tccli cdn PurgeUrlsCache --endpoint http://{api} --region ap-guangzhou --Urls '[\"{url}\"]'

  # the official Python SDK (pip install tencentcloud-sdk-python-cdn)
  python3 - <<'PY'
import os
from tencentcloud.common import credential
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.cdn.v20180606 import cdn_client, models
key = credential.Credential(os.environ['TENCENTCLOUD_SECRET_ID'], os.environ['TENCENTCLOUD_SECRET_KEY'])
profile = ClientProfile(httpProfile=HttpProfile(protocol='http', endpoint='{api}'))
request = models.PurgeUrlsCacheRequest()
request.Urls = ['{url}']
print(cdn_client.CdnClient(key, '', profile).PurgeUrlsCache(request).to_json_string())
PY
",
        id = keys.id,
        key = keys.key,
    ));
}

/// Ports from the one asked for upwards, or free ones where those are taken.
struct Ports {
    next: u16,
}

impl Ports {
    /// An address to listen on. Another process may take the port before it is bound; then the bind
    /// fails and says so.
    fn take(&mut self) -> SocketAddr {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        if self.next == 0 {
            return free;
        }
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, self.next));
        self.next = self.next.saturating_add(1);
        std::net::TcpListener::bind(wanted).map_or(free, |_probe| wanted)
    }
}

fn random_text(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}
