//! A few meshes in virtual time: datagrams and questions are delivered after a fixed delay, or not at all.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;

use super::settings::{addr, config, id, identity, node_at};
use super::speech::{self, Speeches};
use crate::id::{NodeId, ServiceName};
use crate::manifest::Health;
use crate::mesh::{
    Boot, Config, ConnectOutcome, Destination, Event, Input, LinkFailure, LocalChange, Mesh, Output, Persist,
    RequestId,
};
use crate::probe::{Outcome, Target};
use crate::summary::StoreReply;
use crate::time::{Duration, Instant};
use crate::view::{MemberView, Status, View};

pub(super) const DELAY: Duration = Duration::from_millis(1);

pub(super) struct Cluster {
    pub(super) now: Instant,
    pub(super) nodes: BTreeMap<usize, Node>,
    queue: BinaryHeap<Reverse<(Instant, u64, usize, Delivery)>>,
    sequence: u64,
    pub(super) cut: BTreeSet<(usize, usize)>,
    pub(super) store: Option<Vec<u8>>,
    pub(super) store_fails: bool,
    /// When each node last began to read the store.
    pub(super) gets: BTreeMap<usize, Instant>,
    pub(super) events: Vec<(usize, Event)>,
    pub(super) datagrams: usize,
    pub(super) bytes: usize,
    pub(super) questions: usize,
    /// Who keeps watch links to whom.
    pub(super) watched: BTreeMap<usize, Vec<usize>>,
    /// Nodes whose datagrams are lost, both ways; their links work.
    pub(super) without_datagrams: BTreeSet<usize>,
    /// Nodes that stand still, and what came for them meanwhile.
    pub(super) paused: BTreeMap<usize, Vec<Delivery>>,
    /// Who has links with whom.
    pub(super) linked: BTreeSet<(usize, usize)>,
    /// All datagrams that were delivered, while it is set.
    pub(super) tape: Option<Vec<(usize, SocketAddr, Vec<u8>)>>,
    disks: BTreeMap<usize, Disk>,
    /// Who speaks another version of the wire.
    pub(super) speeches: Speeches,
    /// Answers over links, with whom they are for, while there is a tape.
    pub(super) answers: Vec<(usize, Vec<u8>)>,
    /// Nodes that run with another one's key.
    pub(super) clones: BTreeMap<usize, usize>,
}

#[derive(Default, Clone)]
struct Disk {
    epoch: u64,
    peers: Vec<SocketAddr>,
    record: Option<Vec<u8>>,
}

pub(super) struct Node {
    pub(super) mesh: Mesh,
    pub(super) left: bool,
    pub(super) health: Health,
    pub(super) version: String,
    pub(super) nonce: u64,
    pub(super) asked: BTreeMap<RequestId, usize>,
    next_ask: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Delivery {
    Datagram(SocketAddr, Vec<u8>),
    Request(usize, RequestId, Vec<u8>),
    Response(RequestId, Option<Vec<u8>>),
    Stalled(RequestId),
    Connected(RequestId, ConnectOutcome),
    LinkLost(usize),
    Admitted(usize, u64),
    Stored(Vec<u8>),
    NotFound,
    PutDone,
    GetFailed,
    Checked,
}

impl Cluster {
    pub(super) fn new() -> Self {
        Self {
            now: Instant::ORIGIN + Duration::from_secs(1),
            nodes: BTreeMap::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            cut: BTreeSet::new(),
            store: None,
            store_fails: false,
            gets: BTreeMap::new(),
            events: Vec::new(),
            datagrams: 0,
            bytes: 0,
            questions: 0,
            watched: BTreeMap::new(),
            without_datagrams: BTreeSet::new(),
            paused: BTreeMap::new(),
            linked: BTreeSet::new(),
            tape: None,
            disks: BTreeMap::new(),
            speeches: Speeches::new(),
            answers: Vec::new(),
            clones: BTreeMap::new(),
        }
    }

    /// A settled cluster of `n`, the first one alone and the others joining through it.
    pub(super) fn of(n: usize) -> Self {
        let mut cluster = Self::new();
        for node in 0..n {
            cluster.start(node);
            cluster.run(Duration::from_millis(50));
        }
        cluster.run(Duration::from_secs(8));
        cluster
    }

    /// Starts or restarts a node with what its disk holds.
    pub(super) fn start(&mut self, node: usize) {
        self.start_with(node, config(node, usize::from(node != 0)));
    }

