//! Putting a node together: data directory, keys, transport, mesh, proxy, listeners and tasks, in that order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant as TokioInstant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::{self, Address};
use super::clock::{Clock, unix_now};
use super::datadir::DataDir;
use super::event_loop::{Leaving, Node};
use super::listeners::{self, Listeners};
use super::local_services::LocalServices;
use super::machine::{self, Machine};
use super::{RunError, entropy, load_task, store_task};
use crate::admin::{Journal, Token};
use crate::config::{Config, Secret};
use crate::id::{Identity, NodeId};
use crate::mesh::{Boot, Config as MeshConfig, Mesh, StoreConfig};
use crate::metrics::Metrics;
use crate::probe::checker::Checker;
use crate::router::proxy::{Proxy, ProxyConfig, Sources};
use crate::summary::stores::Store;
use crate::transport::{Incoming, Keyring, Proxied, Transport, TransportConfig};

/// Results of tasks that may wait for the loop.
const RESULTS: usize = 1024;

/// Commands and refused connections that may wait for the loop.
const COMMANDS: usize = 64;

/// What `run` prints once it serves.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    /// Always true.
    pub ready: bool,
    /// The node's identity.
    pub worker_id: NodeId,
    /// Where membership and links are bound.
    pub bind: SocketAddr,
    /// Base URL for local callers.
    pub ingress: String,
    /// Base URL of the admin API.
    pub admin: String,
    /// Base URL of the edge listener, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge: Option<String>,
}

/// What a node is before it has sockets.
struct Foundation {
    data_dir: Arc<DataDir>,
    identity: Identity,
    keyring: Keyring,
    boot: Boot,
}

impl Foundation {
    fn lay(config: &Config) -> Result<Self, RunError> {
        let data_dir = Arc::new(DataDir::open(&config.data_dir)?);
        let identity = data_dir.identity(config)?;
        let keyring = data_dir.cluster_key(config)?;
        let epoch = data_dir.next_epoch(unix_now().as_secs())?;
        let boot = Boot { epoch, nonce: u64::from_be_bytes(entropy::random()), seed: entropy::random() };
        Ok(Self { data_dir, identity, keyring, boot })
    }
}

