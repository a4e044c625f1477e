//! Datagrams: taking packets apart for the machines, and putting packets together for the wire.

use std::net::SocketAddr;

use prost::Message as _;

use super::{Destination, Event, Mesh, Output, Refused};
use crate::gossip::QuantisedLoad;
use crate::id::{IdHash, ManifestVersion, Version};
use crate::time::{Duration, Instant};
use crate::wire::packet::MAX_MANIFESTS;
use crate::wire::{Body, Fact, FactKind, MAX_PACKET_LEN, Packet};

/// Only manifests this young ride on datagrams: everyone else has the older ones.
const PUSHED_WHILE_YOUNGER: Duration = Duration::from_secs(10);

/// Tag and length of an embedded manifest.
const MANIFEST_FRAMING: usize = 4;

impl Mesh {
    pub(super) fn handle_datagram(&mut self, source: SocketAddr, bytes: &[u8], now: Instant) {
        let mut packet = match Packet::decode(bytes) {
            Ok(packet) => packet,
            Err(error) => {
                self.event(Event::Refused { what: Refused::Packet, reason: error.to_string() });
                return;
            }
        };
        packet.spell_out(self.hash.0);
        let from = IdHash(packet.from);
        self.snapshot.touch(from);
        for manifest in &packet.manifests {
            self.gossip.handle_manifest(manifest, Duration::ZERO, self.membership.members(), now);
        }
        // A fact about a newcomer makes sense once its manifest, which came along, is known.
        self.pump_gossip(now);
        self.membership.handle_packet(&packet, source, now);
        self.handle_body(&packet, from, now);
        for fact in &packet.facts {
            self.handle_fact(fact, from, now);
        }
    }

    fn handle_body(&mut self, packet: &Packet, from: IdHash, now: Instant) {
        match &packet.body {
            Some(Body::Ack(ack)) if ack.target == packet.from && ack.load > 0 => {
                if self.membership.member(from).is_none() {
                    return;
                }
                let load = QuantisedLoad::from_wire(u64::from(ack.load) - 1);
                self.gossip.loads.observe(from, load, now);
            }
            Some(Body::Election(election)) => self.election.handle_election(from, election.term, now),
            Some(Body::Answer(answer)) => {
                let is_member = |leader: &IdHash| self.membership.member(*leader).is_some();
                let leader = Some(IdHash(answer.leader)).filter(is_member);
                self.election.handle_answer(from, answer.term, leader, now);
            }
            _ => {}
        }
    }

    fn handle_fact(&mut self, fact: &Fact, from: IdHash, now: Instant) {
        let subject = IdHash(fact.subject);
        match fact.kind() {
            FactKind::Alive | FactKind::Suspect | FactKind::Dead | FactKind::Left | FactKind::Joined => {
                self.membership.handle_fact(fact, from, now);
            }
            FactKind::Manifest => {
                let version = ManifestVersion { epoch: fact.epoch, seq: fact.incarnation };
                self.gossip.want(subject, version, from, self.membership.members(), now);
            }
            FactKind::Load => {
                let load = QuantisedLoad::from_wire(fact.value);
                let is_member = self.membership.member(subject).is_some();
                if is_member && self.gossip.loads.learn(subject, load, fact.incarnation, now) {
                    self.snapshot.touch(subject);
                    self.membership.disseminate(fact.clone(), now);
                }
            }
            FactKind::Coordinator => {
                let is_known = self.election.knows_coordinator(subject, fact.value);
                if self.membership.member(subject).is_some() && !is_known {
                    self.election.handle_coordinator(subject, fact.value, now);
                    self.membership.disseminate(fact.clone(), now);
                }
            }
            FactKind::Cloned => self.membership.handle_cloned(fact),
            FactKind::Unroutable => self.membership.handle_route(fact, now),
            FactKind::Unknown => {}
        }
    }

    pub(super) fn tell_load(&mut self, load: QuantisedLoad, telling: u64, now: Instant) {
        let order = Version { epoch: 0, incarnation: telling };
        let fact = Fact::about(self.hash, order, FactKind::Load);
        self.membership.disseminate(Fact { value: load.to_wire(), ..fact }, now);
    }

    /// Fills a packet up with facts, and with the manifests that they name, and puts it out.
    pub(super) fn send(&mut self, to: Destination, body: Option<Body>, now: Instant) {
        self.send_facts(to, body, Vec::new(), now);
    }

    /// As `send`; `first` are facts that the recipient must have.
    pub(super) fn send_facts(&mut self, to: Destination, body: Option<Body>, first: Vec<Fact>, now: Instant) {
        let Version { epoch, incarnation } = self.membership.version();
        let members = u32::try_from(self.membership.live_count()).unwrap_or(u32::MAX);
        let mut packet = Packet {
            from: self.hash.0,
            epoch,
            incarnation,
            members,
            facts: first,
            body: body.map(|body| self.with_root(body)),
            manifests: Vec::new(),
        };
        let recipient = match to {
            Destination::Member { id, .. } => Some(id),
            Destination::Address(_) | Destination::Seed(_) => None,
        };
        // A Join goes to a stranger, who learns from its own questions.
        if let Some(recipient) = recipient {
            packet.abbreviate(recipient.0);
            let budget = MAX_PACKET_LEN - packet.encoded_len();
            packet.facts.extend(self.membership.facts_for(Some(recipient), budget));
            let left = MAX_PACKET_LEN - packet.encoded_len();
            packet.manifests = self.manifests_for(&packet.facts, left, now);
        }
        let bytes = packet.encode_to_vec();
        debug_assert!(bytes.len() <= MAX_PACKET_LEN, "a packet of {} bytes", bytes.len());
        self.outputs.push_back(Output::Datagram { to, bytes });
    }

    /// Acks and joins carry the root of the digest; acks for this node carry its load too.
    fn with_root(&self, mut body: Body) -> Body {
        let root = self.membership.members().root();
        match &mut body {
            Body::Ack(ack) => {
                ack.root = root;
                if ack.target == self.hash.0 {
                    let load = self.gossip.loads.own().map_or(0, |load| load.to_wire() + 1);
                    ack.load = u32::try_from(load).unwrap_or(0);
                }
            }
            Body::Join(join) => join.root = root,
            Body::JoinAck(ack) => ack.root = root,
            Body::Ping(_)
            | Body::PingReq(_)
            | Body::Nack(_)
            | Body::Election(_)
            | Body::Answer(_)
            | Body::Notice(_)
            | Body::Verdict(_) => {}
        }
        body
    }

    pub(super) fn manifests_for(&self, facts: &[Fact], mut left: usize, now: Instant) -> Vec<Vec<u8>> {
        let mut manifests: Vec<Vec<u8>> = Vec::new();
        for fact in facts {
            if !matches!(fact.kind(), FactKind::Manifest | FactKind::Joined)
                || manifests.len() == MAX_MANIFESTS
            {
                continue;
            }
            let Some(held) = self.membership.members().held(IdHash(fact.subject)) else { continue };
            let bytes = held.signed.bytes();
            // A newcomer's joining and its manifest are two facts that name the same one.
            let is_named = held.signed.hash() == fact.by && manifests.iter().all(|one| **one != *bytes);
            if is_named && held.age(now) < PUSHED_WHILE_YOUNGER && bytes.len() + MANIFEST_FRAMING <= left {
                left -= bytes.len() + MANIFEST_FRAMING;
                manifests.push(bytes.to_vec());
            }
        }
        manifests
    }
}
