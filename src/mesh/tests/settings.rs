//! Who the nodes of a test are, and what they are told.

use std::net::SocketAddr;

use crate::id::{Identity, NodeId};
use crate::manifest::{Capabilities, HostPolicy, Protocol, Timeouts};
use crate::mesh::{Config, Detector, StoreConfig};
use crate::probe::Target;
use crate::time::Duration;

pub(super) fn identity(node: usize) -> Identity {
    let mut secret = [7; 32];
    secret[..8].copy_from_slice(&(node as u64).to_be_bytes());
    Identity::from_secret(&secret)
}

pub(super) fn id(node: usize) -> NodeId {
    identity(node).id()
}

pub(super) fn addr(node: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 10_000 + u16::try_from(node).unwrap()))
}

pub(super) fn node_at(addr: SocketAddr) -> usize {
    usize::from(addr.port() - 10_000)
}

pub(super) fn echo() -> Target {
    Target {
        name: "echo".parse().unwrap(),
        port: 80,
        version: String::new(),
        weight: 1,
        tags: Vec::new(),
        protocol: Protocol::Http1,
        timeouts: Timeouts::default(),
        max_in_flight: 0,
        host: HostPolicy::Preserve,
        interval: Duration::from_secs(5),
        rise: 2,
        fall: 3,
        checked: true,
    }
}

pub(super) fn config(node: usize, seeds: usize) -> Config {
    Config {
        cluster: "test".to_owned(),
        cluster_id: 7,
        name: format!("n{node}"),
        zone: String::new(),
        tier: 3,
        capabilities: Capabilities::default(),
        public_url: format!("https://n{node}.example.com"),
        addr: Some(addr(node)),
        seeds,
        peers: Vec::new(),
        services: vec![echo()],
        routes: Vec::new(),
        election_hold: Duration::from_secs(2),
        leader_priority: 0,
        leader_eligible: None,
        store: StoreConfig { id: 1, remote: false, max_writes_per_day: None, staleness: Duration::ZERO },
        write_record: None,
        meshnode_version: "test".to_owned(),
        detector: Detector::default(),
    }
}
