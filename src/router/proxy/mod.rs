//! The proxy: ingress for local callers, the edge listener, and the exit to the services of this node.

mod access_log;
mod attempt;
pub(crate) mod backend;
pub(crate) mod body;
pub mod certificate;
mod client_io;
mod connection;
pub(crate) mod connections;
pub(crate) mod dial;
pub(crate) mod drain;
pub(crate) mod edge;
pub(crate) mod entry;
mod exit;
mod frames;
pub(crate) mod front;
mod gather;
pub(crate) mod headers;
pub(crate) mod http1;
mod inbound;
mod ongoing;
pub(crate) mod pace;
mod places;
mod rate;
mod reach;
pub(crate) mod reply;
pub(crate) mod resources;
mod resumed;
mod search;
pub(crate) mod serve;
mod slots;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod target;
#[cfg(test)]
pub(crate) mod tests;
mod trace;
pub(crate) mod tunnel;
pub(crate) mod upload;
mod visit;
pub(crate) mod way;
mod websocket;

use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, mpsc, watch};

use crate::clock::Clock;
use crate::entropy;
use crate::id::{NodeId, ServiceName};
use crate::metrics::{Metrics, Occupancy};
use crate::router::{Router, Standing};
use crate::transport::Links;
use crate::view::View;
use backend::locked;
use drain::Drain;
use exit::Exit;

pub use access_log::AccessLog;
pub use edge::{EdgeSecrets, InvalidEdgeSecrets};
pub use exit::Services;
pub use front::AdminReads;
pub use trace::{InvalidCollector, Tracing, TracingConfig};

/// Limits and names of the proxy.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// This node.
    pub local: NodeId,
    /// The domain of services as host names, without a leading dot.
    pub mesh_domain: String,
    /// The largest body of a request, in bytes; `None` is no limit.
    pub max_body: Option<u64>,
    /// The largest head of a request, in bytes.
    pub max_header: usize,
    /// Connections at the same time, at each listener.
    pub max_connections: usize,
    /// Requests at the same time for the services of this node, all together; 0 is no limit.
    pub max_in_flight: u32,
    /// The least speed of a request's body that is waited for, in bytes a second; 0 is no limit.
    pub min_body_rate: u64,
    /// Connections of one client at the same time, at each listener.
    pub max_connections_per_client: usize,
}

/// What the proxy hears from the rest of the node.
#[derive(Debug)]
pub struct Sources {
    /// The members as this node sees them.
    pub views: watch::Receiver<Arc<View>>,
    /// The services of this node, as their operator configured them.
    pub services: watch::Receiver<Services>,
    /// The live summary, in JSON.
    pub summary: watch::Receiver<Arc<str>>,
    /// Ways to the other members.
    pub links: Links,
}

/// The data plane of a node. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ProxyConfig,
    pseudonym: String,
    via: headers::Via,
    clock: Clock,
    views: watch::Receiver<Arc<View>>,
    summary: watch::Receiver<Arc<str>>,
    links: Links,
    router: Mutex<Router>,
    exit: Exit,
    metrics: Metrics,
    access_log: Option<AccessLog>,
    tracing: Option<Tracing>,
    replays: Arc<Semaphore>,
    drain: Arc<Drain>,
}

impl Proxy {
    /// A proxy that follows `sources`, and tells `refused` which services of this node refuse connections.
    /// Starts a task that ends when the views end.
    pub fn new(
        config: ProxyConfig,
        sources: Sources,
        clock: Clock,
        metrics: Metrics,
        refused: mpsc::Sender<ServiceName>,
        access_log: Option<AccessLog>,
        tracing: Option<Tracing>,
    ) -> Result<Self, rustls::Error> {
        let Sources { views, services, summary, links } = sources;
        let pseudonym = config.local.to_string();
        let shared = Arc::new(Shared {
            via: headers::Via::new(&pseudonym),
            pseudonym,
            router: Mutex::new(Router::new(config.local, entropy::random())),
            exit: Exit::new(config.max_in_flight, refused, clock)?,
            replays: Arc::new(Semaphore::new(upload::REPLAY_TOTAL)),
            drain: Arc::default(),
            config,
            clock,
            views: views.clone(),
            summary,
            links,
            metrics,
            access_log,
            tracing,
        });
        let proxy = Self { shared };
        proxy.apply(&views.borrow());
        proxy.shared.exit.configure(&services.borrow());
        tokio::spawn(proxy.clone().follow(views));
        tokio::spawn(proxy.clone().follow_services(services));
        tokio::spawn(proxy.clone().follow_reach(proxy.shared.links.silent()));
        Ok(proxy)
    }

    async fn follow(self, mut views: watch::Receiver<Arc<View>>) {
        while views.changed().await.is_ok() {
            let view = views.borrow_and_update().clone();
            self.apply(&view);
        }
    }

    async fn follow_services(self, mut services: watch::Receiver<Services>) {
        while services.changed().await.is_ok() {
            let services = services.borrow_and_update().clone();
            self.shared.exit.configure(&services);
        }
    }

    fn apply(&self, view: &View) {
        let mut router = locked(&self.shared.router);
        router.apply(view, self.shared.clock.now());
        self.shared.metrics.route_conflicts.set(i64::try_from(router.route_conflicts()).unwrap_or(i64::MAX));
    }

    /// Whether two members have different routes of the same highest revision.
    pub fn route_conflict(&self, service: &str) -> bool {
        locked(&self.shared.router).route_conflict(service)
    }

    /// What the router holds of every instance.
    pub fn standings(&self) -> Vec<Standing> {
        locked(&self.shared.router).standings(self.shared.clock.now())
    }

    /// What each service of this node has to do.
    pub fn occupancy(&self) -> Vec<Occupancy> {
        self.shared.exit.occupancy()
    }

    /// Opens the access log's file again.
    pub fn reopen_access_log(&self) {
        if let Some(log) = &self.shared.access_log {
            log.reopen();
        }
    }

    fn draining(&self) -> bool {
        self.shared.views.borrow().draining
    }
}
