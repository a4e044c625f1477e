//! What a `Mesh` is told at construction and never changes.

use std::net::SocketAddr;

use crate::manifest::{Capabilities, Route};
use crate::membership::Detector;
use crate::probe::Target;
use crate::time::Duration;

/// What a `Mesh` is told at construction.
#[derive(Debug, Clone)]
pub struct Config {
    /// The cluster's name; keys the digest.
    pub cluster: String,
    /// The mark of this cluster's history: HKDF of the cluster key. Kept from the value once one is stored.
    pub cluster_id: u64,
    /// A human's name for the node.
    pub name: String,
    /// Placement, empty when not set.
    pub zone: String,
    /// 1 to 3.
    pub tier: u8,
    /// What the machine has.
    pub capabilities: Capabilities,
    /// URL of the edge listener, empty when none.
    pub public_url: String,
    /// Where others reach the node; `None` until it has learned that.
    pub addr: Option<SocketAddr>,
    /// How many seeds (`--join`) are configured; the driver resolves them by index.
    pub seeds: usize,
    /// Addresses of members of earlier boots.
    pub peers: Vec<SocketAddr>,
    /// The services of this node.
    pub services: Vec<Target>,
    /// The routes that its operator configured.
    pub routes: Vec<Route>,
    /// How long no leader must have been heard before this node leads.
    pub election_hold: Duration,
    /// Standing in the election; higher leads first.
    pub leader_priority: i32,
    /// Offers to lead; `None` to offer when it has a service.
    pub leader_eligible: Option<bool>,
    /// The summary's store.
    pub store: StoreConfig,
    /// The write record of earlier boots, encoded.
    pub write_record: Option<Vec<u8>>,
    /// The release, for the manifest.
    pub meshnode_version: String,
    /// How deaths are found.
    pub detector: Detector,
}

/// What the core needs to know of the summary's store.
#[derive(Debug, Clone, Copy)]
pub struct StoreConfig {
    /// Hash of its type and location (and of the machine, for a file).
    pub id: u64,
    /// Not a file: every member that names it reaches the same one.
    pub remote: bool,
    /// This member's cap on the cluster's daily writes; `None` when the store has no budget.
    pub max_writes_per_day: Option<u32>,
    /// How old an answer of the store may be.
    pub staleness: Duration,
}

/// What makes one boot of a node different from the others.
#[derive(Debug, Clone)]
pub struct Boot {
    /// Raised at every boot and persisted before first use.
    pub epoch: u64,
    /// Random.
    pub nonce: u64,
    /// Seeds the generator (`ChaCha8`) from which the core draws all its randomness.
    pub seed: [u8; 32],
}
