//! Applying what is said about members: the transitions between alive, suspect, dead and left.

use std::net::SocketAddr;

use super::{
    Claim, Destination, FactKind, MAX_INCARNATION_JUMP, MAX_MEMBERS, MAX_NOTICES_PER_SECOND, Member,
    Membership, Output, Suspicion, TOMBSTONE_FADES, kind_of,
};
use crate::id::{IdHash, NodeId, Version};
use crate::time::{Duration, Instant};
use crate::view::Status;
use crate::wire::Fact;
use rand::RngExt as _;

impl Membership {
    /// A verified manifest names a member: it is new, has a new boot, or a new address.
    ///
    /// `manifest_hash` names the manifest in the fact that tells others of a new member.
    pub fn introduce(
        &mut self,
        id: NodeId,
        epoch: u64,
        addr: Option<SocketAddr>,
        manifest_hash: u64,
        now: Instant,
    ) {
        let hash = id.hash();
        if hash == self.hash {
            return;
        }
        let claim = Claim { version: Version { epoch, incarnation: 0 }, status: Status::Alive };
        if let Some(member) = self.members.get(&hash) {
            if epoch < member.claim.version.epoch {
                return;
            }
            let has_moved = member.addr != addr;
            self.members.update(&hash, |member| member.addr = addr);
            if has_moved && self.watching.contains_key(&hash) {
                self.touch_watch_links(now);
            }
            if epoch == member.claim.version.epoch {
                return;
            }
            self.change(hash, claim, self.hash, 0, Duration::ZERO, now);
        } else {
            if self.members.len() >= MAX_MEMBERS {
                self.outputs.push_back(Output::Refused(format!("member {id} is beyond {MAX_MEMBERS}")));
                return;
            }
            self.members.insert(Member::new(id, claim, addr, now), now);
            self.enlist(hash);
            self.outputs.push_back(Output::Joined(id));
            self.outputs.push_back(Output::Changed(hash));
        }
        self.joining.met = true;
        let joined = Fact { by: manifest_hash, ..Fact::about(hash, claim.version, FactKind::Joined) };
        self.disseminate(joined, now);
    }

    /// Anti-entropy brought a tombstone of a member, with its age.
    ///
    /// Death by hearsay is only a suspicion to whoever holds that boot of the member alive: it may refute it. The end
    /// of a later boot is held as it is: the boot that is known here is over.
    pub fn handle_tombstone(
        &mut self,
        id: NodeId,
        claim: Claim,
        age: Duration,
        teller: IdHash,
        now: Instant,
    ) {
        let hash = id.hash();
        if self.members.get(&hash).is_some_and(|member| member.claim == claim)
            && self.members.update(&hash, |member| member.grow_older(age, now)) == Some(true)
        {
            self.outputs.push_back(Output::Changed(hash));
        }
        if age >= TOMBSTONE_FADES {
            return;
        }
        if hash == self.hash || self.members.contains_key(&hash) {
            let held_alive = self
                .members
                .get(&hash)
                .is_some_and(|member| member.is_live() && member.claim.version.epoch == claim.version.epoch);
            let status =
                if held_alive && claim.status == Status::Dead { Status::Suspect } else { claim.status };
            self.handle_claim(hash, Claim { status, ..claim }, teller, teller, 0, now);
        } else if self.members.len() < MAX_MEMBERS {
            let mut tombstone = Member::new(id, claim, None, now);
            tombstone.hold(Claim { status: Status::Alive, ..claim }, Duration::ZERO, now);
            tombstone.hold(claim, age, now);
            self.members.insert(tombstone, now);
            self.outputs.push_back(Output::Changed(hash));
        }
    }

    /// A fact about liveness arrived.
    pub fn handle_fact(&mut self, fact: &Fact, teller: IdHash, now: Instant) {
        let status = match fact.kind() {
            FactKind::Alive | FactKind::Joined => Status::Alive,
            FactKind::Suspect => Status::Suspect,
            FactKind::Dead => Status::Dead,
            FactKind::Left => Status::Left,
            FactKind::Manifest
            | FactKind::Load
            | FactKind::Coordinator
            | FactKind::Unroutable
            | FactKind::Cloned
            | FactKind::Unknown => return,
        };
        let accuser = if fact.by == 0 || status != Status::Suspect { teller } else { IdHash(fact.by) };
        let claim = Claim { version: fact.version(), status };
        let witnesses = usize::try_from(fact.value).unwrap_or(usize::MAX);
        self.handle_claim(IdHash(fact.subject), claim, accuser, teller, witnesses, now);
    }

