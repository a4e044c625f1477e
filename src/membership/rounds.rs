//! Pings, ping-reqs, acks and nacks: one round of SWIM's failure detector per period, and relaying for others.

use std::net::SocketAddr;

use rand::Rng as _;

use super::timer::Timer;
use super::{Destination, Membership, Output, PERIOD, shuffle};
use crate::id::{IdHash, Version};
use crate::time::{Duration, Instant, earliest};
use crate::view::Status;
use crate::wire::packet::{Ack, Nack, NackReason, Ping};
use crate::wire::{Body, Packet};

/// How long a direct ping may take before others are asked.
const PING_TIMEOUT: Duration = Duration::from_millis(400);

/// Members that are asked to ping a silent one (SWIM's k).
const RELAYS: usize = 3;

/// A node that may not accuse yet looks around faster, to know its mesh sooner.
const LOOKING_AROUND: Duration = Duration::from_millis(200);

/// Pings on behalf of others that may be outstanding.
const MAX_RELAYS: usize = 256;

/// After this share of a relayed ping's time, in percent, the origin is told that nothing was heard, so that the
/// nack arrives before it gives up.
const NACK_AFTER_PERCENT: u32 = 80;

/// The ping of this period.
#[derive(Debug)]
pub(super) struct Round {
    target: IdHash,
    token: u64,
    sent: Instant,
    /// Members that were asked to ping the target.
    asked: u32,
    /// Those that said that they got no answer either.
    nacks: u32,
}

/// A ping on behalf of another member.
#[derive(Debug)]
pub(super) struct Relay {
    origin: Destination,
    origin_token: u64,
    nack_at: Option<Instant>,
    ends: Instant,
}

impl Relay {
    pub(super) fn deadline(&self) -> Instant {
        earliest(self.nack_at, Some(self.ends)).unwrap_or(self.ends)
    }
}

impl Membership {
    /// A packet of a member or of a stranger arrived. Facts are handed in one by one, by `handle_fact`.
    pub fn handle_packet(&mut self, packet: &Packet, source: SocketAddr, now: Instant) {
        let from = IdHash(packet.from);
        if from == self.hash {
            return;
        }
        self.look_for_clones(packet, from, source, now);
        self.advertised = self.advertised.max(packet.members);
        let version = Version { epoch: packet.epoch, incarnation: packet.incarnation };
        let held = self.members.get(&from).map(|member| member.claim.version.epoch);
        if held.is_some_and(|held| packet.epoch < held) {
            self.correct(from, source, now);
            return;
        }
        if held.is_some_and(|held| packet.epoch > held) {
            self.outputs.push_back(Output::Wanted { subject: from, epoch: packet.epoch, teller: from });
        } else {
            self.handle_heard(from, version, source, now);
        }
        let sender = Destination::Member { id: from, addr: source };
        match &packet.body {
            Some(Body::Ping(ping)) => self.handle_ping(*ping, sender),
            Some(Body::PingReq(ping)) => self.handle_ping_req(*ping, sender, now),
            Some(Body::Ack(ack)) => self.handle_ack(*ack, from, now),
            Some(Body::Nack(nack)) => self.handle_nack(*nack),
            Some(Body::Join(join)) => self.handle_join(join, sender),
            Some(Body::JoinAck(ack)) => self.handle_join_ack(ack, from, source, now),
            // The election's messages are none of membership's business.
            Some(Body::Election(_) | Body::Answer(_) | Body::Notice(_) | Body::Verdict(_)) | None => {}
        }
    }

    pub(super) fn begin_period(&mut self, now: Instant) {
        if self.leaving.is_some() {
            return;
        }
        let period =
            if self.may_accuse { self.awareness.stretch(PERIOD) } else { LOOKING_AROUND.min(PERIOD) };
        self.timers.set(Timer::Period, now + period);
        let Some(target) = self.next_target() else { return };
        let token = self.rng.next_u64();
        let epoch = self.members.get(&target).map_or(0, |member| member.claim.version.epoch);
        self.round = Some(Round { target, token, sent: now, asked: 0, nacks: 0 });
        self.send_to_member(
            target,
            Some(Body::Ping(Ping { token, target: target.0, target_epoch: epoch, ..Ping::default() })),
        );
        if self.may_accuse {
            self.timers.set(Timer::Direct, now + self.awareness.stretch(PING_TIMEOUT));
            self.timers.set(Timer::Round, now + period);
            // The round ends with the period, and the next one begins in the same instant.
            self.timers.stop(Timer::Period);
        }
    }

    /// The direct ping was not answered in time.
    pub(super) fn ask_others(&mut self) {
        let Some(Round { target, token, .. }) = self.round else { return };
        let epoch = self.members.get(&target).map_or(0, |member| member.claim.version.epoch);
        let ask = Ping { token, target: target.0, target_epoch: epoch, ..Ping::default() };
        let relays =
            self.sample(RELAYS, |member| member.claim.status == Status::Alive && member.hash() != target);
        if let Some(round) = &mut self.round {
            round.asked = u32::try_from(relays.len()).unwrap_or(u32::MAX);
        }
        for relay in relays {
            self.send_to_member(relay, Some(Body::PingReq(ask)));
        }
        // A second direct try costs little, and a single lost datagram is no evidence.
        self.send_to_member(target, Some(Body::Ping(ask)));
    }

