//! Putting a node together: data directory, keys, transport, mesh, proxy, listeners and tasks, in that order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::address::{self, Address};
use super::datadir::DataDir;
use super::event_loop::{Inbox, Leaving, Node};
use super::listeners::{self, Listeners};
use super::local_services::LocalServices;
use super::machine::{self, Machine};
use super::published::Published;
use super::sleep::Sleep;
use super::{RunError, load_task, store_task};
use crate::admin::{Command, Journal, State as AdminState, Token, Traffic};
use crate::clock::{Clock, unix_now};
use crate::config::{Config, Secret};
use crate::entropy;
use crate::id::{Identity, NodeId, ServiceName};
use crate::mesh::{Boot, Config as MeshConfig, Input, Mesh, StoreConfig};
use crate::metrics::Metrics;
use crate::probe::checker::Checker;
use crate::router::proxy::{Proxy, ProxyConfig, Sources, Tracing, TracingConfig};
use crate::summary::StoreCall;
use crate::summary::stores::Store;
use crate::transport::{Incoming, Keyring, Links, Proxied, Transport, TransportConfig};

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
    /// Base URL of the listener for metrics, when it is not the admin API's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
}

/// What a node is before it has sockets.
struct Foundation {
    clock: Clock,
    metrics: Metrics,
    data_dir: Arc<DataDir>,
    identity: Identity,
    keyring: Keyring,
    boot: Boot,
    machine: Machine,
}

impl Foundation {
    fn lay(config: &Config) -> Result<Self, RunError> {
        let data_dir = Arc::new(DataDir::open(&config.data_dir)?);
        let identity = data_dir.identity(config)?;
        let keyring = data_dir.cluster_key(config)?;
        let epoch = data_dir.next_epoch(unix_now().as_secs())?;
        let boot = Boot { epoch, nonce: u64::from_be_bytes(entropy::random()), seed: entropy::random() };
        let (clock, metrics, machine) = (Clock::start(), Metrics::new(), Machine::new());
        Ok(Self { clock, metrics, data_dir, identity, keyring, boot, machine })
    }

