//! Witnessing: a watcher is told that a member is suspected, looks for itself, and says what it saw.

use super::look::{Asker, Look, Next};
use super::{Destination, Membership, Output};
use crate::id::IdHash;
use crate::time::Instant;
use crate::view::Status;
use crate::wire::packet::{Notice, Seen, Verdict};
use crate::wire::{Body, Fact, FactKind};

/// Members that this node looks at for others at the same time.
const MAX_LOOKS: usize = 256;

impl Membership {
    /// An accuser asks whether this node reaches a member.
    pub(super) fn handle_notice(&mut self, notice: &Notice, from: IdHash, now: Instant) {
        let subject = IdHash(notice.subject);
        if !self.detector.has_witnesses() || self.leaving.is_some() || self.is_self_suspecting(now) {
            return;
        }
        let Some(member) = self.members.get(&subject) else { return };
        let (held, status) = (member.claim.version, member.claim.status);
        if !status.is_live() || held.epoch > notice.subject_epoch {
            // The accuser is behind: what is known here settles it.
            let kind = super::kind_of(status);
            self.tell(from, Fact::about(subject, held, kind));
            return;
        }
        self.look(subject, Asker { id: from, round: notice.round }, notice.fresh, now);
    }

    /// Looks at `subject` for `asker`, or tells what was seen just now.
    pub(super) fn look(&mut self, subject: IdHash, asker: Asker, is_fresh: bool, now: Instant) {
        let timeout = self.answer_time();
        let askers = match self.looks.get_mut(&subject) {
            Some(look) if look.serves(is_fresh, now) => {
                look.ask(asker);
                if let Some(seen) = look.verdict() {
                    self.tell_verdict(subject, asker, seen, now);
                }
                return;
            }
            Some(look) if look.verdict().is_none() => look.askers().to_vec(),
            Some(_) | None => Vec::new(),
        };
        self.looks.retain(|_, look| !look.is_over(now));
        if self.looks.len() >= MAX_LOOKS {
            return;
        }
        let mut look = Look::new(is_fresh, timeout, now);
        for earlier in askers {
            look.ask(earlier);
        }
        look.ask(asker);
        self.looks.insert(subject, look);
        self.continue_look(subject, now);
    }

    pub(super) fn continue_looks(&mut self, now: Instant) {
        let due = |(subject, look): (&IdHash, &Look)| look.due().filter(|at| *at <= now).map(|_| *subject);
        let due: Vec<IdHash> = self.looks.iter().filter_map(due).collect();
        for subject in due {
            self.continue_look(subject, now);
        }
    }

    fn continue_look(&mut self, subject: IdHash, now: Instant) {
        let Some(look) = self.looks.get_mut(&subject) else { return };
        match look.take_next(now) {
            Next::Ping => self.challenge(subject, true, now),
            Next::PingLink(within) => self.outputs.push_back(Output::PingLink { subject, within }),
            Next::Tell(seen) => {
                self.isolation.note(subject, false, now);
                if !self.is_self_suspecting(now) {
                    self.tell_askers(subject, seen, now);
                }
            }
        }
    }

    /// The subject answered a fresh ping of this node.
    pub(super) fn end_look(&mut self, subject: IdHash, now: Instant) {
        if self.looks.get_mut(&subject).is_some_and(|look| look.handle_answer(now)) {
            self.tell_askers(subject, Seen::Answers, now);
        }
    }

    /// The subject's host acknowledged a ping over the link that its process did not answer.
    pub(super) fn handle_stalled(&mut self, subject: IdHash, now: Instant) {
        if self.looks.get_mut(&subject).is_some_and(Look::handle_stalled) {
            self.tell_askers(subject, Seen::Stalled, now);
        }
    }

    fn tell_askers(&mut self, subject: IdHash, seen: Seen, now: Instant) {
        let askers = self.looks.get(&subject).map(|look| look.askers().to_vec()).unwrap_or_default();
        for asker in askers {
            self.tell_verdict(subject, asker, seen, now);
        }
    }

    fn tell_verdict(&mut self, subject: IdHash, asker: Asker, seen: Seen, now: Instant) {
        if asker.id == self.hash {
            self.take_verdict(subject, self.hash, seen, now);
        } else {
            self.send_verdict(asker.id, asker.round, subject, seen);
        }
    }

    pub(super) fn send_verdict(&mut self, to: IdHash, round: u64, subject: IdHash, seen: Seen) {
        let subject_epoch = self.members.get(&subject).map_or(0, |member| member.claim.version.epoch);
        let verdict = Verdict { round, subject: subject.0, subject_epoch, seen: seen.into() };
        self.send_to_member(to, Some(Body::Verdict(verdict)));
    }

    /// Tells one member one fact, at once.
    pub(super) fn tell(&mut self, to: IdHash, fact: Fact) {
        if let Some(addr) = self.members.get(&to).and_then(|member| member.addr) {
            self.outputs.push_back(Output::Tell { to: Destination::Member { id: to, addr }, fact });
        }
    }

    /// A dead or suspected member hears at once what is held about it, so that it can refute.
    pub(super) fn tell_subject(&mut self, subject: IdHash) {
        let Some(member) = self.members.get(&subject) else { return };
        if matches!(member.claim.status, Status::Suspect | Status::Dead) {
            let kind = if member.claim.status == Status::Dead { FactKind::Dead } else { FactKind::Suspect };
            let fact = Fact { by: self.hash.0, ..Fact::about(subject, member.claim.version, kind) };
            self.tell(subject, fact);
        }
    }
}