    pub(super) fn start_with(&mut self, node: usize, mut config: Config) {
        let disk = self.disks.entry(node).or_default();
        disk.epoch += 1 + node as u64 / 100;
        if disk.epoch == 1 {
            // Later starters have later clocks.
            disk.epoch = 1000 + node as u64;
        }
        config.peers.clone_from(&disk.peers);
        config.write_record.clone_from(&disk.record);
        let mut seed = [0; 32];
        seed[0] = u8::try_from(node).unwrap();
        seed[1] = u8::try_from(disk.epoch % 251).unwrap();
        let nonce = disk.epoch * 31 + node as u64;
        let boot = Boot { epoch: disk.epoch, nonce, seed };
        let mesh = Mesh::new(config, identity(self.key_of(node)), boot, self.now).unwrap();
        let health = Health::Healthy;
        self.nodes.insert(
            node,
            Node {
                mesh,
                left: false,
                health,
                version: "1.0.0".into(),
                nonce,
                asked: BTreeMap::new(),
                next_ask: 0,
            },
        );
        self.drain(node);
    }

    pub(super) fn key_of(&self, node: usize) -> usize {
        self.clones.get(&node).copied().unwrap_or(node)
    }

    pub(super) fn lose_disk(&mut self, node: usize) {
        self.disks.insert(node, Disk { epoch: 1, ..Disk::default() });
    }

    /// Another disk gets the same contents.
    pub(super) fn copy_disk(&mut self, from: usize, to: usize) {
        let disk = self.disks.entry(from).or_insert_with(|| Disk { epoch: 1_100, ..Disk::default() });
        let disk = disk.clone();
        self.disks.insert(to, disk);
    }

    pub(super) fn forget_peers(&mut self, node: usize) {
        self.disks.entry(node).or_default().peers.clear();
    }

    pub(super) fn kill(&mut self, node: usize) {
        self.nodes.remove(&node);
        self.watched.remove(&node);
        self.linked.retain(|(a, b)| *a != node && *b != node);
        let key = self.key_of(node);
        let loses = |(loser, peers): (&usize, &Vec<usize>)| {
            (peers.contains(&node) && !self.cut.contains(&(node, *loser))).then_some(*loser)
        };
        for loser in self.watched.iter().filter_map(loses).collect::<Vec<_>>() {
            self.push(DELAY, loser, Delivery::LinkLost(key));
        }
    }

    pub(super) fn handle(&mut self, node: usize, input: Input) {
        let now = self.now;
        if let Some(target) = self.nodes.get_mut(&node) {
            target.mesh.handle(input, now);
            self.drain(node);
        }
    }

