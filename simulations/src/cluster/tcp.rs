//! Watch links: TCP connections that stand, break, are refused, or stay half open when a host is gone.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use meshnode::id::NodeId;
use meshnode::mesh::{ConnectOutcome, Input, LinkFailure, RequestId};
use meshnode::time::Duration;
use rand::RngExt as _;

use super::links::Exchange;
use super::node::Host;
use super::{Cluster, Happening};
use crate::trace::Who;

/// After so long a dialler gives up on an address from which nothing comes back; as long as TCP waits before it
/// sends the first packet of a connection again.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Within this time a link over which nothing is said is found to be broken.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// After so long without an acknowledgement a kernel gives a connection up.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Before the first new attempt to dial; twice as long before each further one.
const REDIAL: Duration = Duration::from_millis(500);

/// At most so often that is doubled.
const MAX_REDIAL_DOUBLINGS: u32 = 5;

/// No id sorts before it.
const LEAST_ID: NodeId = NodeId::from_public_key([0; 32]);

/// One end of a link: a machine, and who is at the other end.
pub(super) type End = (usize, NodeId);

/// What will happen to a connection.
#[derive(Debug)]
pub(super) enum Tcp {
    /// A watcher dials.
    Dial { end: End, boot: u64, tries: u32 },
    /// Its handshake ends.
    Dialled { end: End, boot: u64, tries: u32, outcome: ConnectOutcome, holder: Option<usize> },
    /// The other side's FIN or RST arrives.
    Broken { end: End, link: u64 },
    /// The kernel asks whether the other side is still there.
    Keepalive { end: End, link: u64 },
    /// A connection that was to show who answers has shown it.
    Connected { node: usize, boot: u64, id: RequestId, outcome: ConnectOutcome, holder: Option<usize> },
}

/// The watch links of all machines.
#[derive(Debug, Default)]
pub(super) struct WatchLinks {
    /// What each process wants to watch.
    wanted: BTreeMap<usize, BTreeMap<NodeId, SocketAddr>>,
    /// The ends that are open. A link whose other end is not is half open.
    pub(super) ends: BTreeMap<End, Open>,
    /// Attempts to dial that are planned or under way.
    dials: BTreeMap<End, u64>,
    linked: u64,
}

/// The end of a link, as its kernel sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    /// Both ends have the same number.
    link: u64,
    /// The machine at the other end.
    other: usize,
}

impl WatchLinks {
    /// The machines that `node` has open ends to, and these ends.
    fn of(&self, node: usize) -> Vec<(End, Open)> {
        let ends = self.ends.range((node, LEAST_ID)..).take_while(|((machine, _), _)| *machine == node);
        ends.map(|(end, open)| (*end, *open)).collect()
    }

    fn wants(&self, (node, peer): End) -> Option<SocketAddr> {
        self.wanted.get(&node)?.get(&peer).copied()
    }
}

impl Cluster {
    /// The node wants links to these members, and to nobody else.
    pub(super) fn watch(&mut self, node: usize, boot: u64, watched: Vec<(NodeId, SocketAddr)>) {
        let wanted: BTreeMap<NodeId, SocketAddr> = watched.into_iter().collect();
        let before = self.watches.wanted.insert(node, wanted.clone()).unwrap_or_default();
        let own = self.nodes[node].id();
        for peer in before.keys().filter(|peer| !wanted.contains_key(*peer)) {
            let Some(open) = self.watches.ends.get(&(node, *peer)).copied() else { continue };
            // A link that both want serves both; only the last one closes it, and says goodbye.
            if self.watches.wants((open.other, own)).is_none() {
                self.hang_up((node, *peer), open);
            }
        }
        for peer in wanted.into_keys() {
            let end = (node, peer);
            if !self.watches.ends.contains_key(&end) && !self.watches.dials.contains_key(&end) {
                self.watches.dials.insert(end, boot);
                self.dial(end, boot, 0);
            }
        }
    }

    /// Sends a request over the link that stands, never over a new one.
    pub(super) fn ping_link(&mut self, exchange: Exchange, peer: NodeId, body: Vec<u8>, within: Duration) {
        let Exchange { from, .. } = exchange;
        let counted = self.checkers.bounds.request(self.now, from, body.len());
        self.fail(counted);
        let open = self.watches.ends.get(&(from, peer)).copied();
        let link = self.links.open(Exchange { to: open.map_or(from, |open| open.other), ..exchange });
        let Some(open) = open else {
            self.note(Who::Node(from), format_args!("=> no link to ping {}", self.model.name(&peer)));
            let failure = LinkFailure::Unreachable;
            self.queue.push(self.now, Happening::Failed { link, failure });
            return;
        };
        let there = self.network.link(from, open.other).filter(|_| self.nodes[open.other].host == Host::Up);
        let back = there.and_then(|there| Some(there + self.network.link(open.other, from)?));
        let acknowledged = back.is_some_and(|back| back <= within);
        self.note(Who::Node(from), format_args!("=> n{:<4} link ping {link} {there:?} {back:?}", open.other));
        let failure = if acknowledged { LinkFailure::Stalled } else { LinkFailure::TimedOut };
        self.queue.push(self.now + within, Happening::Failed { link, failure });
        let Some(there) = there else { return };
        if self.is_whole((from, peer), open) {
            self.queue.push(self.now + there, Happening::Asked { link, body });
        } else if let Some(back) = back {
            let broken = Tcp::Broken { end: (from, peer), link: open.link };
            self.queue.push(self.now + back, Happening::Tcp(broken));
            let failure = LinkFailure::Unreachable;
            self.queue.push(self.now + back, Happening::Failed { link, failure });
        }
    }

