//! The way of one request: nodes are tried one after another, for as long as that is safe.

use std::sync::Arc;

use http::{HeaderValue, Response};

use super::Edge;
use super::attempt::{Answer, NoAnswer};
use super::discovery::Discovered;
use super::nodes::Node;
use super::outbound::Outbound;
use super::reply::{self, Reason, Unavailable};
use super::rule::{Mishap, Step};
use crate::router::proxy::body::ProxyBody;
use crate::router::proxy::headers;
use crate::router::proxy::reply::Failure;
use crate::router::proxy::socket::Presence;

/// Nodes at which a request is tried.
const MAX_TRIES: usize = 4;

/// One request's search for a node that answers it.
pub(super) struct Search<'a> {
    edge: &'a Arc<Edge>,
    outbound: &'a Outbound,
    presence: &'a Presence,
    /// Those that failed when they were asked included.
    tried: Vec<Arc<Node>>,
    tries: usize,
    /// What a node answered that is passed on only if no other node has a better answer.
    refusal: Option<Response<ProxyBody>>,
    /// How a node refused what it did not believe.
    disbelief: Option<Mishap>,
    is_unstarted: bool,
    has_reread: bool,
}

/// What a search came to.
pub(super) enum Found {
    /// A node's answer.
    Answer(Box<Answer>),
    /// An answer that says that the request was not started, or one of the edge's own.
    Final(Response<ProxyBody>),
}

impl<'a> Search<'a> {
    pub(super) const fn new(edge: &'a Arc<Edge>, outbound: &'a Outbound, presence: &'a Presence) -> Self {
        Self {
            edge,
            outbound,
            presence,
            tried: Vec::new(),
            tries: 0,
            refusal: None,
            disbelief: None,
            is_unstarted: true,
            has_reread: false,
        }
    }

    /// How many nodes were tried.
    pub(super) fn tried(&self) -> HeaderValue {
        if self.tried.len() == 1 {
            HeaderValue::from_static("1")
        } else {
            HeaderValue::from(self.tried.len())
        }
    }

    pub(super) async fn run(&mut self) -> Result<Found, Failure> {
        let mut next = self.begin().await;
        loop {
            let node = match next.take().or_else(|| self.next()) {
                Some(node) => node,
                None => match Box::pin(self.reread()).await {
                    Some(node) => node,
                    None => return Ok(Found::Final(self.exhausted())),
                },
            };
            self.tries += 1;
            self.tried.push(node.clone());
            let mut step = self.step(&node).await?;
            if let Tried::Step(Step::Again) = step {
                step = self.step(&node).await?;
            }
            match step {
                Tried::Found(found) => return Ok(found),
                // A clock that is wrong twice over is the node's.
                Tried::Step(Step::Next | Step::Again) => {}
                Tried::Step(Step::Pass | Step::GiveUp) => return Ok(Found::Final(self.exhausted())),
                Tried::Step(Step::Broken) => return Err(reply::broken()),
                Tried::Step(Step::TimedOut) => return Err(reply::timed_out()),
            }
        }
    }

    /// The node that is tried first, when it has to be found.
    async fn begin(&mut self) -> Option<Arc<Node>> {
        let is_repeatable = self.outbound.freedom().is_repeatable;
        if !self.edge.must_discover(is_repeatable) {
            return None;
        }
        // Boxed, because most requests need no room for this.
        Box::pin(self.discover(is_repeatable)).await
    }

    async fn discover(&mut self, is_repeatable: bool) -> Option<Arc<Node>> {
        let directory = &self.edge.directory;
        if !directory.knows_a_list() {
            directory.read_store().await;
        }
        match self.edge.discover(is_repeatable).await? {
            Discovered::Node(node) => Some(node),
            Discovered::Nobody { failed, refused } => {
                self.tried.extend(failed);
                self.disbelief = refused;
                None
            }
        }
    }

    fn next(&self) -> Option<Arc<Node>> {
        if self.tries >= MAX_TRIES {
            return None;
        }
        self.edge.directory.pick(&self.tried)
    }

    /// When all known nodes have failed, the store may know others.
    async fn reread(&mut self) -> Option<Arc<Node>> {
        if self.tries >= MAX_TRIES || std::mem::replace(&mut self.has_reread, true) {
            return None;
        }
        self.edge.directory.read_store().await;
        self.next()
    }

    async fn step(&mut self, node: &Arc<Node>) -> Result<Tried, Failure> {
        let edge = self.edge;
        let tried = edge.try_at(node, self.outbound, self.presence).await;
        let (mishap, answer) = match tried {
            Ok(answer) => match Mishap::of(answer.head.status, &answer.head.headers) {
                None => {
                    edge.directory.answered(node);
                    return Ok(Tried::Found(Found::Answer(Box::new(answer))));
                }
                Some(mishap) => (mishap, Some(answer)),
            },
            Err(NoAnswer::Mishap(mishap)) => (mishap, None),
            Err(NoAnswer::Refused(failure)) => return Err(failure),
        };
        if let Some(fault) = self.outbound.progress.client_fault() {
            return Err(fault);
        }
        tracing::debug!(node = node.url.authority, ?mishap, "a try failed");
        self.note(node, mishap, answer);
        Ok(Tried::Step(mishap.step(self.outbound.freedom())))
    }

    fn note(&mut self, node: &Arc<Node>, mishap: Mishap, answer: Option<Answer>) {
        let directory = &self.edge.directory;
        if mishap.is_failure() {
            directory.failed(node);
        } else {
            directory.answered(node);
        }
        self.is_unstarted &= mishap.is_unstarted();
        if matches!(mishap, Mishap::Signature | Mishap::Clock) {
            self.disbelief = Some(mishap);
        }
        match (mishap, answer) {
            (Mishap::Clock, Some(answer)) => self.edge.correct_clock(&answer.head.headers),
            (Mishap::Unstarted, Some(answer)) => self.refusal = Some(passed(answer)),
            _ => {}
        }
    }

    fn exhausted(&mut self) -> Response<ProxyBody> {
        if let Some(refusal) = self.refusal.take() {
            return refusal;
        }
        let roster = self.edge.directory.roster();
        let reason = match self.disbelief {
            Some(Mishap::Signature) => Reason::Signature,
            Some(Mishap::Clock) => Reason::Clock,
            _ if roster.is_empty() => Reason::NoSummary,
            _ => Reason::NoNode,
        };
        reply::unavailable(&Unavailable {
            reason,
            service: self.outbound.service(),
            available_services: &roster.services,
            tried: self.tried.len(),
            is_unstarted: self.is_unstarted,
            is_grpc: self.outbound.is_grpc,
        })
    }
}

enum Tried {
    Found(Found),
    Step(Step),
}

fn passed(answer: Answer) -> Response<ProxyBody> {
    let mut response = answer.into_response();
    headers::strip_hop_by_hop(response.headers_mut());
    response
}