    /// Something is said about a member by `teller`; `accuser` is who says so first, for suspicions, and `witnesses` say
    /// the same.
    pub fn handle_claim(
        &mut self,
        subject: IdHash,
        claim: Claim,
        accuser: IdHash,
        teller: IdHash,
        witnesses: usize,
        now: Instant,
    ) {
        if subject == self.hash {
            self.handle_claim_about_self(claim, teller, now);
            return;
        }
        let held = self.members.get(&subject).map(|member| member.claim);
        let is_new_boot = held.is_none_or(|held| claim.version.epoch > held.version.epoch);
        if is_new_boot && claim.status.is_live() {
            self.outputs.push_back(Output::Wanted { subject, epoch: claim.version.epoch, teller });
            return;
        }
        let Some(held) = held else { return };
        if jumps(held.version, claim.version) {
            self.outputs.push_back(Output::Refused(format!("incarnation of {subject} jumps")));
            return;
        }
        if claim.supersedes(held) {
            self.change(subject, claim, accuser, witnesses, Duration::ZERO, now);
        } else if claim == held && claim.status == Status::Suspect {
            self.confirm(subject, accuser, now);
        }
    }

    /// A datagram came from the member itself, which is alive at `version`; `source` is where a notice reaches it.
    pub(super) fn handle_heard(
        &mut self,
        from: IdHash,
        version: Version,
        notify: Option<SocketAddr>,
        now: Instant,
    ) {
        let Some(held) = self.members.get(&from).map(|member| member.claim) else { return };
        self.members.note_heard(from, now);
        if version > held.version {
            let claim = Claim { version, status: Status::Alive };
            self.handle_claim(from, claim, from, from, 0, now);
        } else if let Some(addr) = notify.filter(|_| held.status == Status::Dead && self.may_notify(now)) {
            // It does not know that it is held dead; the datagram will say so, and it comes back.
            self.send(Destination::Member { id: from, addr }, None);
        }
    }

    /// A datagram came from a boot of a member that is over: it is told so, as it may have lost its disk, or share its key.
    pub(super) fn correct(&mut self, from: IdHash, source: SocketAddr, now: Instant) {
        let Some(claim) = self.members.get(&from).map(|member| member.claim) else { return };
        if self.may_notify(now) {
            let fact = Fact::about(from, claim.version, kind_of(claim.status));
            self.outputs.push_back(Output::Tell { to: Destination::Member { id: from, addr: source }, fact });
        }
    }

    /// What a member must be told about itself before anything else (Lifeguard's buddy system).
    pub(super) fn accusation(&self, subject: IdHash) -> Option<Fact> {
        let member = self.members.get(&subject)?;
        match member.claim.status {
            Status::Suspect | Status::Dead | Status::Left => {
                let fact = Fact::about(subject, member.claim.version, kind_of(member.claim.status));
                Some(Fact { by: self.hash.0, ..fact })
            }
            Status::Alive => None,
        }
    }

    pub(super) fn suspect(&mut self, subject: IdHash, witnesses: usize, now: Instant) {
        let Some(member) = self.members.get(&subject) else { return };
        let claim = Claim { version: member.claim.version, status: Status::Suspect };
        self.handle_claim(subject, claim, self.hash, self.hash, witnesses, now);
        if self.detector.has_witnesses() {
            self.tell_subject(subject);
        }
    }

    pub(super) fn expire_suspicions(&mut self, now: Instant) {
        let due = |(hash, suspicion): (&IdHash, &Suspicion)| (suspicion.deadline() <= now).then_some(*hash);
        let due: Vec<IdHash> = self.suspicions.iter().filter_map(due).collect();
        let is_doubtful = !due.is_empty() && self.is_self_suspecting(now);
        for subject in due {
            if is_doubtful {
                let suspicion = self.suspicions.get_mut(&subject);
                suspicion.into_iter().for_each(|suspicion| suspicion.postpone(now + super::PERIOD));
                continue;
            }
            let Some(member) = self.members.get(&subject) else { continue };
            let claim = Claim { version: member.claim.version, status: Status::Dead };
            let id = member.id;
            self.evidence(id, "the suspicion timer ran out".to_owned(), None);
            self.change(subject, claim, self.hash, 0, Duration::ZERO, now);
        }
    }

    fn handle_claim_about_self(&mut self, claim: Claim, teller: IdHash, now: Instant) {
        if claim.version.epoch > self.version.epoch {
            let is_alive = claim.status == Status::Alive;
            self.outputs.push_back(Output::EpochBehind { epoch: claim.version.epoch, is_alive });
            return;
        }
        let is_accusation = claim.status != Status::Alive && claim.version >= self.version;
        let is_ahead = claim.version > self.version;
        if self.leaving.is_some() || !(is_accusation || is_ahead) {
            return;
        }
        if jumps(self.version, claim.version) {
            self.outputs.push_back(Output::Refused("incarnation of this node jumps".to_owned()));
            return;
        }
        self.answer_claim(claim, teller, now);
    }

