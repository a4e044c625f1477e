//! One simulated machine: what its disk holds, and the process that runs on it, if any.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use meshnode::id::{Identity, NodeId, ServiceName};
use meshnode::manifest::{Capabilities, HostPolicy, Protocol, Timeouts};
use meshnode::mesh::{Config, Input, Mesh, Persist, StoreConfig};
use meshnode::probe::Target;
use meshnode::time::{Duration, Instant};

use crate::options::Options;

/// Datagrams that the kernel keeps for a process that is stopped.
const SOCKET_BUFFER: usize = 256;

/// The writes a day that a store with a budget allows.
const WRITES_PER_DAY: u32 = 30;

/// A machine.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) identity: Identity,
    pub(super) addr: SocketAddr,
    pub(super) services: Vec<ServiceName>,
    pub(super) priority: i32,
    pub(super) disk: Disk,
    pub(super) process: Option<Process>,
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
    /// What it did not get to see while it is stopped; `None` while it is not.
    pub(super) backlog: Option<VecDeque<Input>>,
}

impl Process {
    /// Virtual time on this process's own clock.
    pub(super) fn local(&self, now: Instant) -> Instant {
        Instant::ORIGIN + now.since(self.started)
    }

    /// Keeps an input for later when the process is stopped, as far as a kernel would; else gives it back.
    pub(super) fn admit(&mut self, input: Input) -> Option<Input> {
        let Some(backlog) = &mut self.backlog else {
            return Some(input);
        };
        if !matches!(input, Input::Datagram { .. }) || backlog.len() < SOCKET_BUFFER {
            backlog.push_back(input);
        }
        None
    }
}

impl Node {
    /// The machine with this index; it is off.
    pub(super) fn new(index: usize, secret: [u8; 32]) -> Self {
        Self {
            identity: Identity::from_secret(&secret),
            addr: address(index),
            services: services(index),
            priority: 0,
            disk: Disk::default(),
            process: None,
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
            detector: meshnode::mesh::Detector::default(),
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
