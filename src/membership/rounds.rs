//! Rounds of SWIM's failure detector: a ping, perhaps a second one, others that ping, and evidence when all fails.

use std::net::SocketAddr;

use rand::Rng as _;

use super::timer::Timer;
use super::{Destination, Detector, Membership, Output, PERIOD, shuffle};
use crate::id::{IdHash, Version};
use crate::time::{Duration, Instant};
use crate::view::Status;
use crate::wire::packet::{Ack, Nack, NackReason, Ping};
use crate::wire::{Body, Packet};

/// Members that are asked to ping a silent one (SWIM's k).
const RELAYS: usize = 3;

/// A node that may not accuse yet looks around faster, to know its mesh sooner.
const LOOKING_AROUND: Duration = Duration::from_millis(200);

/// With watchers that have their turns, a quarter of one ping a second goes to random members.
const RANDOM_PERIOD: Duration = Duration::from_secs(4);

/// Those who are asked to ping have at least this long.
const MIN_RELAYED: Duration = Duration::from_millis(100);

/// How far a round has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// One ping is out.
    Direct,
    /// It is out a second time: a single lost datagram is no evidence.
    Repeated,
    /// Others are asked too.
    Relayed,
}

/// A ping that waits for its answer.
#[derive(Debug)]
pub(super) struct Round {
    target: IdHash,
    sent: Instant,
    stage: Stage,
    /// Direct pings so far.
    pings: u32,
    due: Instant,
    ends: Instant,
    /// Members that were asked to ping the target.
    asked: u32,
    /// Those that said that they got no answer either.
    nacks: u32,
}

impl Round {
    pub(super) const fn due(&self) -> Instant {
        self.due
    }
}

