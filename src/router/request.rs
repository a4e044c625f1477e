//! What the proxy asks of the router, what it gets, and what it reports afterwards.

use std::net::SocketAddr;
use std::sync::Arc;

use super::reason::Reason;
use super::selector::Selector;
use crate::id::{NodeId, ServiceName};
use crate::manifest::{Service, Timeouts};
use crate::time::Duration;

/// A request that needs an instance.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// The service's name, as the caller wrote it.
    pub service: &'a str,
    /// Only instances of these versions (`x-mesh-version`).
    pub version: Option<Selector>,
    /// Only this worker (`x-mesh-worker`).
    pub worker: Option<NodeId>,
    /// What the request needs of the instance.
    pub need: Need,
    /// The value of the route's affinity header.
    pub affinity: Option<&'a str>,
}

impl<'a> Ask<'a> {
    /// Any instance of `service`.
    pub const fn of(service: &'a str) -> Self {
        Self { service, version: None, worker: None, need: Need::Any, affinity: None }
    }
}

/// What a request needs of the instance's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Need {
    /// Any will do.
    #[default]
    Any,
    /// HTTP/2, for gRPC.
    Http2,
}

/// A worker that this request was given to in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// The worker.
    pub worker: NodeId,
    /// Why it was in vain.
    pub reason: Reason,
}

/// One instance of a service: the worker, and the service on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndpointKey {
    /// The worker on which it runs.
    pub worker: NodeId,
    /// The service.
    pub service: ServiceName,
}

/// The instance that gets the request.
#[derive(Debug, Clone)]
pub struct Pick {
    /// The instance.
    pub endpoint: EndpointKey,
    /// The worker on which it runs.
    pub worker: NodeId,
    /// Where that worker is reached; `None` only for this node.
    pub addr: Option<SocketAddr>,
    /// It runs on this node.
    pub local: bool,
    /// Limits on the time of the request.
    pub timeouts: Timeouts,
    /// What its node says of it.
    pub service: Arc<Service>,
    /// Pairs `begin` with `answered` and `finish`.
    pub ticket: Ticket,
}

/// Pairs the reports on one attempt. A report that comes when the instance is gone, or was replaced by a
/// new boot of its worker, changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub(super) generation: u64,
    /// Where the instance is in its fleet, unless that changed since.
    pub(super) position: usize,
    pub(super) number: u64,
    pub(super) first: bool,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The instance answered, and the answer's body came to its end.
    Answered {
        /// The status code.
        status: u16,
        /// From the request's head to the answer's.
        first_byte: Duration,
    },
    /// No connection came about: nothing was sent.
    ConnectFailed,
    /// The exit refused before it gave anything to the instance.
    Refused(Refusal),
    /// It did not answer in time.
    Timeout,
    /// The connection broke before the answer was complete.
    Broken,
    /// The client went away.
    Cancelled,
    /// Its node fell silent, and another one answered; what is known of that is told by `stalled`.
    Silent,
}

/// Why an exit refused a request that it had not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It takes nothing new.
    Draining,
    /// It works on as many requests as it takes.
    Saturated,
    /// It has no such service, or may not use it.
    NoRoute,
}

/// What an exit says of an instance with each of its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExitLoad {
    /// Requests that the instance works on, from all entries together.
    pub in_flight: u32,
}
