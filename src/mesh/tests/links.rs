//! Links of the meshes in tests: hosts live for ever, and connections are to be had or refused at once.

use std::net::SocketAddr;

use super::cluster::{Cluster, DELAY, Delivery};
use super::settings::{id, node_at};
use super::speech;
use crate::id::NodeId;
use crate::mesh::{ConnectOutcome, Input, LINK_REQUEST_TIMEOUT, RequestId};
use crate::time::Duration;

impl Cluster {
    /// The node stands still: its clock runs on, and its kernel keeps what comes.
    pub(super) fn pause(&mut self, node: usize) {
        self.paused.insert(node, Vec::new());
    }

    /// It goes on: first of all it notices the time, then it gets what came.
    pub(super) fn resume(&mut self, node: usize) {
        let held = self.paused.remove(&node).unwrap_or_default();
        self.handle(node, Input::Tick);
        for delivery in held {
            self.push(Duration::ZERO, node, delivery);
        }
    }

    /// A question needs a link: both ends hear of a new one.
    pub(super) fn admit(&mut self, dialler: usize, acceptor: usize) {
        let pair = (dialler.min(acceptor), dialler.max(acceptor));
        if self.linked.insert(pair) {
            for (at, peer) in [(dialler, acceptor), (acceptor, dialler)] {
                let nonce = self.nodes.get(&peer).map_or(0, |node| node.nonce);
                self.push(DELAY, at, Delivery::Admitted(self.key_of(peer), nonce));
            }
        }
    }

    pub(super) fn ask(
        &mut self,
        node: usize,
        to: NodeId,
        addr: SocketAddr,
        request: RequestId,
        body: Vec<u8>,
    ) {
        let body = speech::asked(&self.speeches, node, body);
        self.questions += 1;
        let target = node_at(addr);
        let works = id(self.key_of(target)) == to
            && self.nodes.contains_key(&target)
            && !self.cut.contains(&(node, target));
        if works && self.paused.contains_key(&target) {
            self.push(LINK_REQUEST_TIMEOUT, node, Delivery::Response(request, None));
        } else if works {
            self.admit(node, target);
            self.push(DELAY, target, Delivery::Request(node, request, body));
        } else {
            self.push(DELAY, node, Delivery::Response(request, None));
        }
    }

    pub(super) fn respond(&mut self, node: usize, request: RequestId, body: Vec<u8>) {
        let body = speech::answered(&self.speeches, node, body);
        let asker = self.nodes.get_mut(&node).and_then(|node| node.asked.remove(&request));
        if let Some(asker) = asker {
            let own = RequestId(request.0 >> 16);
            if self.tape.is_some() {
                self.answers.push((asker, body.clone()));
            }
            self.push(DELAY, asker, Delivery::Response(own, Some(body)));
        }
    }

    pub(super) fn watch(&mut self, node: usize, watched: &[(NodeId, SocketAddr)]) {
        self.watched.insert(node, watched.iter().map(|(_, addr)| node_at(*addr)).collect());
    }

    pub(super) fn ping_link(
        &mut self,
        node: usize,
        to: NodeId,
        request: RequestId,
        body: Vec<u8>,
        within: Duration,
    ) {
        let watched = self.watched.get(&node).into_iter().flatten();
        let target = watched.copied().find(|peer| id(self.key_of(*peer)) == to);
        match target.filter(|target| self.nodes.contains_key(target)) {
            Some(target) if self.paused.contains_key(&target) => {
                self.push(within, node, Delivery::Stalled(request));
            }
            Some(target) if !self.cut.contains(&(node, target)) => {
                self.push(DELAY, target, Delivery::Request(node, request, body));
            }
            Some(_) => self.push(within, node, Delivery::Response(request, None)),
            None => self.push(DELAY, node, Delivery::Response(request, None)),
        }
    }

    pub(super) fn connect(&mut self, node: usize, to: NodeId, addr: SocketAddr, request: RequestId) {
        let target = node_at(addr);
        let outcome = match self.nodes.get(&target) {
            _ if self.cut.contains(&(node, target)) => ConnectOutcome::Silent,
            None => ConnectOutcome::Refused,
            Some(_) if id(self.key_of(target)) == to => ConnectOutcome::Proven,
            Some(_) => ConnectOutcome::OtherPeer,
        };
        self.push(DELAY, node, Delivery::Connected(request, outcome));
    }
}