/// Builds the node and starts its tasks.
pub(super) async fn assemble(
    config: Config,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(Node, Ready), RunError> {
    let clock = Clock::start();
    let metrics = Metrics::new();
    let Foundation { data_dir, identity, keyring, boot } = Foundation::lay(&config)?;
    let (id, epoch) = (identity.id(), boot.epoch);
    let (cluster_id, key_id) = (keyring.cluster_id(&config.cluster), keyring.sealing().id());
    let listeners = Listeners::bind(&config).await?;
    let transport = TransportConfig {
        bind: config.bind,
        identity: identity.clone(),
        cluster: config.cluster.clone(),
        keyring,
        boot_nonce: boot.nonce,
        epoch,
    };
    let (transport, incoming) = Transport::bind(transport, metrics.clone(), tasks, stop.clone()).await?;
    let address = Address::find(&config, transport.local_addr()).await?;
    let services = LocalServices::new(config.services.clone(), data_dir.services()?);
    let machine = Machine::new();
    let mut mesh_config = mesh_config(&config, &data_dir, &machine)?;
    mesh_config.addr = Some(address.current());
    mesh_config.services = services.targets();
    mesh_config.cluster_id = cluster_id;
    let now = clock.now();
    let mut mesh = Mesh::new(mesh_config, identity, boot, now)?;

    let (views, view) = watch::channel(mesh.view(now));
    transport.set_known_epochs(view.clone());
    let (summary, summary_out) = watch::channel(Arc::from(mesh.live_summary(unix_now().as_secs())));
    let (results_in, results) = mpsc::channel(RESULTS);
    let (commands_in, commands) = mpsc::channel(COMMANDS);
    let (refused_in, refused) = mpsc::channel(COMMANDS);
    let (store, store_calls) = mpsc::channel(store_task::CALLS);
    let api = config.cloudflare_api.as_ref().map(url::Url::as_str);
    let token = config.cloudflare_token.as_ref().map(Secret::expose);
    let opened = Store::open(&config.store, &config.cluster, api, token)?;
    tasks.spawn(store_task::run(opened, store_calls, results_in.clone(), metrics.clone()));

    let sources = Sources {
        views: view.clone(),
        services: services.subscribe(),
        summary: summary_out,
        links: transport.links(),
    };
    let proxy_config = ProxyConfig {
        local: id,
        mesh_domain: config.mesh_domain.clone(),
        max_body: config.max_body,
        max_header: config.max_header,
        max_connections: config.max_connections,
    };
    let access_log = listeners::access_log(&config).await?;
    let proxy = Proxy::new(proxy_config, sources, clock, metrics.clone(), refused_in, access_log)?;
    let journal = Arc::new(Journal::new(view.clone()));
    let admin = crate::admin::State {
        views: view,
        journal: Arc::clone(&journal),
        commands: commands_in,
        metrics: metrics.clone(),
        services: services.subscribe(),
        clock,
        store: config.store.to_string(),
        token: config.admin_token_file.as_deref().map(Token::read).transpose()?,
        addr: listeners.admin_addr(),
    };
    let ready = listeners.ready(id, transport.local_addr());
    listeners.serve(&proxy, admin, tasks, stop);
    tasks.spawn(load_task::run(machine, proxy.clone(), results_in.clone()));
    if !address.is_settled() && !config.join.is_empty() {
        let port = transport.local_addr().port();
        tasks.spawn(address::learn(transport.links(), config.join.clone(), port, results_in.clone()));
    }
    let Incoming { datagrams, requests, proxied, hints } = incoming;
    tasks.spawn(exit_task(proxied, proxy.clone(), tasks.clone()));
    let (seeds, published) = (config.join.clone(), mesh.view_version());
    let node = Node {
        mesh,
        clock,
        config,
        transport: Arc::new(transport),
        datagrams,
        requests,
        hints,
        proxy,
        data_dir,
        journal,
        metrics,
        checker: Checker::new(),
        seeds,
        address,
        services,
        epoch,
        key_id,
        views,
        summary,
        commands,
        refused,
        store,
        results,
        results_in,
        asked: BTreeMap::new(),
        last_asked: 0,
        tasks: tasks.clone(),
        leaving: Leaving::No,
        published,
        published_at: TokioInstant::now(),
    };
    Ok((node, ready))
}

/// Gives each request of a member to the exit, until the transport has ended.
async fn exit_task(mut proxied: mpsc::Receiver<Proxied>, proxy: Proxy, tasks: TaskTracker) {
    while let Some(request) = proxied.recv().await {
        tasks.spawn(proxy.clone().exit(request));
    }
}

fn mesh_config(config: &Config, data_dir: &DataDir, machine: &Machine) -> Result<MeshConfig, RunError> {
    let capabilities = machine.capabilities();
    Ok(MeshConfig {
        cluster: config.cluster.clone(),
        cluster_id: 0,
        name: config.name.clone(),
        zone: config.zone.clone(),
        tier: config.tier.unwrap_or_else(|| machine::tier(&capabilities)),
        capabilities,
        public_url: config.public_url.clone(),
        addr: None,
        seeds: config.join.len(),
        peers: data_dir.peers()?,
        services: Vec::new(),
        routes: config.routes.clone(),
        election_hold: config.election_hold,
        leader_priority: config.leader_priority,
        leader_eligible: config.leader_eligible,
        store: StoreConfig {
            id: config.store.id(),
            remote: config.store.is_remote(),
            max_writes_per_day: config.max_writes_per_day,
            staleness: config.store_staleness,
        },
        write_record: data_dir.write_record()?,
        meshnode_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