    async fn transport(
        &self,
        config: &Config,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<(Transport, Incoming), RunError> {
        let transport = TransportConfig {
            bind: config.bind,
            identity: self.identity.clone(),
            cluster: config.cluster.clone(),
            keyring: self.keyring.clone(),
            boot_nonce: self.boot.nonce,
            epoch: self.boot.epoch,
        };
        Ok(Transport::bind(transport, self.metrics.clone(), tasks, stop.clone()).await?)
    }

    fn tracing(&self, config: &Config) -> Result<Option<Tracing>, RunError> {
        let Some(otlp) = &config.otlp else { return Ok(None) };
        let tracing = TracingConfig {
            collector: otlp.collector.to_string(),
            sample: otlp.sample,
            worker: self.identity.id().to_string(),
            name: config.name.clone(),
        };
        Ok(Some(Tracing::start(&tracing, self.metrics.clone())?))
    }

    fn mesh(&self, config: &Config, services: &LocalServices, addr: SocketAddr) -> Result<Mesh, RunError> {
        let capabilities = self.machine.capabilities();
        let mesh = MeshConfig {
            cluster: config.cluster.clone(),
            cluster_id: self.keyring.cluster_id(&config.cluster),
            name: config.name.clone(),
            zone: config.zone.clone(),
            tier: config.tier.unwrap_or_else(|| machine::tier(&capabilities)),
            capabilities,
            public_url: config.public_url.clone(),
            addr: Some(addr),
            seeds: config.join.len(),
            peers: self.data_dir.peers()?,
            services: services.targets(),
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
            write_record: self.data_dir.write_record()?,
            meshnode_version: env!("CARGO_PKG_VERSION").to_owned(),
            detector: crate::mesh::Detector::default(),
        };
        Ok(Mesh::new(mesh, self.identity.clone(), self.boot.clone(), self.clock.now())?)
    }
}

/// The sending ends of what the loop receives.
struct Senders {
    results: mpsc::Sender<Input>,
    commands: mpsc::Sender<Command>,
    refused: mpsc::Sender<ServiceName>,
}

/// Builds the node and starts its tasks.
pub(super) async fn assemble(
    config: Config,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(Node, Ready), RunError> {
    let base = Foundation::lay(&config)?;
    let listeners = Listeners::bind(&config).await?;
    let (transport, incoming) = base.transport(&config, tasks, stop).await?;
    let address = Address::find(&config, transport.local_addr()).await?;
    let services = LocalServices::new(config.services.clone(), base.data_dir.services()?);
    let mut mesh = base.mesh(&config, &services, address.current())?;

    let now = base.clock.now();
    let published = Published::new(mesh.view(now), mesh.live_summary(unix_now().as_secs(), now));
    transport.set_known_epochs(published.views.subscribe());
    let (senders, inbox, proxied) = inbox(incoming);
    let store = open_store(&config, &senders, &base.metrics, tasks)?;
    let tracing = base.tracing(&config)?;
    let proxy =
        proxy(&config, &base, &published, &services, transport.links(), &senders, tracing.clone()).await?;
    let journal = Arc::new(Journal::new(published.views.subscribe()));
    let admin = AdminState {
        views: published.views.subscribe(),
        journal: Arc::clone(&journal),
        commands: senders.commands,
        metrics: base.metrics.clone(),
        services: services.subscribe(),
        clock: base.clock,
        store: config.store.to_string(),
        token: config.admin_token_file.as_deref().map(Token::read).transpose()?,
        traffic: traffic(&proxy),
        addr: listeners.admin_addr(),
    };
    let (certificate, edge_secrets) = (listeners.certificate(), listeners.edge_secrets());
    let ready = listeners.ready(base.identity.id(), transport.local_addr());
    listeners.serve(&proxy, admin, tasks, stop);
    tasks.spawn(load_task::run(base.machine, proxy.clone(), senders.results.clone()));
    tasks.spawn(exit_task(proxied, proxy.clone(), tasks.clone()));
    if !address.is_settled() && !config.join.is_empty() {
        let (links, port) = (transport.links(), transport.local_addr().port());
        tasks.spawn(address::learn(links, config.join.clone(), port, senders.results.clone()));
    }
    let node = Node {
        mesh,
        clock: base.clock,
        sleep: Sleep::watch(&base.clock),
        config,
        transport: Arc::new(transport),
        inbox,
        proxy,
        data_dir: base.data_dir,
        journal,
        metrics: base.metrics,
        checker: Checker::new(),
        address,
        services,
        epoch: base.boot.epoch,
        keyring: base.keyring,
        published,
        store,
        results: senders.results,
        asked: BTreeMap::new(),
        last_asked: 0,
        tracing,
        certificate,
        edge_secrets,
        tasks: tasks.clone(),
        leaving: Leaving::No,
    };
    Ok((node, ready))
}

fn inbox(incoming: Incoming) -> (Senders, Inbox, mpsc::Receiver<Proxied>) {
    let Incoming { datagrams, requests, proxied, hints } = incoming;
    let (results_in, results) = mpsc::channel(RESULTS);
    let (commands_in, commands) = mpsc::channel(COMMANDS);
    let (refused_in, refused) = mpsc::channel(COMMANDS);
    let senders = Senders { results: results_in, commands: commands_in, refused: refused_in };
    (senders, Inbox { datagrams, requests, hints, results, commands, refused }, proxied)
}

fn open_store(
    config: &Config,
    senders: &Senders,
    metrics: &Metrics,
    tasks: &TaskTracker,
) -> Result<mpsc::Sender<StoreCall>, RunError> {
    let api = config.cloudflare_api.as_ref().map(url::Url::as_str);
    let token = config.cloudflare_token.as_ref().map(Secret::expose);
    let store = Store::open(&config.store, &config.cluster, api, token)?;
    let (calls_in, calls) = mpsc::channel(store_task::CALLS);
    tasks.spawn(store_task::run(store, calls, senders.results.clone(), metrics.clone()));
    Ok(calls_in)
}

async fn proxy(
    config: &Config,
    base: &Foundation,
    published: &Published,
    services: &LocalServices,
    links: Links,
    senders: &Senders,
    tracing: Option<Tracing>,
) -> Result<Proxy, RunError> {
    let sources = Sources {
        views: published.views.subscribe(),
        services: services.subscribe(),
        summary: published.summary.subscribe(),
        links,
    };
    let limits = ProxyConfig {
        local: base.identity.id(),
        mesh_domain: config.mesh_domain.clone(),
        max_body: config.max_body,
        max_header: config.max_header,
        max_connections: config.max_connections,
        max_in_flight: config.max_in_flight,
        max_connections_per_client: config.max_connections_per_client,
        min_body_rate: config.min_body_rate,
    };
    let access_log = listeners::access_log(config).await?;
    let (metrics, refused) = (base.metrics.clone(), senders.refused.clone());
    Ok(Proxy::new(limits, sources, base.clock, metrics, refused, access_log, tracing)?)
}

fn traffic(proxy: &Proxy) -> Traffic {
    let proxy = proxy.clone();
    Traffic::new(move || (proxy.standings(), proxy.occupancy()))
}

/// Gives each request of a member to the exit, until the transport has ended.
async fn exit_task(mut proxied: mpsc::Receiver<Proxied>, proxy: Proxy, tasks: TaskTracker) {
    while let Some(request) = proxied.recv().await {
        tasks.spawn(proxy.clone().exit(request));
    }
}
