//! Carries what one machine says to the others and to the world, until all are silent.

use std::sync::Arc;

use super::{Event, Mesh, Output, PERSIST_PEERS_INTERVAL, Persist, Refused};
use crate::gossip::Peer;
use crate::id::{IdHash, ManifestVersion, NodeId, Version};
use crate::members::Offer;
use crate::membership::Claim;
use crate::time::{Duration, Instant};
use crate::view::Status;
use crate::wire::link::EntryState;
use crate::wire::manifest::SignedManifest;
use crate::wire::{Body, Fact, FactKind, encode};
use crate::{election, gossip, membership, probe, summary};

/// Addresses that are written down.
const MAX_PEERS: usize = 1024;

impl Mesh {
    /// Runs until no machine has anything to say.
    pub(super) fn pump(&mut self, now: Instant) {
        loop {
            self.pump_membership(now);
            self.pump_gossip(now);
            self.pump_prober();
            self.refresh_after_pause(now);
            self.open_gate(now);
            self.refresh_roster(now);
            self.pump_election(now);
            self.pump_summary(now);
            self.publish_if_due(now);
            if !self.roster.is_due(now) && !self.pump_membership(now) {
                return;
            }
        }
    }

    /// True when there was something.
    fn pump_membership(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(output) = self.membership.poll_output() {
            any = true;
            self.carry_membership(output, now);
        }
        any
    }

    fn carry_membership(&mut self, output: membership::Output, now: Instant) {
        use membership::Output as Out;
        match output {
            Out::Send { to, body } => self.send(to, body, now),
            Out::Tell { to, fact } => self.send_facts(to, None, vec![fact], now),
            Out::Watch(watched) => self.watch(&watched),
            Out::PingLink { subject, within } => self.ping_link(subject, within, now),
            Out::Connect { subject } => self.connect(subject, now),
            Out::Route { id, is_unroutable } => {
                self.snapshot.touch(id.hash());
                self.note_change();
                self.event(if is_unroutable { Event::Unroutable(id) } else { Event::Routable(id) });
            }
            Out::Isolated(is_isolated) => {
                self.own.touch();
                self.note_change();
                self.event(Event::Isolated(is_isolated));
            }
            Out::Changed(hash) => {
                if hash == self.hash && self.election.leading_term() > 0 {
                    // Who held this leader dead waits for its word that it still leads.
                    self.own.renew(now);
                }
                self.cover(hash, now);
            }
            Out::Wanted { subject, epoch, teller } => {
                let version = ManifestVersion { epoch, seq: 0 };
                self.gossip.want(subject, version, teller, self.membership.members(), now);
            }
            Out::Contact { id, addr, root } => {
                // A dead member with the same root lets itself be held dead.
                let is_known = self.membership.member(id.hash()).is_some();
                if !is_known || root != self.membership.members().root() {
                    self.gossip.start_sync(Peer::Contact { id, addr }, self.membership.members(), now);
                }
            }
            Out::Root { peer, root } => self.gossip.handle_root(peer, root, self.membership.members(), now),
            Out::Joined(id) => self.event(Event::Joined(id)),
            Out::Suspected { subject, accuser } => {
                let accuser = self.id_of(accuser);
                self.event(Event::Suspect { subject, accuser });
            }
            Out::Died(id) => {
                self.end_claim(id);
                self.event(Event::Dead(id));
            }
            Out::Departed(id) => self.event(Event::Left(id)),
            Out::Refuted(id) => self.event(Event::Refuted(id)),
            Out::Evidence { subject, text, by } => {
                let by = by.and_then(|by| self.id_of(by));
                self.event(Event::Evidence { subject, text, by });
            }
            Out::EpochBehind { epoch, is_alive } => self.handle_epoch_behind(epoch, is_alive, now),
            Out::Flapping => self.own.touch(),
            Out::Damped(is_damped) => self.event(Event::Damped(is_damped)),
            Out::Cloned { epoch, gives_way } => self.handle_cloned(epoch, gives_way),
            Out::Refused(reason) => self.event(Event::Refused { what: Refused::Claim, reason }),
            Out::Unanswered => self.event(Event::JoinUnanswered),
            Out::Left => self.outputs.push_back(Output::Left),
        }
    }

    pub(super) fn pump_gossip(&mut self, now: Instant) {
        while let Some(output) = self.gossip.poll_output() {
            match output {
                gossip::Output::Ask { to, token, ask } => self.ask_for_gossip(to, token, ask, now),
                gossip::Output::Manifest { signed, age } => self.take_manifest(signed, age, now),
                gossip::Output::Claim { id, version, state, age, teller } => {
                    self.take_claim(id, version, state, age, teller, now);
                }
                gossip::Output::Matched(peer) => self.gate.note_match(peer),
                gossip::Output::Compared(peer) => self.note_compared(peer),
                gossip::Output::Refused(reason) => {
                    self.event(Event::Refused { what: Refused::Manifest, reason });
                }
            }
        }
    }

    fn take_manifest(&mut self, signed: SignedManifest, age: Duration, now: Instant) {
        let (owner, hash, manifest) = (signed.owner(), signed.hash(), Arc::clone(signed.manifest()));
        let previous = self.membership.members().held(owner).map(|held| Arc::clone(held.signed.manifest()));
        if previous.as_ref().is_some_and(|previous| previous.version >= manifest.version) {
            return;
        }
        self.membership.introduce(manifest.id, manifest.version.epoch, manifest.addr, hash, now);
        if self.membership.keep(signed, age, now) != Offer::Accepted {
            return;
        }
        self.cover(owner, now);
        // It may have offered to lead before.
        self.roster.touch();
        let fact = Fact {
            subject: owner.0,
            epoch: manifest.version.epoch,
            incarnation: manifest.version.seq,
            kind: FactKind::Manifest.into(),
            by: hash,
            value: 0,
        };
        self.membership.disseminate(fact, now);
        // Whoever hears of the newcomer's services has heard of the newcomer.
        self.pump_membership(now);
        for service in &manifest.services {
            let before = previous.as_ref().and_then(|p| p.services.iter().find(|s| s.name == service.name));
            if before.map(|before| before.health) != Some(service.health) {
                let (worker, service, health) = (manifest.id, service.name.clone(), service.health);
                self.event(Event::Health { worker, service, health });
            }
        }
    }