    /// The period is over and the target has not answered.
    pub(super) fn end_round(&mut self, now: Instant) {
        if let Some(round) = self.round.take() {
            self.awareness.handle_failure(round.asked, round.asked.saturating_sub(round.nacks));
            let member = self.members.get(&round.target).filter(|member| member.is_live());
            let is_open = !self.holds_accusations && self.budget.take(now);
            if let Some(member) = member.filter(|_| is_open) {
                let text = format!(
                    "no ack to a ping, {} others asked, {} of them got none either",
                    round.asked, round.nacks
                );
                let id = member.id;
                self.evidence(id, text, None);
                self.suspect(round.target, now);
            }
        }
        self.begin_period(now);
    }

    pub(super) fn expire_relays(&mut self, now: Instant) {
        let mut nacks = Vec::new();
        for relay in self.relays.values_mut() {
            if relay.nack_at.is_some_and(|at| at <= now) {
                relay.nack_at = None;
                nacks.push((relay.origin, relay.origin_token));
            }
        }
        for (origin, token) in nacks {
            self.send_nack(origin, token, NackReason::NoAnswer);
        }
        self.relays.retain(|_, relay| relay.ends > now);
    }

    fn handle_ping(&mut self, ping: Ping, sender: Destination) {
        if self.leaving.is_some() {
            return;
        }
        if ping.target != self.hash.0 {
            self.send_nack(sender, ping.token, NackReason::NotMe);
            return;
        }
        if ping.target_epoch > self.version.epoch {
            self.outputs.push_back(Output::EpochBehind { epoch: ping.target_epoch, is_alive: true });
            self.send_nack(sender, ping.token, NackReason::NotMe);
            return;
        }
        let ack = Ack {
            token: ping.token,
            target: self.hash.0,
            target_epoch: self.version.epoch,
            target_incarnation: self.version.incarnation,
            boot_nonce: self.boot_nonce,
            root: 0,
            load: 0,
            next_turn_ms: 0,
        };
        self.send(sender, Some(Body::Ack(ack)));
    }

    fn handle_ping_req(&mut self, ask: Ping, sender: Destination, now: Instant) {
        let target = IdHash(ask.target);
        let addr = self.members.get(&target).and_then(|member| member.addr);
        let Some(addr) = addr.filter(|_| self.relays.len() < MAX_RELAYS) else {
            self.send_nack(sender, ask.token, NackReason::NotKnown);
            return;
        };
        let token = self.rng.next_u64();
        let relay = Relay {
            origin: sender,
            origin_token: ask.token,
            nack_at: Some(now + PING_TIMEOUT * NACK_AFTER_PERCENT / 100),
            ends: now + PERIOD,
        };
        self.relays.insert(token, relay);
        let ping = Ping { token, target: ask.target, target_epoch: ask.target_epoch, ..Ping::default() };
        self.send(Destination::Member { id: target, addr }, Some(Body::Ping(ping)));
    }

    fn handle_ack(&mut self, ack: Ack, from: IdHash, now: Instant) {
        let is_direct = ack.target == from.0;
        if let Some(relay) = self.relays.remove(&ack.token) {
            if is_direct {
                let forwarded = Ack { token: relay.origin_token, ..ack };
                self.send(relay.origin, Some(Body::Ack(forwarded)));
            }
            return;
        }
        if is_direct && self.members.contains_key(&from) {
            self.outputs.push_back(Output::Root { peer: from, root: ack.root });
        }
        let Some(round) =
            self.round.take_if(|round| round.token == ack.token && round.target.0 == ack.target)
        else {
            return;
        };
        if is_direct {
            self.note_ack(from, ack, round.sent, now);
        }
        self.timers.stop(Timer::Direct);
        if self.may_accuse {
            self.timers.stop(Timer::Round);
            let period = self.awareness.stretch(PERIOD);
            self.timers.set(Timer::Period, (round.sent + period).max(now));
        }
        self.awareness.handle_success();
        let version = Version { epoch: ack.target_epoch, incarnation: ack.target_incarnation };
        if let Some(member) = self.members.get_mut(&round.target) {
            if is_direct && round.asked == 0 {
                member.rtt = Some(now.since(round.sent));
            }
            // A forwarded ack carries the target's own version; the relay's word for it is a fact like others.
            if version > member.claim.version && !is_direct {
                let claim = super::Claim { version, status: Status::Alive };
                self.handle_claim(round.target, claim, from, from, now);
            }
        }
    }

    fn handle_nack(&mut self, nack: Nack) {
        if let Some(round) = self.round.as_mut().filter(|round| round.token == nack.token) {
            round.nacks = (round.nacks + 1).min(round.asked);
        }
    }

    fn send_nack(&mut self, to: Destination, token: u64, reason: NackReason) {
        self.send(to, Some(Body::Nack(Nack { token, reason: reason.into() })));
    }

    /// The next live member in shuffled round-robin order.
    fn next_target(&mut self) -> Option<IdHash> {
        if self.next >= self.order.len() {
            self.next = 0;
            shuffle(&mut self.order, &mut self.rng);
            self.advertised = u32::try_from(self.live_count()).unwrap_or(u32::MAX);
        }
        let target = self.order.get(self.next).copied();
        self.next += 1;
        // One whose address is not known here cannot answer: that is no evidence against it.
        target.filter(|target| {
            self.members.get(target).is_some_and(|member| member.is_live() && member.addr.is_some())
        })
    }
}
