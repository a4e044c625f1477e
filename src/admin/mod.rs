//! The admin API, the metrics and the health endpoints.

mod events;
#[cfg(test)]
pub(crate) mod fixture;
mod guard;
mod journal;
mod local;
pub mod model;
mod moment;
mod refusal;
pub(crate) mod report;
mod routes;
mod serve;
#[cfg(test)]
mod tests;
mod token;
mod why;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::config::ServiceConfig;
use crate::id::{NodeId, ServiceName};
use crate::mesh::Inquiry;
use crate::metrics::{Metrics, Occupancy};
use crate::router::Standing;
use crate::view::View;

pub use journal::{
    EVENTS, EVIDENCE_LINES, EVIDENCE_SUBJECTS, EventRecord, EvidenceLine, Journal, Occurrence, WorkerRef,
};
pub use moment::Moment;
pub use routes::{metrics_router, read_only_router, router};
pub use serve::serve;
pub use token::{Token, TokenError};

/// What the API shows and whom it asks for changes. Cloning shares it.
#[derive(Debug, Clone)]
pub struct State {
    /// What the node knows.
    pub views: watch::Receiver<Arc<View>>,
    /// What happened.
    pub journal: Arc<Journal>,
    /// Who makes the changes.
    pub commands: mpsc::Sender<Command>,
    /// Shown at `/metrics`.
    pub metrics: Metrics,
    /// The services of this node, as they are configured now.
    pub services: watch::Receiver<Arc<BTreeMap<ServiceName, ServiceConfig>>>,
    /// Turns the view's instants into wall-clock times.
    pub clock: Clock,
    /// The summary's store, as configured.
    pub store: String,
    /// Whoever calls must name it, when it is set.
    pub token: Option<Token>,
    /// What the data plane does at the moment.
    pub traffic: Traffic,
    /// Where the admin API listens; its host is accepted as `Host`.
    pub addr: SocketAddr,
}

/// Asks the data plane what it does at the moment. Cloning shares it.
#[derive(Clone)]
pub struct Traffic(Arc<dyn Fn() -> (Vec<Standing>, Vec<Occupancy>) + Send + Sync>);

impl Traffic {
    /// Asks by `look`: every instance, and every service of this node.
    pub fn new(look: impl Fn() -> (Vec<Standing>, Vec<Occupancy>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }

    fn look(&self) -> (Vec<Standing>, Vec<Occupancy>) {
        (self.0)()
    }
}

impl std::fmt::Debug for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traffic").finish_non_exhaustive()
    }
}

/// A change that somebody asks for over the API; the node makes it and answers.
#[derive(Debug)]
pub enum Command {
    /// Drain, tell everyone, exit.
    Leave,
    /// Add a service to this node, or replace the one of the same name; an error says why it was refused.
    PutService(Box<ServiceConfig>, oneshot::Sender<Result<(), String>>),
    /// What the node holds of a worker right now, and what it waits for.
    Inquire(NodeId, oneshot::Sender<Option<Inquiry<NodeId>>>),
    /// Remove a service of this node; answers whether there was one.
    DeleteService(ServiceName, oneshot::Sender<Result<bool, String>>),
}