    /// Cuts or mends the wires between two groups.
    pub(super) fn partition(&mut self, a: &[usize], b: &[usize], is_cut: bool) {
        for &x in a {
            for &y in b {
                for pair in [(x, y), (y, x)] {
                    if is_cut {
                        self.cut.insert(pair);
                    } else {
                        self.cut.remove(&pair);
                    }
                }
            }
        }
    }

    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let running = self.nodes.iter().filter(|(node, _)| !self.paused.contains_key(node));
            let timer = running.filter_map(|(i, n)| n.mesh.poll_timeout().map(|t| (t, *i))).min();
            let event = self.queue.peek().map(|Reverse((at, ..))| *at);
            let next = crate::time::earliest(timer.map(|(at, _)| at), event);
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if event == Some(next) {
                let Some(Reverse((_, _, to, delivery))) = self.queue.pop() else { break };
                self.deliver(to, delivery);
            } else if let Some((_, node)) = timer {
                self.handle(node, Input::Tick);
            }
        }
        self.now = end;
    }

    pub(super) fn run_until(
        &mut self,
        limit: Duration,
        what: &str,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.now.since(start) < limit, "not within {limit:?}: {what}");
            self.run(Duration::from_millis(20));
        }
        self.now.since(start)
    }

    pub(super) fn view(&mut self, node: usize) -> Arc<View> {
        let now = self.now;
        self.nodes.get_mut(&node).unwrap().mesh.refreshed_view(now)
    }

    pub(super) fn sees(&mut self, observer: usize, subject: usize) -> Option<Arc<MemberView>> {
        self.view(observer).member(&id(subject)).cloned()
    }

    pub(super) fn status(&mut self, observer: usize, subject: usize) -> Option<Status> {
        self.sees(observer, subject).map(|member| member.status)
    }

    /// All of `observers` hold all of `subjects` in this status.
    pub(super) fn all_hold(&mut self, observers: &[usize], subjects: &[usize], status: Status) -> bool {
        observers.iter().all(|&o| subjects.iter().all(|&s| o == s || self.status(o, s) == Some(status)))
    }

    pub(super) fn leader(&mut self, observer: usize) -> Option<NodeId> {
        self.view(observer).leader.leader
    }

    pub(super) fn set_services(&mut self, node: usize, targets: Vec<Target>) {
        self.handle(node, Input::Local(LocalChange::Services(targets)));
    }

    pub(super) fn push(&mut self, delay: Duration, to: usize, delivery: Delivery) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now + delay, self.sequence, to, delivery)));
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes.get_mut(&node).and_then(|n| n.mesh.poll_output()) {
            self.carry(node, output);
        }
    }

    fn carry(&mut self, node: usize, output: Output) {
        match output {
            Output::Datagram { to, bytes } => {
                let bytes = speech::said(&self.speeches, node, bytes);
                self.datagrams += 1;
                self.bytes += bytes.len();
                let to = match to {
                    Destination::Member { addr, .. } | Destination::Address(addr) => node_at(addr),
                    Destination::Seed(_) => 0,
                };
                self.push(DELAY, to, Delivery::Datagram(addr(node), bytes));
            }
            Output::Request { to, addr, id, body } => self.ask(node, to, addr, id, body),
            Output::Watch(watched) => self.watch(node, &watched),
            Output::PingLink { to, id, body, within } => self.ping_link(node, to, id, body, within),
            Output::Connect { to, addr, id } => self.connect(node, to, addr, id),
            Output::Respond { id, body } => self.respond(node, id, body),
            Output::Check(service) => {
                assert_eq!(service.as_str(), "echo");
                self.push(DELAY, node, Delivery::Checked);
            }
            Output::Store(call) => self.call_store(node, call),
            Output::Persist(Persist::Peers(peers)) => self.disks.entry(node).or_default().peers = peers,
            Output::Persist(Persist::WriteRecord(record)) => {
                self.disks.entry(node).or_default().record = Some(record);
            }
            Output::Event(Event::EpochBehind { known }) => {
                self.disks.entry(node).or_default().epoch = known + 1;
                self.handle(node, Input::Local(LocalChange::Epoch(known + 1)));
            }
            Output::Event(event) => self.events.push((node, event)),
            Output::Left => {
                if let Some(node) = self.nodes.get_mut(&node) {
                    node.left = true;
                }
            }
        }
    }

    fn deliver(&mut self, to: usize, delivery: Delivery) {
        if let Some(held) = self.paused.get_mut(&to) {
            held.push(delivery);
            return;
        }
        let unix = 1_800_000_000 + self.now.as_nanos() / 1_000_000_000;
        let input = match delivery {
            Delivery::Datagram(source, bytes) => {
                let is_lost = |node: usize| self.without_datagrams.contains(&node);
                let from = node_at(source);
                if is_lost(from) || is_lost(to) || self.cut.contains(&(from, to)) {
                    return;
                }
                if let Some(tape) = self.tape.as_mut() {
                    tape.push((to, source, bytes.clone()));
                }
                Input::Datagram { source, bytes: speech::heard(&self.speeches, to, bytes) }
            }
            Delivery::Request(from, request, body) => {
                let Some(node) = self.nodes.get_mut(&to) else { return };
                node.next_ask += 1;
                let local = RequestId(request.0 << 16 | node.next_ask & 0xffff);
                node.asked.insert(local, from);
                Input::Request { from: id(self.key_of(from)), id: local, body }
            }
            Delivery::Response(request, body) => {
                Input::Response { id: request, result: body.ok_or(LinkFailure::Unreachable) }
            }
            Delivery::Stalled(id) => Input::Response { id, result: Err(LinkFailure::Stalled) },
            Delivery::Connected(id, outcome) => Input::Connected { id, outcome },
            Delivery::Admitted(peer, boot_nonce) => Input::Admitted { peer: id(peer), boot_nonce },
            Delivery::LinkLost(peer) => Input::LinkLost { peer: id(peer) },
            Delivery::Stored(value) => Input::Store(StoreReply::Found { value, now: unix }),
            Delivery::NotFound => Input::Store(StoreReply::NotFound { now: unix }),
            Delivery::PutDone => Input::Store(StoreReply::Stored),
            Delivery::GetFailed => {
                Input::Store(StoreReply::GetFailed(crate::summary::StoreFailure::Failed("down".into())))
            }
            Delivery::Checked => {
                let Some(node) = self.nodes.get(&to) else { return };
                let outcome = Outcome {
                    health: node.health,
                    refused: false,
                    version: Some(node.version.clone()),
                    detail: String::new(),
                };
                Input::Checked { service: "echo".parse::<ServiceName>().unwrap(), outcome }
            }
        };
        self.handle(to, input);
    }
}