impl Membership {
    /// A packet of a member or of a stranger arrived. Facts are handed in one by one, by `handle_fact`.
    pub fn handle_packet(&mut self, packet: &Packet, source: SocketAddr, now: Instant) {
        let from = IdHash(packet.from);
        if from == self.hash {
            return;
        }
        self.last_received = now;
        self.mute.remove(&from);
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
            // A notice has no message: two that hold each other dead would answer each other's for ever.
            let notify = packet.body.is_some().then_some(source);
            self.handle_heard(from, version, notify, now);
        }
        let sender = Destination::Member { id: from, addr: source };
        match &packet.body {
            Some(Body::Ping(ping)) => self.handle_ping(*ping, sender, from, now),
            Some(Body::PingReq(ping)) => self.handle_ping_req(*ping, sender, now),
            Some(Body::Ack(ack)) => self.handle_ack(*ack, from, now),
            Some(Body::Nack(nack)) => self.handle_nack(*nack),
            Some(Body::Join(join)) => self.handle_join(join, sender),
            Some(Body::JoinAck(ack)) => self.handle_join_ack(ack, from, source, now),
            Some(Body::Notice(notice)) => self.handle_notice(notice, from, now),
            Some(Body::Verdict(verdict)) => self.handle_verdict(*verdict, from, now),
            // The election's messages are none of membership's business.
            Some(Body::Election(_) | Body::Answer(_)) | None => {}
        }
    }

    /// The next random member is pinged.
    pub(super) fn begin_period(&mut self, now: Instant) {
        if self.leaving.is_some() {
            return;
        }
        let period = if !self.may_accuse {
            LOOKING_AROUND
        } else if self.detector.has_witnesses() {
            RANDOM_PERIOD
        } else {
            self.awareness.stretch(PERIOD)
        };
        self.timers.set(Timer::Period, now + period);
        // Whoever doubts itself is not asked whether it still does, once those that were silent are gone.
        self.is_self_suspecting(now);
        if let Some(target) = self.next_target() {
            self.begin_round(target, now);
        }
    }

    /// Pings a member; silence will be evidence.
    pub(super) fn begin_round(&mut self, target: IdHash, now: Instant) {
        // One whose address is not known here cannot answer: that is no evidence against it.
        if !self.members.get(&target).is_some_and(|member| member.is_live() && member.addr.is_some()) {
            return;
        }
        let token = self.rng.next_u64();
        let due = now + self.ping_timeout();
        let ends = now + self.awareness.stretch(PERIOD);
        let round =
            Round { target, sent: now, stage: Stage::Direct, pings: 1, due, ends, asked: 0, nacks: 0 };
        self.rounds.insert(token, round);
        self.ping(target, token, false, now);
    }

    /// Pings a member outside of any round.
    pub(super) fn challenge(&mut self, target: IdHash, suspected: bool, now: Instant) {
        let token = self.rng.next_u64();
        self.challenges.add(token, target, now);
        self.ping(target, token, suspected, now);
    }

    pub(super) fn ping(&mut self, target: IdHash, token: u64, suspected: bool, now: Instant) {
        let target_epoch = self.members.get(&target).map_or(0, |member| member.claim.version.epoch);
        let next_turn_ms = self.promise(target, now);
        let ping = Ping { token, target: target.0, target_epoch, next_turn_ms, suspected };
        self.send_to_member(target, Some(Body::Ping(ping)));
    }

    /// How long this node waits for an answer, the longer the less it trusts itself.
    pub(super) fn ping_timeout(&self) -> Duration {
        self.awareness.stretch(self.answer_time())
    }

    /// How long an answer may take. What witnesses do has its time by the accuser's clock, and is not stretched.
    pub(super) fn answer_time(&self) -> Duration {
        match self.detector {
            Detector::Swim | Detector::Lifeguard => self.detector.ping_timeout(),
            Detector::Witness => self.round_trips.timeout(),
        }
    }

    pub(super) fn continue_rounds(&mut self, now: Instant) {
        let due = |(token, round): (&u64, &Round)| (round.due <= now).then_some(*token);
        let due: Vec<u64> = self.rounds.iter().filter_map(due).collect();
        for token in due {
            self.continue_round(token, now);
        }
    }

    fn continue_round(&mut self, token: u64, now: Instant) {
        let timeout = self.ping_timeout();
        let (insists, attempts) = (self.detector.has_witnesses(), self.round_trips.attempts());
        let Some(round) = self.rounds.get_mut(&token) else { return };
        let target = round.target;
        match round.stage {
            // Before the gate a node only looks around; its pings are evidence of nothing.
            _ if !self.may_accuse => {
                self.rounds.remove(&token);
            }
            Stage::Direct if self.detector.has_witnesses() => {
                round.stage = Stage::Repeated;
                round.pings += 1;
                round.due = now + timeout;
                self.round_trips.note_first(false);
                self.ping(target, token, false, now);
            }
            Stage::Direct | Stage::Repeated => {
                round.stage = Stage::Relayed;
                round.pings += 1;
                round.due = if insists { now + timeout } else { round.ends.max(now + MIN_RELAYED) };
                self.ask_others(token, target, now);
            }
            // Where much is lost it costs less to insist than to accuse.
            Stage::Relayed if insists && round.pings < attempts => {
                round.pings += 1;
                round.due = now + timeout;
                self.ping(target, token, false, now);
            }
            Stage::Relayed if now < round.ends => round.due = round.ends,
            Stage::Relayed => self.fail_round(token, now),
        }
    }

    /// The direct pings were not answered in time.
    fn ask_others(&mut self, token: u64, target: IdHash, now: Instant) {
        let relays =
            self.sample(RELAYS, |member| member.claim.status == Status::Alive && member.hash != target);
        if let Some(round) = self.rounds.get_mut(&token) {
            round.asked = u32::try_from(relays.len()).unwrap_or(u32::MAX);
        }
        let target_epoch = self.members.get(&target).map_or(0, |member| member.claim.version.epoch);
        let ask = Ping { token, target: target.0, target_epoch, ..Ping::default() };
        for relay in relays {
            self.send_to_member(relay, Some(Body::PingReq(ask)));
        }
        // A third try costs less than what follows when it fails too.
        self.ping(target, token, false, now);
    }

    /// The period is over and the target has not answered.
    fn fail_round(&mut self, token: u64, now: Instant) {
        let Some(round) = self.rounds.remove(&token) else { return };
        self.awareness.handle_failure(round.asked, round.asked.saturating_sub(round.nacks));
        let target = round.target;
        if !self.members.get(&target).is_some_and(|member| member.is_live()) {
            return;
        }
        self.isolation.note(target, false, now);
        let (asked, nacks) = (round.asked, round.nacks);
        let why = format!("no ack to a ping, {asked} others asked, {nacks} of them got none either");
        if self.detector.has_witnesses() {
            self.accuse(target, &why, now);
        } else if !self.holds_accusations {
            let id = self.members.get(&target).map(|member| member.id);
            id.into_iter().for_each(|id| self.evidence(id, why.clone(), None));
            self.suspect(target, 0, now);
        }
    }

    fn handle_ping(&mut self, ping: Ping, sender: Destination, from: IdHash, now: Instant) {
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
        self.handle_promise(from, ping.next_turn_ms, now);
        let ack = Ack {
            token: ping.token,
            target: self.hash.0,
            target_epoch: self.version.epoch,
            target_incarnation: self.version.incarnation,
            boot_nonce: self.boot_nonce,
            root: 0,
            load: 0,
            next_turn_ms: self.promise(from, now),
        };
        self.send(sender, Some(Body::Ack(ack)));
    }

    fn handle_ack(&mut self, ack: Ack, from: IdHash, now: Instant) {
        let is_direct = ack.target == from.0;
        if self.forward_ack(ack, is_direct, now) {
            return;
        }
        let target = IdHash(ack.target);
        if is_direct && self.members.contains_key(&from) {
            self.outputs.push_back(Output::Root { peer: from, root: ack.root });
        }
        let challenged = self.challenges.take(ack.token, target, now).filter(|_| is_direct);
        let is_of_round = |round: &Round| round.target == target;
        let round = match self.rounds.get(&ack.token) {
            Some(round) if is_of_round(round) => self.rounds.remove(&ack.token),
            _ => None,
        };
        if challenged.is_none() && round.is_none() {
            return;
        }
        if is_direct {
            let asked = round.as_ref().map_or(now.before(challenged.unwrap_or_default()), |round| round.sent);
            self.note_ack(from, ack, asked, now);
            self.handle_promise(from, ack.next_turn_ms, now);
        }
        if let Some(round) = &round {
            self.awareness.handle_success();
            self.measure(round, is_direct, now);
        }
        let version = Version { epoch: ack.target_epoch, incarnation: ack.target_incarnation };
        self.handle_answer(target, version, from, now);
    }

    fn measure(&mut self, round: &Round, is_direct: bool, now: Instant) {
        if !is_direct || round.stage != Stage::Direct {
            return;
        }
        let took = now.since(round.sent);
        self.round_trips.note_first(true);
        self.round_trips.measure(took);
        self.members.note_rtt(round.target, took, now);
    }

    /// A ping of this node was answered, directly or through `teller`: the target lived after it was sent.
    pub(super) fn handle_answer(&mut self, target: IdHash, version: Version, teller: IdHash, now: Instant) {
        self.isolation.note(target, true, now);
        self.acquit(target);
        if teller == target {
            self.end_inquest(target);
            self.end_look(target, now);
            return;
        }
        // A forwarded ack carries the target's own version; the relay's word for it is a fact like others.
        if self.members.get(&target).is_some_and(|member| version > member.claim.version) {
            let claim = super::Claim { version, status: Status::Alive };
            self.handle_claim(target, claim, teller, teller, 0, now);
        }
    }

    fn handle_nack(&mut self, nack: Nack) {
        if let Some(round) = self.rounds.get_mut(&nack.token) {
            round.nacks = (round.nacks + 1).min(round.asked);
        }
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
        target
    }
}
