//! A node of the budget's world: its process, its disk, and what the oracle knows of it.

use meshnode::election::Election;
use meshnode::id::{IdHash, NodeId};
use meshnode::summary::Policy;
use meshnode::time::Instant;
use meshnode::wire::link::WriteRecord;

/// What becomes of a node that crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    /// It comes back with its record.
    Kept,
    /// It comes back with its identity alone.
    Wiped,
    /// Another node comes in its place.
    Replaced,
}

/// What runs.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) policy: Policy,
    pub(super) election: Election,
}

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) hash: IdHash,
    pub(super) process: Option<Process>,
    /// Counts boots and crashes: what was meant for an earlier process is dropped.
    pub(super) boot: u32,
    /// When it booted.
    pub(super) started: Instant,
    /// The epoch of this boot.
    pub(super) epoch: u64,
    /// Past the startup gate.
    pub(super) is_ready: bool,
    /// It stands still, since and until.
    pub(super) frozen: Option<(Instant, Instant)>,
    /// The part of the network that it is in.
    pub(super) part: usize,
    pub(super) disk: Disk,
    pub(super) record: Option<WriteRecord>,
    pub(super) reaches_store: bool,
    /// It does not offer to lead before, because its store failed.
    pub(super) store_failed_until: Instant,
    /// When the last read was answered.
    pub(super) read_at: Option<Instant>,
    /// Which receipts are waited for.
    pub(super) round: u64,
    /// It has heard of others in this boot.
    pub(super) met_anybody: bool,
    /// Its election was told of others in this boot, so it must be told when they change.
    pub(super) follows: bool,
    /// It is about to hear of them.
    pub(super) is_told: bool,
    pub(super) down_since: Instant,
    /// It said goodbye.
    pub(super) left: bool,
    /// Of its URL.
    pub(super) version: u32,
    pub(super) deadline: Option<Instant>,
    /// What is written down once the write is done, when attempts are not counted before.
    pub(super) unwritten: Option<WriteRecord>,
}

impl Node {
    pub(super) fn new(number: usize, disk: Disk) -> Self {
        let mut key = [7; 32];
        key[..8].copy_from_slice(
            blake3::hash(&number.to_be_bytes()).as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]),
        );
        let id = NodeId::from_public_key(key);
        Self {
            id,
            hash: id.hash(),
            process: None,
            boot: 0,
            started: Instant::ORIGIN,
            epoch: 0,
            is_ready: false,
            frozen: None,
            part: 0,
            disk,
            record: None,
            reaches_store: true,
            store_failed_until: Instant::ORIGIN,
            read_at: None,
            round: 0,
            met_anybody: false,
            follows: false,
            is_told: false,
            down_since: Instant::ORIGIN,
            left: false,
            version: 0,
            deadline: None,
            unwritten: None,
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// It answers requests.
    pub(super) const fn serves(&self) -> bool {
        self.is_up() && self.is_ready && self.frozen.is_none()
    }

    pub(super) fn leading_term(&self) -> u64 {
        self.process.as_ref().map_or(0, |process| process.election.leading_term())
    }
}
