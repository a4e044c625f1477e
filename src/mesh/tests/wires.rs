//! What the nodes of a test's cluster want done, and what comes of it after the delay of its wires.

use super::cluster::{Cluster, DELAY, Delivery};
use super::settings::{addr, id, node_at};
use crate::id::ServiceName;
use crate::mesh::{
    Destination, Event, Input, LINK_REQUEST_TIMEOUT, LinkFailure, LocalChange, Output, Persist, RequestId,
};
use crate::probe::Outcome;
use crate::summary::{StoreCall, StoreReply};
use crate::time::Duration;

impl Cluster {
    pub(super) fn carry(&mut self, node: usize, output: Output) {
        match output {
            Output::Datagram { to, bytes } => {
                self.datagrams += 1;
                self.bytes += bytes.len();
                let to = match to {
                    Destination::Member { addr, .. } | Destination::Address(addr) => node_at(addr),
                    Destination::Seed(_) => 0,
                };
                self.push(DELAY, to, Delivery::Datagram(addr(node), bytes));
            }
            Output::Request { to, addr: at, id: request, body } => {
                self.questions += 1;
                let target = node_at(at);
                let is_paused = self.paused.contains_key(&target);
                let works = id(self.key_of(target)) == to
                    && self.nodes.contains_key(&target)
                    && !self.cut.contains(&(node, target));
                if works && is_paused {
                    self.push(LINK_REQUEST_TIMEOUT, node, Delivery::Response(request, None));
                } else if works {
                    self.admit(node, target);
                    self.push(DELAY, target, Delivery::Request(node, request, body));
                } else {
                    self.push(DELAY, node, Delivery::Response(request, None));
                }
            }
            Output::Watch(watched) => self.watch(node, &watched),
            Output::PingLink { to, id, body, within } => self.ping_link(node, to, id, body, within),
            Output::Connect { to, addr, id } => self.connect(node, to, addr, id),
            Output::Respond { id: request, body } => {
                let origin = self.nodes.get_mut(&node).and_then(|n| n.asked.remove(&request));
                if let Some(origin) = origin {
                    let own = RequestId(request.0 >> 16);
                    self.push(DELAY, origin, Delivery::Response(own, Some(body)));
                }
            }
            Output::Check(service) => {
                assert_eq!(service.as_str(), "echo");
                self.push(DELAY, node, Delivery::Checked);
            }
            Output::Store(call) => {
                match &call {
                    StoreCall::Get => drop(self.gets.insert(node, self.now)),
                    StoreCall::Put { .. } => {
                        let age = self.now.since(self.gets[&node]);
                        assert!(age <= Duration::from_secs(5), "n{node} writes what it read {age:?} ago");
                    }
                }
                let delivery = match (call, &self.store) {
                    _ if self.store_fails => Delivery::GetFailed,
                    (StoreCall::Get, Some(value)) => Delivery::Stored(value.clone()),
                    (StoreCall::Get, None) => Delivery::NotFound,
                    (StoreCall::Put { value }, _) => {
                        self.store = Some(value);
                        Delivery::PutDone
                    }
                };
                self.push(DELAY, node, delivery);
            }
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

    pub(super) fn deliver(&mut self, to: usize, delivery: Delivery) {
        if let Some(held) = self.paused.get_mut(&to) {
            held.push(delivery);
            return;
        }
        let unix = 1_800_000_000 + self.now.as_nanos() / 1_000_000_000;
        let input = match delivery {
            Delivery::Datagram(source, bytes) => {
                if self.cut.contains(&(node_at(source), to)) {
                    return;
                }
                if let Some(tape) = self.tape.as_mut() {
                    tape.push((to, source, bytes.clone()));
                }
                Input::Datagram { source, bytes }
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