    /// Opens a connection only to see who answers.
    pub(super) fn connect(&mut self, node: usize, boot: u64, id: RequestId, peer: NodeId, addr: SocketAddr) {
        let (outcome, took, holder) = self.handshake(node, peer, addr);
        let name = self.model.name(&peer);
        self.note(Who::Node(node), format_args!("connects to {name}: {outcome:?} after {took:?}"));
        let connected = Tcp::Connected { node, boot, id, outcome, holder };
        self.queue.push(self.now + took, Happening::Tcp(connected));
    }

    pub(super) fn happen_tcp(&mut self, tcp: Tcp) {
        match tcp {
            Tcp::Dial { end, boot, tries } => self.dial(end, boot, tries),
            Tcp::Dialled { end, boot, tries, outcome, holder } => {
                self.dialled(end, boot, tries, outcome, holder)
            }
            Tcp::Broken { end, link } => self.broken(end, link),
            Tcp::Keepalive { end, link } => self.keepalive(end, link),
            Tcp::Connected { node, boot, id, outcome, holder } if self.runs(node, boot) => {
                if outcome == ConnectOutcome::Proven
                    && let Some(holder) = holder
                {
                    self.admit(node, holder);
                }
                self.feed(node, Input::Connected { id, outcome });
            }
            Tcp::Connected { .. } => {}
        }
    }

    /// The process is gone, and its kernel says so to the other ends if it can.
    pub(super) fn close_links(&mut self, node: usize, said_goodbye: bool) {
        self.watches.wanted.remove(&node);
        self.watches.dials.retain(|(dialler, _), _| *dialler != node);
        let own = self.nodes[node].id();
        for (end, open) in self.watches.of(node) {
            if said_goodbye {
                self.hang_up(end, open);
                continue;
            }
            self.watches.ends.remove(&end);
            let other = (open.other, own);
            let fin = self.network.link(node, open.other).filter(|_| self.nodes[node].host == Host::Up);
            let next = match fin {
                Some(delay) => (delay, Tcp::Broken { end: other, link: open.link }),
                None => (USER_TIMEOUT, Tcp::Keepalive { end: other, link: open.link }),
            };
            self.queue.push(self.now + next.0, Happening::Tcp(next.1));
        }
    }

    /// Something in between breaks all links of a machine, while both ends live.
    pub(super) fn reset_links(&mut self, node: usize) {
        let own = self.nodes[node].id();
        for (end, open) in self.watches.of(node) {
            for end in [end, (open.other, own)] {
                if let Some(delay) = self.network.link(node, open.other) {
                    let broken = Tcp::Broken { end, link: open.link };
                    self.queue.push(self.now + delay, Happening::Tcp(broken));
                }
            }
        }
    }

    /// The network or a host changed: kernels will find out which links are not what they were.
    pub(super) fn doubt_links(&mut self) {
        let ends: Vec<(End, Open)> = self.watches.ends.iter().map(|(end, open)| (*end, *open)).collect();
        for (end, open) in ends {
            let wait = if !self.hear_each_other(end.0, open.other) {
                USER_TIMEOUT
            } else if self.is_whole(end, open) {
                continue;
            } else {
                KEEPALIVE.mul_f64(self.boots.random())
            };
            let keepalive = Tcp::Keepalive { end, link: open.link };
            self.queue.push(self.now + wait, Happening::Tcp(keepalive));
        }
    }

    /// A link between these two machines was admitted, if it is a new one: both learn whom the other is.
    pub(super) fn admit(&mut self, one: usize, other: usize) {
        for (node, peer) in [(one, other), (other, one)] {
            let id = self.nodes[peer].id();
            let Some((boot, boot_nonce)) =
                self.nodes[peer].process.as_ref().map(|process| (process.boot, process.nonce))
            else {
                continue;
            };
            let is_new = self.nodes[node].process.as_mut().is_some_and(|process| process.meet(boot));
            if is_new {
                self.feed(node, Input::Admitted { peer: id, boot_nonce });
            }
        }
    }

