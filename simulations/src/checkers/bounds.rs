//! Everything is bounded: sizes of messages, rates, requests in flight, wake-ups without progress.

use std::collections::BTreeMap;

use meshnode::id::ServiceName;
use meshnode::mesh::Vitals;
use meshnode::time::Instant;
use meshnode::wire::{MAX_LINK_BODY_LEN, MAX_PACKET_LEN};

use super::{Kind, Violation};

/// Datagrams that a node may send within one second, in a mesh of up to 125 nodes.
pub const MAX_DATAGRAMS_PER_SECOND: u32 = 1_000;

/// The same, for each node of a larger mesh: the only seed answers the joins and pings of all who start.
const DATAGRAMS_PER_NODE: u32 = 8;

/// Requests over links that a node may have in flight: questions, and pings over watch links.
pub const MAX_REQUESTS: usize = 64 + 256;

/// Facts that may wait for datagrams, for each member that lives: one of each class, and as many about the dead.
pub const MAX_FACTS_PER_MEMBER: usize = 8;

/// A small mesh is counted as if it had so many more members.
const MIN_MEMBERS: usize = 64;

/// Wake-ups of a node at one and the same instant.
pub const MAX_WAKES: u32 = 16;

/// What each node has under way.
#[derive(Debug, Default)]
pub struct Bounds {
    nodes: Vec<Usage>,
}

#[derive(Debug, Clone, Default)]
struct Usage {
    datagrams: u32,
    most_datagrams: u32,
    requests: usize,
    checks: BTreeMap<ServiceName, u32>,
    store_calls: u32,
    woken: (Instant, u32),
}

impl Bounds {
    /// The node has a new process, or none.
    pub fn forget(&mut self, node: usize) {
        if self.nodes.len() <= node {
            self.nodes.resize(node + 1, Usage::default());
        }
        let most_datagrams = self.nodes[node].most_datagrams;
        self.nodes[node] = Usage { most_datagrams, ..Usage::default() };
    }

    /// The most datagrams that any node sent within one second so far.
    pub fn most_datagrams(&self) -> u32 {
        self.nodes.iter().map(|usage| usage.most_datagrams).max().unwrap_or(0)
    }

    /// The node sent a datagram with a plaintext of `len` bytes.
    pub fn datagram(&mut self, at: Instant, node: usize, len: usize) -> Result<(), Violation> {
        at_most(at, node, "bytes in a datagram", len, MAX_PACKET_LEN)?;
        let nodes = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let most = MAX_DATAGRAMS_PER_SECOND.max(nodes.saturating_mul(DATAGRAMS_PER_NODE));
        let usage = &mut self.nodes[node];
        usage.datagrams += 1;
        usage.most_datagrams = usage.most_datagrams.max(usage.datagrams);
        at_most(at, node, "datagrams a second", usage.datagrams, most)
    }

    /// The node asks something over a link.
    pub fn request(&mut self, at: Instant, node: usize, len: usize) -> Result<(), Violation> {
        let usage = &mut self.nodes[node];
        usage.requests += 1;
        at_most(at, node, "requests in flight", usage.requests, MAX_REQUESTS)?;
        self.link_body(at, node, len)
    }

    /// The node sends a message of `len` bytes over a link.
    pub fn link_body(&self, at: Instant, node: usize, len: usize) -> Result<(), Violation> {
        at_most(at, node, "bytes in a message over a link", len, MAX_LINK_BODY_LEN)
    }

    /// A request of the node has its answer, or failed.
    pub fn request_ended(&mut self, node: usize) {
        let usage = &mut self.nodes[node];
        usage.requests = usage.requests.saturating_sub(1);
    }

    /// The node wants a service checked.
    pub fn check(&mut self, at: Instant, node: usize, service: &ServiceName) -> Result<(), Violation> {
        let checks = self.nodes[node].checks.entry(service.clone()).or_default();
        *checks += 1;
        at_most(at, node, "checks of one service at the same time", *checks, 1)
    }

    /// A check ended.
    pub fn check_ended(&mut self, node: usize, service: &ServiceName) {
        self.nodes[node].checks.remove(service);
    }

    /// The node calls the store.
    pub fn store_call(&mut self, at: Instant, node: usize) -> Result<(), Violation> {
        let usage = &mut self.nodes[node];
        usage.store_calls += 1;
        at_most(at, node, "calls of the store at the same time", usage.store_calls, 1)
    }

    /// A call of the store ended.
    pub fn store_call_ended(&mut self, node: usize) {
        self.nodes[node].store_calls = 0;
    }

    /// The node's own deadline came.
    pub fn woke(&mut self, at: Instant, node: usize) -> Result<(), Violation> {
        let (instant, wakes) = &mut self.nodes[node].woken;
        *wakes = if *instant == at { *wakes + 1 } else { 1 };
        *instant = at;
        at_most(at, node, "wake-ups without time passing", *wakes, MAX_WAKES)
    }

    /// What a node keeps, when it holds so many members alive.
    pub fn vitals(&self, at: Instant, node: usize, vitals: Vitals, members: usize) -> Result<(), Violation> {
        let most = MAX_FACTS_PER_MEMBER * (members + MIN_MEMBERS);
        at_most(at, node, "facts that wait", vitals.facts_waiting, most)?;
        at_most(at, node, "questions that wait", vitals.questions_waiting, MAX_REQUESTS)
    }

    /// A second passed.
    pub fn tick(&mut self) {
        for usage in &mut self.nodes {
            usage.datagrams = 0;
        }
    }
}

fn at_most<N: PartialOrd + std::fmt::Display>(
    at: Instant,
    node: usize,
    what: &str,
    found: N,
    limit: N,
) -> Result<(), Violation> {
    if found <= limit {
        return Ok(());
    }
    let text = format!("n{node}: {found} {what}, and {limit} are the most");
    Err(Violation { kind: Kind::Bounds, at, text })
}
