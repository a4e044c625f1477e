//! Datagrams and requests on their way between machines.

use std::net::SocketAddr;

use meshnode::id::NodeId;
use meshnode::mesh::{Destination, Input, LINK_REQUEST_TIMEOUT, LinkFailure, RequestId};
use meshnode::wire::SEAL_OVERHEAD;

use super::links::Exchange;
use super::node::Host;
use super::tcp::CONNECT_TIMEOUT;
use super::{Cluster, Happening, explain, node};
use crate::trace::Who;

impl Cluster {
    /// The machine that holds an address now.
    pub(super) fn holder(&self, addr: SocketAddr) -> Option<usize> {
        self.addresses.get(&addr).copied()
    }

    pub(super) fn send(&mut self, node: usize, to: Destination, bytes: Vec<u8>) {
        let bytes = self.nodes[node].release.writes(bytes);
        let bytes = bytes.as_slice();
        let counted = self.checkers.bounds.datagram(self.now, node, bytes.len());
        self.fail(counted);
        if let Some(meter) = &mut self.meter {
            meter.datagram(node, bytes.len() + SEAL_OVERHEAD);
        }
        let (addr, sealed_for) = match to {
            Destination::Member { id, addr } => (addr, Some(id)),
            Destination::Address(addr) => (addr, None),
            Destination::Seed(seed) => {
                let Some(seed) = node::seeds(node, self.options.seeds).nth(seed) else {
                    return;
                };
                (self.nodes[seed].addr, None)
            }
        };
        let holder = self.holder(addr);
        let arrivals = holder.map(|holder| self.network.datagram(node, holder)).unwrap_or_default();
        if self.meter.is_none() {
            let digest = blake3::hash(bytes).to_hex();
            let why = self.trace.is_read().then(|| explain::packet(bytes, &self.model));
            let (to, size) = (holder.map_or(Who::World, Who::Node), bytes.len());
            self.trace.explain(
                self.now,
                Who::Node(node),
                format_args!("-> {to:<5} {size:4} B {} {arrivals:?}", &digest[..8]),
                why,
            );
        }
        let source = self.nodes[node].addr;
        for delay in arrivals {
            let bytes = bytes.to_vec();
            self.queue.push(self.now + delay, Happening::Datagram { to: addr, sealed_for, source, bytes });
        }
    }

    pub(super) fn ask(&mut self, exchange: Exchange, peer: NodeId, addr: SocketAddr, body: Vec<u8>) {
        let from = exchange.from;
        let body = self.nodes[from].release.writes_body(body);
        let counted = self.checkers.bounds.request(self.now, from, body.len());
        self.fail(counted);
        if let Some(meter) = &mut self.meter {
            meter.message(from, body.len());
        }
        let holder = self.holder(addr);
        let to = holder.unwrap_or(from);
        let link = self.links.open(Exchange { to, ..exchange });
        let way = holder.and_then(|holder| Some((holder, self.network.link(from, holder)?)));
        let outcome = match way {
            Some((holder, _)) if self.nodes[holder].host != Host::Up => {
                Err((CONNECT_TIMEOUT, LinkFailure::Unreachable))
            }
            None => Err((CONNECT_TIMEOUT, LinkFailure::Unreachable)),
            Some((holder, delay)) if self.nodes[holder].process.is_none() => {
                Err((2 * delay, LinkFailure::Unreachable))
            }
            Some((holder, delay)) if self.nodes[holder].id() != peer => {
                Err((4 * delay, LinkFailure::WrongPeer))
            }
            Some((_, delay)) => Ok(delay),
        };
        let why = self.trace.is_read().then(|| explain::request(&body));
        let (target, size) = (holder.map_or(Who::World, Who::Node), body.len());
        self.trace.explain(
            self.now,
            Who::Node(from),
            format_args!("=> {target:<5} {size:4} B request {link} {outcome:?}"),
            why,
        );
        match outcome {
            Ok(delay) => {
                self.queue.push(self.now + delay, Happening::Asked { link, body });
                let failure = LinkFailure::TimedOut;
                self.queue.push(self.now + LINK_REQUEST_TIMEOUT, Happening::Failed { link, failure });
            }
            Err((delay, failure)) => self.queue.push(self.now + delay, Happening::Failed { link, failure }),
        }
    }

    pub(super) fn asked(&mut self, link: u64, body: Vec<u8>) {
        let Some(exchange) = self.links.exchange(link) else {
            return;
        };
        if self.nodes[exchange.to].host != Host::Up {
            return;
        }
        if self.nodes[exchange.to].process.is_none() {
            let failure = LinkFailure::Unreachable;
            let way_back = self.network.link(exchange.to, exchange.from);
            self.queue
                .push(self.now + way_back.unwrap_or(CONNECT_TIMEOUT), Happening::Failed { link, failure });
            return;
        }
        if self.runs(exchange.from, exchange.from_boot) {
            self.admit(exchange.from, exchange.to);
        }
        let from = self.nodes[exchange.from].id();
        let body = self.nodes[exchange.to].release.reads_body(body);
        self.feed(exchange.to, Input::Request { from, id: RequestId(link), body });
    }

    pub(super) fn respond(&mut self, node: usize, id: RequestId, body: Vec<u8>) {
        let body = self.nodes[node].release.writes_body(body);
        let counted = self.checkers.bounds.link_body(self.now, node, body.len());
        self.fail(counted);
        if let Some(meter) = &mut self.meter {
            meter.message(node, body.len());
        }
        let link = id.0;
        let Some(exchange) = self.links.exchange(link).filter(|exchange| exchange.to == node) else {
            return;
        };
        let delay = self.network.link(node, exchange.from);
        let why = self.trace.is_read().then(|| explain::response(&body));
        self.trace.explain(
            self.now,
            Who::Node(node),
            format_args!("<= {:<5} {:4} B response {link} {delay:?}", Who::Node(exchange.from), body.len()),
            why,
        );
        if let Some(delay) = delay {
            self.queue.push(self.now + delay, Happening::Answered { link, body });
        }
    }

    pub(super) fn end_exchange(&mut self, link: u64, result: Result<Vec<u8>, LinkFailure>) {
        let Some(exchange) = self.links.close(link) else {
            return;
        };
        if !self.runs(exchange.from, exchange.from_boot) {
            return;
        }
        self.checkers.bounds.request_ended(exchange.from);
        if let Err(failure) = &result {
            self.note(Who::Node(exchange.from), format_args!("request {link} failed: {failure}"));
        }
        self.feed(exchange.from, Input::Response { id: exchange.id, result });
    }
}