    fn take_claim(
        &mut self,
        id: NodeId,
        version: Version,
        state: EntryState,
        age: Duration,
        teller: IdHash,
        now: Instant,
    ) {
        let status = match state {
            EntryState::Alive => Status::Alive,
            EntryState::Dead => Status::Dead,
            EntryState::Left => Status::Left,
            EntryState::Unknown => return,
        };
        let claim = Claim { version, status };
        if status == Status::Alive {
            self.membership.handle_claim(id.hash(), claim, teller, teller, 0, now);
        } else {
            self.membership.handle_tombstone(id, claim, age, teller, now);
        }
    }

    fn pump_prober(&mut self) {
        while let Some(output) = self.prober.poll_output() {
            match output {
                probe::Output::Check(service) => self.outputs.push_back(Output::Check(service)),
                probe::Output::Changed { service, health, .. } => {
                    self.own.touch();
                    self.event(Event::Health { worker: self.id, service, health });
                }
            }
        }
    }

    pub(super) fn pump_election(&mut self, now: Instant) {
        while let Some(output) = self.election.poll_output() {
            use election::Output as Out;
            match output {
                Out::Election { to, term } => {
                    self.send_election(
                        to,
                        Body::Election(crate::wire::packet::Election { term, leader: 0 }),
                        now,
                    );
                }
                Out::Answer { to, term, leader } => {
                    let leader = leader.map_or(0, |leader| leader.0);
                    self.send_election(to, Body::Answer(crate::wire::packet::Election { term, leader }), now);
                }
                Out::ReadStore => self.summary.handle_campaign(now),
                Out::Lead(term) => {
                    let fact = Fact::about(self.hash, self.membership.version(), FactKind::Coordinator);
                    self.membership.disseminate(Fact { value: term, ..fact }, now);
                    self.own.touch();
                    self.note_change();
                    self.refresh_census(now);
                    self.summary.handle_lead(term, now);
                }
                Out::StepDown => {
                    self.own.touch();
                    self.summary.handle_follow(now);
                }
                Out::Leader(leader) => {
                    self.note_change();
                    // The next value that is written names the leader.
                    self.roster.hurry(now);
                    let (leader, term) = (leader.and_then(|leader| self.id_of(leader)), self.election.term());
                    self.event(Event::Leader { leader, term });
                }
            }
        }
    }

    fn pump_summary(&mut self, now: Instant) {
        while let Some(output) = self.summary.poll_output() {
            use summary::Output as Out;
            match output {
                Out::Store(call) => self.outputs.push_back(Output::Store(call)),
                Out::Persist(record) => {
                    self.outputs.push_back(Output::Persist(Persist::WriteRecord(encode(&record))));
                }
                Out::Replicate { record, copies } => self.replicate(&record, copies, now),
                Out::Announce { record, copies } => self.announce(&record, copies, now),
                Out::Stored { term } => self.election.handle_stored(term, now),
                Out::StoreFailed(_) => {
                    self.store_failed_until = Some(now + super::STORE_FAILURE_COUNTS_FOR);
                    self.own.touch();
                    self.summary.handle_follow(now);
                    self.election.handle_store_failed(now);
                }
                Out::Wrote { term, seq, error } => self.event(Event::Write { term, seq, error }),
            }
            self.snapshot.expire();
            self.view_version += 1;
        }
        if !self.election.is_silent() {
            self.pump_election(now);
        }
    }

    fn open_gate(&mut self, now: Instant) {
        if self.gate.try_pass(self.membership.live_count() - 1, now) {
            self.membership.allow_accusations(now);
            self.gossip.calm_down(now);
            self.own.touch();
            self.event(Event::Ready);
            self.note_change();
        }
    }

    /// Brings digest and view in line with what membership and gossip hold of a member.
    pub(super) fn cover(&mut self, hash: IdHash, now: Instant) {
        if self.may_lead(hash) {
            self.roster.touch();
        } else {
            self.roster.touch_later(now);
        }
        self.snapshot.expire();
        self.view_version += 1;
        self.gossip.note_news(now);
        self.persist_peers_at.get_or_insert(now + PERSIST_PEERS_INTERVAL);
        self.membership.cover(hash, now);
        self.snapshot.touch(hash);
        if hash != self.hash && self.membership.member(hash).is_none() {
            self.gossip.forget(hash);
        }
    }

    /// Members, manifests or the leader changed.
    pub(super) fn note_change(&mut self) {
        self.roster.touch();
        self.snapshot.expire();
        self.view_version += 1;
    }

    pub(super) fn persist_peers(&mut self, now: Instant) {
        self.persist_peers_at = None;
        let kept = |member: &membership::Member| member.claim.status != Status::Left;
        let members = self.membership.members().values();
        let members = members.filter(kept).filter_map(|member| member.addr);
        let peers = members.chain(self.membership.former_addresses(now)).take(MAX_PEERS).collect();
        self.outputs.push_back(Output::Persist(Persist::Peers(peers)));
    }

    fn send_election(&mut self, to: IdHash, body: Body, now: Instant) {
        if let Some(addr) = self.membership.member(to).and_then(|member| member.addr) {
            self.send(super::Destination::Member { id: to, addr }, Some(body), now);
        }
    }
}