    fn dial(&mut self, end: End, boot: u64, tries: u32) {
        let (node, peer) = end;
        let wanted = self.watches.wants(end).filter(|_| self.runs(node, boot));
        let Some(addr) = wanted.filter(|_| !self.watches.ends.contains_key(&end)) else {
            self.watches.dials.remove(&end);
            return;
        };
        let (outcome, took, holder) = self.handshake(node, peer, addr);
        let dialled = Tcp::Dialled { end, boot, tries, outcome, holder };
        self.queue.push(self.now + took, Happening::Tcp(dialled));
    }

    fn dialled(&mut self, end: End, boot: u64, tries: u32, outcome: ConnectOutcome, holder: Option<usize>) {
        let (node, peer) = end;
        let is_wanted = self.watches.wants(end).is_some() && self.runs(node, boot);
        if !is_wanted || self.watches.ends.contains_key(&end) {
            self.watches.dials.remove(&end);
            return;
        }
        let other = holder.filter(|&other| {
            outcome == ConnectOutcome::Proven && self.nodes[other].process.is_some() && other != node
        });
        let Some(other) = other else {
            let wait = REDIAL * (1 << tries.min(MAX_REDIAL_DOUBLINGS));
            let dial = Tcp::Dial { end, boot, tries: tries.saturating_add(1) };
            self.queue.push(self.now + wait, Happening::Tcp(dial));
            return;
        };
        self.watches.dials.remove(&end);
        self.watches.linked += 1;
        let link = self.watches.linked;
        self.watches.ends.insert(end, Open { link, other });
        self.watches.ends.insert((other, self.nodes[node].id()), Open { link, other: node });
        self.note(Who::Node(node), format_args!("has a watch link to {}", self.model.name(&peer)));
        self.admit(node, other);
    }

    /// Who answers at an address, when that is known, and which machine it was.
    fn handshake(
        &mut self,
        from: usize,
        peer: NodeId,
        addr: SocketAddr,
    ) -> (ConnectOutcome, Duration, Option<usize>) {
        let holder = self.holder(addr).filter(|&holder| self.nodes[holder].host == Host::Up);
        let silent = (ConnectOutcome::Silent, CONNECT_TIMEOUT, holder);
        let Some(to) = holder else { return silent };
        let Some(there) = self.network.packet(from, to) else { return silent };
        let Some(back) = self.network.packet(to, from) else { return silent };
        let Some(process) = &self.nodes[to].process else {
            return (ConnectOutcome::Refused, there + back, holder);
        };
        if process.stands_still() {
            return silent;
        }
        let is_peer = self.nodes[to].id() == peer;
        // Both flights of TLS, and both hellos, one of which goes with the second flight.
        let mut took = there + back;
        for (one, other) in [(from, to), (to, from), (from, to), (to, from)] {
            let Some(delay) = self.network.link(one, other) else { return silent };
            took += delay;
        }
        match took {
            _ if took > CONNECT_TIMEOUT => silent,
            _ if is_peer => (ConnectOutcome::Proven, took, holder),
            _ => (ConnectOutcome::OtherPeer, took, holder),
        }
    }

    fn broken(&mut self, end: End, link: u64) {
        if self.watches.ends.get(&end).is_none_or(|open| open.link != link) {
            return;
        }
        let (node, peer) = end;
        self.watches.ends.remove(&end);
        self.note(Who::Node(node), format_args!("loses its watch link to {}", self.model.name(&peer)));
        self.redial(end);
        self.feed(node, Input::LinkLost { peer });
    }

    fn keepalive(&mut self, end: End, link: u64) {
        let Some(open) = self.watches.ends.get(&end).copied().filter(|open| open.link == link) else {
            return;
        };
        let heard = self.hear_each_other(end.0, open.other) && self.nodes[open.other].host == Host::Up;
        match (heard, self.is_whole(end, open)) {
            (true, true) => {}
            (true, false) => self.broken(end, link),
            // Nothing came back for so long that the kernel gave up, which is no evidence of a death.
            (false, _) => {
                self.watches.ends.remove(&end);
                self.redial(end);
            }
        }
    }

    fn redial(&mut self, end: End) {
        let boot = self.nodes[end.0].process.as_ref().map(|process| process.boot);
        if let Some(boot) = boot.filter(|_| self.watches.wants(end).is_some()) {
            self.watches.dials.insert(end, boot);
            self.queue.push(self.now + REDIAL, Happening::Tcp(Tcp::Dial { end, boot, tries: 1 }));
        }
    }

    /// Closes both ends in order.
    fn hang_up(&mut self, end: End, open: Open) {
        self.watches.ends.remove(&end);
        let other = (open.other, self.nodes[end.0].id());
        if self.watches.ends.get(&other).is_some_and(|other| other.link == open.link) {
            self.watches.ends.remove(&other);
            self.redial(other);
        }
    }

    pub(super) fn is_whole(&self, (node, _): End, open: Open) -> bool {
        let other = (open.other, self.nodes[node].id());
        self.watches.ends.get(&other).is_some_and(|other| other.link == open.link)
    }

    fn hear_each_other(&self, one: usize, other: usize) -> bool {
        self.network.reaches(one, other) && self.network.reaches(other, one)
    }
}
