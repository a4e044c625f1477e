//! One simulated machine: what its disk holds, and the process that runs on it, if any.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use meshnode::id::{IdHash, Identity, NodeId, ServiceName};
use meshnode::manifest::{Capabilities, HostPolicy, Protocol, Timeouts};
use meshnode::mesh::{Config, Detector, Input, Mesh, Persist, StoreConfig};
use meshnode::probe::Target;
use meshnode::time::{Duration, Instant};

use super::release::Release;
use crate::options::Options;

/// Datagrams that the kernel keeps for a process that is stopped.
const SOCKET_BUFFER: usize = 256;

/// Peers of whom a process remembers that it has met them.
const POOL: usize = 32;

/// The writes a day that a store with a budget allows.
const WRITES_PER_DAY: u32 = 30;

/// A machine.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) identity: Identity,
    pub(super) hash: IdHash,
    pub(super) addr: SocketAddr,
    pub(super) services: Vec<ServiceName>,
    pub(super) priority: i32,
    pub(super) disk: Disk,
    pub(super) host: Host,
    /// By how many seconds its wall clock is fast.
    pub(super) skew: i64,
    /// How long its processor needs for each input.
    pub(super) slowness: Duration,
    pub(super) detector: Detector,
    pub(super) release: Release,
    pub(super) process: Option<Process>,
}

/// Whether a machine's kernel answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    /// It does, whether or not a process runs.
    Up,
    /// It is suspended.
    Asleep,
    /// It has no power, or no network any more.
    Lost,
}

/// What survives a crash.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    pub(super) epoch: u64,
    peers: Vec<SocketAddr>,
    write_record: Option<Vec<u8>>,
}

impl Disk {
    pub(super) fn write(&mut self, what: Persist) {
        match what {
            Persist::WriteRecord(record) => self.write_record = Some(record),
            Persist::Peers(peers) => self.peers = peers,
        }
    }
}

/// A running `Mesh` and its driver.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) mesh: Mesh,
    /// Tells this process from the earlier ones of the same machine.
    pub(super) boot: u64,
    /// The origin of its monotonic clock.
    pub(super) started: Instant,
    /// When it is to be woken, as planned in the queue.
    pub(super) wake: Option<Instant>,
    pub(super) view_version: Option<u64>,
    /// The nonce of this boot.
    pub(super) nonce: u64,
    /// It is stopped until further notice.
    pub(super) is_frozen: bool,
    /// Its slow processor works on an input.
    pub(super) is_busy: bool,
    /// When its machine fell asleep.
    pub(super) asleep_since: Option<Instant>,
    /// What it did not get to see yet.
    pub(super) backlog: VecDeque<Input>,
    met: VecDeque<u64>,
}

impl Process {
    pub(super) const fn new(mesh: Mesh, boot: u64, nonce: u64, started: Instant) -> Self {
        Self {
            mesh,
            boot,
            started,
            wake: None,
            view_version: None,
            nonce,
            is_frozen: false,
            is_busy: false,
            asleep_since: None,
            backlog: VecDeque::new(),
            met: VecDeque::new(),
        }
    }

    /// Virtual time on this process's own clock.
    pub(super) fn local(&self, now: Instant) -> Instant {
        Instant::ORIGIN + now.since(self.started)
    }

    /// Nothing is seen of what comes in.
    pub(super) const fn stands_still(&self) -> bool {
        self.is_frozen || self.is_busy
    }

    /// Keeps an input for later when the process stands still, as far as a kernel would; else gives it back.
    pub(super) fn take_in(&mut self, input: Input) -> Option<Input> {
        if !self.stands_still() {
            return Some(input);
        }
        if !matches!(input, Input::Datagram { .. }) || self.backlog.len() < SOCKET_BUFFER {
            self.backlog.push_back(input);
        }
        None
    }

    /// Whether no link with this boot of a peer is in the pool yet; then it is now.
    pub(super) fn meet(&mut self, boot: u64) -> bool {
        if self.met.contains(&boot) {
            return false;
        }
        if self.met.len() == POOL {
            self.met.pop_front();
        }
        self.met.push_back(boot);
        true
    }
}

impl Node {
    /// The machine with this index; it is off.
    pub(super) fn new(index: usize, secret: [u8; 32]) -> Self {
        let identity = Identity::from_secret(&secret);
        Self {
            hash: identity.id().hash(),
            identity,
            addr: address(index),
            services: services(index),
            priority: 0,
            disk: Disk::default(),
            host: Host::Up,
            skew: 0,
            slowness: Duration::ZERO,
            detector: Detector::default(),
            release: Release::Current,
            process: None,
        }
    }

    /// A machine with the key and the disk of this one, at the address of its own index.
    pub(super) fn copy(&self, index: usize) -> Self {
        Self {
            identity: self.identity.clone(),
            hash: self.hash,
            addr: address(index),
            services: self.services.clone(),
            disk: self.disk.clone(),
            ..Self::new(index, [0; 32])
        }
    }

    pub(super) const fn id(&self) -> NodeId {
        self.identity.id()
    }

    /// What its `Mesh` is told at boot.
    pub(super) fn config(&self, index: usize, options: &Options) -> Config {
        Config {
            cluster: "simulated".to_owned(),
            cluster_id: 1,
            name: format!("n{index}"),
            zone: String::new(),
            tier: 3,
            capabilities: Capabilities { cpu_cores: 2, memory_bytes: 1 << 31, ..Capabilities::default() },
            public_url: String::new(),
            addr: Some(self.addr),
            seeds: seeds(index, options.seeds).count(),
            peers: self.disk.peers.clone(),
            services: self.services.iter().map(target).collect(),
            routes: Vec::new(),
            election_hold: options.hold,
            leader_priority: self.priority,
            leader_eligible: None,
            store: StoreConfig {
                id: 1,
                remote: true,
                max_writes_per_day: (!options.staleness.is_zero()).then_some(WRITES_PER_DAY),
                staleness: options.staleness,
            },
            write_record: self.disk.write_record.clone(),
            meshnode_version: env!("CARGO_PKG_VERSION").to_owned(),
            detector: if self.release == Release::Older { Detector::Lifeguard } else { self.detector },
        }
    }
}

/// The nodes that `index` joins through, when the first `count` nodes are the seeds.
pub(super) fn seeds(index: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).filter(move |&seed| seed != index)
}

/// Where the machine with this index is.
pub(super) fn address(index: usize) -> SocketAddr {
    let [_, _, high, low] = u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(10, 0, high, low), 7946))
}

/// `echo` runs everywhere, `upload` on every other node, `rag` on the first one.
fn services(index: usize) -> Vec<ServiceName> {
    let names = [("echo", true), ("rag", index == 0), ("upload", index.is_multiple_of(2))];
    names.iter().filter(|(_, here)| *here).filter_map(|(name, _)| name.parse().ok()).collect()
}

fn target(name: &ServiceName) -> Target {
    Target {
        name: name.clone(),
        port: 8000,
        version: "1.0.0".to_owned(),
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
