//! Accusing: evidence against a member starts a private round among its watchers, which ends in peace, in a suspicion
//! that all hear of, or in death.

use rand::Rng as _;

use super::accusation::{Accusation, Step, Tally};
use super::look::Asker;
use super::{Claim, Membership, Output, suspicion, watchers};
use crate::id::IdHash;
use crate::time::{Duration, Instant};
use crate::view::Status;
use crate::wire::packet::{Notice, Seen, Verdict};
use crate::wire::{Body, Fact, FactKind};

/// Private suspicions at the same time; what is beyond waits for the next evidence.
const MAX_ACCUSATIONS: usize = 128;

/// Witnesses that are asked at once; the others follow when none of these reaches the subject.
const ASKED_FIRST: usize = 3;

/// A node that heard nobody for this long knows nothing about others.
const DEAF_AFTER: Duration = Duration::from_millis(1500);

/// A witness that said nothing is not asked again for this long, while others can be.
const MUTE_FOR: Duration = Duration::from_secs(30);

/// In a mesh this small there are not enough witnesses for a quorum.
const SMALL: usize = 3;

impl Membership {
    /// There is evidence against a member: its watchers are asked, nobody else hears of it yet.
    pub(super) fn accuse(&mut self, subject: IdHash, why: &str, now: Instant) {
        let Some(member) = self.members.get(&subject) else { return };
        let id = member.id;
        let is_reachable = member.claim.status == Status::Alive && member.addr.is_some();
        let is_open = is_reachable && !self.accusations.contains_key(&subject);
        let is_closed = !self.may_accuse || self.holds_accusations || self.leaving.is_some();
        if !is_open || is_closed || self.is_self_suspecting(now) {
            return;
        }
        if self.accusations.len() >= MAX_ACCUSATIONS || !self.budget.take(now) {
            return;
        }
        self.evidence(id, format!("accused in private: {why}"), None);
        self.begin_accusation(subject, now, 0, now);
    }

    /// Begins a round. Suspects are asked in the first round only, and the mute of earlier rounds not at all.
    fn begin_accusation(&mut self, subject: IdHash, first: Instant, mixed: u32, now: Instant) {
        let is_first = first == now;
        self.mute.retain(|_, until| *until > now);
        let candidates: Vec<IdHash> = self
            .order
            .iter()
            .filter(|id| is_first || self.is_alive(**id) && !self.mute.contains_key(*id))
            .copied()
            .chain([self.hash])
            .collect();
        let witnesses = watchers::of(subject, &candidates);
        let round = self.rng.next_u64();
        let mut accusation = Accusation::new(round, &witnesses, self.answer_time(), first, now);
        accusation.mixed = mixed;
        // Whether a member is routable is asked of all.
        accusation.is_whole = mixed > 0 || self.routes.is_unroutable(subject);
        let asked = if accusation.is_whole { witnesses.len() } else { ASKED_FIRST };
        self.accusations.insert(subject, accusation);
        self.challenge(subject, true, now);
        self.ask_witnesses(subject, witnesses.into_iter().take(asked).collect(), false, now);
    }

    fn is_alive(&self, id: IdHash) -> bool {
        self.members.get(&id).is_some_and(|member| member.claim.status == Status::Alive)
    }

    fn ask_witnesses(&mut self, subject: IdHash, whom: Vec<IdHash>, fresh: bool, now: Instant) {
        let Some(accusation) = self.accusations.get(&subject) else { return };
        let round = accusation.round;
        let subject_epoch = self.members.get(&subject).map_or(0, |member| member.claim.version.epoch);
        let watchers: Vec<u64> = accusation.witnesses().map(|id| id.0).collect();
        for witness in whom {
            if witness == self.hash {
                self.look(subject, Asker { id: self.hash, round }, fresh, now);
                continue;
            }
            let watchers = watchers.clone();
            let notice = Notice { round, subject: subject.0, subject_epoch, fresh, watchers };
            self.send_to_member(witness, Some(Body::Notice(notice)));
        }
    }

    pub(super) fn handle_verdict(&mut self, verdict: Verdict, from: IdHash, now: Instant) {
        let subject = IdHash(verdict.subject);
        let held = self.members.get(&subject).map(|member| member.claim.version.epoch);
        if held != Some(verdict.subject_epoch) {
            return;
        }
        if verdict.seen() == Seen::Gone {
            self.handle_gone(subject, from, now);
        }
        let is_asked = |accusation: &Accusation| verdict.round == 0 || accusation.round == verdict.round;
        if self.accusations.get(&subject).is_some_and(is_asked) {
            self.take_verdict(subject, from, verdict.seen(), now);
        }
    }