    /// Holds a claim that supersedes what was held, and tells others.
    pub(super) fn change(
        &mut self,
        subject: IdHash,
        claim: Claim,
        accuser: IdHash,
        witnesses: usize,
        age: Duration,
        now: Instant,
    ) {
        let members = self.live_count();
        let Some(member) = self.members.get(&subject) else { return };
        let (id, held, has_address) = (member.id, member.claim, member.addr.is_some());
        self.members.update(&subject, |member| member.hold(claim, age, now));
        self.suspicions.remove(&subject);
        if (held.status == Status::Dead) != (claim.status == Status::Dead) {
            self.note_churn(subject, members, now);
        }
        match (held.status.is_live(), claim.status.is_live()) {
            (true, false) => self.discharge(subject, now),
            (false, true) => self.enlist(subject),
            (true, true) | (false, false) => {}
        }
        if claim.status != Status::Suspect {
            self.accusations.remove(&subject);
            self.end_inquest(subject);
        }
        if claim.version.epoch > held.version.epoch {
            self.unwatch(subject, now);
            self.routes.forget(subject);
        }
        match claim.status {
            Status::Alive => {
                if !has_address {
                    // Only its tombstone was known: where it is, its manifest says.
                    let epoch = claim.version.epoch;
                    self.outputs.push_back(Output::Wanted { subject, epoch, teller: accuser });
                }
                let is_new_boot = claim.version.epoch > held.version.epoch;
                if is_new_boot || held.status == Status::Left {
                    self.outputs.push_back(Output::Joined(id));
                } else if held.status != Status::Alive {
                    self.evidence(id, format!("refuted at incarnation {}", claim.version.incarnation), None);
                    self.outputs.push_back(Output::Refuted(id));
                }
            }
            Status::Suspect => {
                let suspicion = Suspicion::new(accuser, members, witnesses, self.detector, now);
                let wait = suspicion.deadline().since(now).as_secs_f64();
                self.suspicions.insert(subject, suspicion);
                self.evidence(id, format!("dead in {wait:.1} s unless refuted"), None);
                self.outputs.push_back(Output::Suspected { subject: id, accuser });
            }
            Status::Dead => {
                // What this node found out itself was told before.
                if accuser != self.hash {
                    self.evidence(id, "held dead, as told".to_owned(), Some(accuser));
                }
                self.outputs.push_back(Output::Died(id));
            }
            Status::Left => self.outputs.push_back(Output::Departed(id)),
        }
        self.outputs.push_back(Output::Changed(subject));
        let by = if claim.status == Status::Suspect { accuser.0 } else { 0 };
        let value = witnesses as u64;
        self.disseminate(
            Fact { by, value, ..Fact::about(subject, claim.version, kind_of(claim.status)) },
            now,
        );
    }

    fn confirm(&mut self, subject: IdHash, accuser: IdHash, now: Instant) {
        let Some(suspicion) = self.suspicions.get_mut(&subject) else { return };
        if !suspicion.confirm(accuser) {
            return;
        }
        let wait = suspicion.deadline().since(now).as_secs_f64();
        let Some(member) = self.members.get(&subject) else { return };
        let (id, version) = (member.id, member.claim.version);
        self.evidence(id, format!("dead in {wait:.1} s unless refuted, as confirmed"), Some(accuser));
        self.disseminate(Fact { by: accuser.0, ..Fact::about(subject, version, FactKind::Suspect) }, now);
    }

    /// Takes a live member into the ping order, at a random place so that a newcomer does not wait a whole turn.
    fn enlist(&mut self, hash: IdHash) {
        let place = self.rng.random_range(0..=self.order.len());
        self.order.insert(place, hash);
        if place < self.next {
            self.next += 1;
        }
        self.turns.handle_newcomer(self.hash, hash);
    }

    /// Takes a member that is gone out of all that only concerns the living.
    fn discharge(&mut self, hash: IdHash, now: Instant) {
        self.order.retain(|id| *id != hash);
        self.turns.handle_gone(hash);
        self.unwatch(hash, now);
        self.isolation.forget(hash);
        self.looks.remove(&hash);
        self.routes.forget(hash);
    }

    fn may_notify(&mut self, now: Instant) -> bool {
        let (since, sent) = self.notices;
        if now.since(since) >= Duration::from_secs(1) {
            self.notices = (now, 1);
            return true;
        }
        self.notices.1 = sent + 1;
        sent < MAX_NOTICES_PER_SECOND
    }
}

fn jumps(held: Version, claimed: Version) -> bool {
    let base = if claimed.epoch == held.epoch { held.incarnation } else { 0 };
    claimed.incarnation > base.saturating_add(MAX_INCARNATION_JUMP)
}