    /// A witness, which may be this node, says what it saw.
    pub(super) fn take_verdict(&mut self, subject: IdHash, from: IdHash, seen: Seen, now: Instant) {
        let Some(accusation) = self.accusations.get_mut(&subject) else { return };
        if !accusation.handle_verdict(from, seen) {
            return;
        }
        let is_ripe = accusation.is_ripe(now);
        let Some(id) = self.members.get(&subject).map(|member| member.id) else { return };
        self.evidence(id, format!("{}, as seen", phrase(seen)), Some(from));
        match seen {
            Seen::Answers => self.acquit(subject),
            Seen::Stalled => self.note_stalled(subject, now),
            Seen::Silent | Seen::Gone if is_ripe => self.judge(subject, now),
            Seen::Silent | Seen::Gone | Seen::Unknown => {}
        }
    }

    fn note_stalled(&mut self, subject: IdHash, now: Instant) {
        let tally =
            self.accusations.get(&subject).map(|accusation| accusation.tally(|id| self.lives(id), now));
        if tally.is_some_and(Tally::is_stalled) {
            self.report_route(subject, true, now);
        }
    }

    /// The subject lives: what is still under way only tells how many reach it.
    pub(super) fn acquit(&mut self, subject: IdHash) {
        if let Some(accusation) = self.accusations.get_mut(&subject) {
            accusation.handle_verdict(self.hash, Seen::Answers);
            accusation.collect();
        }
    }

    pub(super) fn continue_accusations(&mut self, now: Instant) {
        let due =
            |(subject, accusation): (&IdHash, &Accusation)| (accusation.due() <= now).then_some(*subject);
        let due: Vec<IdHash> = self.accusations.iter().filter_map(due).collect();
        for subject in due {
            let Some(accusation) = self.accusations.get_mut(&subject) else { continue };
            let step = accusation.take_step();
            match step {
                Step::AskSilent | Step::AskLate | Step::AskLater | Step::AskLast => {
                    accusation.is_whole = true;
                    let silent = accusation.silent().collect();
                    self.challenge(subject, true, now);
                    self.ask_witnesses(subject, silent, step != Step::AskSilent, now);
                }
                Step::AskAfresh => {
                    accusation.void(self.rng.next_u64());
                    let all = accusation.witnesses().collect();
                    self.ask_witnesses(subject, all, true, now);
                }
                Step::Judge => self.judge(subject, now),
                Step::Close => self.close(subject, now),
                Step::Repeat => self.repeat(subject, now),
            }
        }
    }

    /// Dead, if enough fresh verdicts say so and nobody reaches the subject.
    fn judge(&mut self, subject: IdHash, now: Instant) {
        let Some(accusation) = self.accusations.get(&subject) else { return };
        let tally = accusation.tally(|id| self.lives(id), now);
        if tally.is_quorum()
            && !accusation.is_answered
            && self.live_count() > SMALL
            && !self.is_self_suspecting(now)
        {
            self.declare_dead(subject, tally.negative, now);
        }
    }

    /// The round is over without a death.
    fn close(&mut self, subject: IdHash, now: Instant) {
        let Some(accusation) = self.accusations.remove(&subject) else { return };
        let Some(member) = self.members.get(&subject).filter(|member| member.is_live()) else { return };
        let id = member.id;
        let tally = accusation.tally(|id| self.lives(id), now);
        self.note_mute(&accusation, now);
        if tally.positive > 0 || accusation.is_answered {
            self.close_in_peace(subject, accusation, now);
            return;
        }
        if self.is_self_suspecting(now) {
            return;
        }
        let is_small = self.live_count() <= SMALL;
        if self.is_deaf(now) && !is_small {
            self.evidence(id, "the accusation is held back: nobody was heard lately".to_owned(), None);
            self.awareness.handle_failure(0, 0);
            return;
        }
        if tally.stalled > 0 && accusation.may_stall(now) {
            self.begin_accusation(subject, accusation.first(), 0, now);
        } else if tally.is_suspicion() || is_small {
            self.evidence(
                id,
                format!("{} of {} witnesses got no answer", tally.negative, tally.witnesses),
                None,
            );
            self.suspect(subject, tally.negative, now);
            self.begin_accusation(subject, accusation.first(), 0, now);
        } else {
            self.awareness.handle_failure(0, 0);
            if accusation.is_worth_repeating(now) {
                self.begin_accusation(subject, accusation.first(), 0, now);
            } else {
                self.evidence(id, "the accusation is dropped: too few witnesses answered".to_owned(), None);
            }
        }
    }

    /// Somebody reaches the subject; how many do not says whether the router should avoid it.
    fn close_in_peace(&mut self, subject: IdHash, mut accusation: Accusation, now: Instant) {
        let tally = accusation.tally(|id| self.lives(id), now);
        let is_whole = accusation.is_whole;
        if tally.is_mixed() || !is_whole && tally.is_split() {
            accusation.mixed += 1;
            let is_told = is_whole && accusation.mixed >= 2;
            if is_told {
                self.report_route(subject, true, now);
            }
            accusation.rest(is_told, now);
            self.accusations.insert(subject, accusation);
        } else if tally.is_clear() && self.routes.is_unroutable(subject) {
            self.report_route(subject, false, now);
        } else if self.routes.is_unroutable(subject) {
            accusation.rest(true, now);
            self.accusations.insert(subject, accusation);
        }
    }

    fn repeat(&mut self, subject: IdHash, now: Instant) {
        let Some(accusation) = self.accusations.remove(&subject) else { return };
        let mixed = accusation.mixed;
        // Once the mesh knows, its watchers see to it that the word is kept true.
        let is_mine = mixed < 2 || accusation.witnesses().any(|id| id == self.hash);
        if is_mine && self.budget.take(now) && self.is_alive(subject) && !self.is_self_suspecting(now) {
            self.begin_accusation(subject, now, mixed, now);
        }
    }

    fn note_mute(&mut self, accusation: &Accusation, now: Instant) {
        if !self.is_deaf(now) {
            self.mute.extend(accusation.silent().map(|id| (id, now + MUTE_FOR)));
            self.mute.remove(&self.hash);
        }
    }

    /// Nobody was heard lately. After the longest suspicion that does not count any more: perhaps nobody is left.
    fn is_deaf(&self, now: Instant) -> bool {
        let (_, longest) = suspicion::bounds(self.live_count(), super::PERIOD);
        (DEAF_AFTER..longest).contains(&now.since(self.last_received))
    }

    /// Enough witnesses agree.
    pub(super) fn declare_dead(&mut self, subject: IdHash, witnesses: usize, now: Instant) {
        let Some(member) = self.members.get(&subject).filter(|member| member.is_live()) else { return };
        let (id, claim) = (member.id, Claim { status: Status::Dead, ..member.claim });
        let noun = if witnesses == 1 { "witness" } else { "witnesses" };
        self.evidence(id, format!("declared dead on the word of {witnesses} {noun}"), None);
        self.change(subject, claim, self.hash, witnesses, Duration::ZERO, now);
        self.tell_subject(subject);
    }

    fn report_route(&mut self, subject: IdHash, is_unroutable: bool, now: Instant) {
        if is_unroutable && self.routes.is_unroutable(subject) && !self.routes.is_fading(subject, now) {
            return;
        }
        let Some(version) = self.members.get(&subject).map(|member| member.claim.version) else { return };
        let value = self.routes.next(subject, is_unroutable);
        let fact = Fact { value, by: self.hash.0, ..Fact::about(subject, version, FactKind::Unroutable) };
        self.handle_route(&fact, now);
    }

    /// Somebody, perhaps this node, says whether a member can be reached.
    pub fn handle_route(&mut self, fact: &Fact, now: Instant) {
        let subject = IdHash(fact.subject);
        let held = self.members.get(&subject);
        let Some(held) = held.filter(|held| held.is_live() && held.claim.version.epoch == fact.epoch) else {
            return;
        };
        let id = held.id;
        let Some(changes) = self.routes.learn(subject, fact.value, now) else { return };
        self.disseminate(fact.clone(), now);
        if changes {
            let is_unroutable = self.routes.is_unroutable(subject);
            let text =
                if is_unroutable { "held unroutable, as told" } else { "held routable again, as told" };
            self.evidence(id, text.to_owned(), Some(IdHash(fact.by)));
            self.outputs.push_back(Output::Route { id, is_unroutable });
        }
    }

    fn lives(&self, id: IdHash) -> bool {
        id == self.hash || self.members.get(&id).is_some_and(|member| member.is_live())
    }
}

const fn phrase(seen: Seen) -> &'static str {
    match seen {
        Seen::Answers => "it answers",
        Seen::Silent => "it does not answer",
        Seen::Stalled => "its host answers and its process does not",
        Seen::Gone => "its host refuses connections and its process is gone",
        Seen::Unknown => "something that this version does not know",
    }
}
