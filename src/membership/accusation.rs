//! A private suspicion: whom the accuser asked, what they said, and what follows from it.

use crate::id::IdHash;
use crate::time::{Duration, Instant};
use crate::wire::packet::Seen;

/// No death by witnesses sooner after the first notice of a round.
pub(super) const T_MIN: Duration = Duration::from_millis(1500);

/// Until then only the first few are asked: when datagrams are lost, one of them mostly ends the suspicion.
const ASK_REST: Duration = Duration::from_millis(500);

/// Once somebody reaches the subject, what the others saw is waited for until so long after the beginning.
const COLLECT_FOR: Duration = Duration::from_millis(1200);

/// A round without enough verdicts is repeated for this long.
const REPEATED_FOR: Duration = Duration::from_secs(10);

/// A process that stands still counts as silent after this long.
const STALLED_FOR: Duration = Duration::from_secs(10);

/// A round that found both who reaches the subject and who does not is repeated after this time.
const MIXED_AGAIN: Duration = Duration::from_secs(2);

/// While the subject is held unroutable the accuser looks again this often.
const ROUTE_AGAIN: Duration = Duration::from_secs(5);

/// What comes next in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// All who have not answered are asked, the first few again.
    AskSilent,
    /// All verdicts are void, and all are asked afresh: an outage that is over must not kill.
    AskAfresh,
    /// There may be enough verdicts.
    Judge,
    /// Those who have not answered are asked again, three times.
    AskLate,
    AskLater,
    AskLast,
    /// The round is over.
    Close,
    /// The next round begins.
    Repeat,
}

/// One of those who were asked.
#[derive(Debug, Clone, Copy)]
struct Witness {
    id: IdHash,
    seen: Option<Seen>,
}

/// The verdicts of one round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Witnesses that live.
    pub(super) witnesses: usize,
    pub(super) positive: usize,
    pub(super) negative: usize,
    pub(super) stalled: usize,
}

impl Tally {
    /// Enough agree for a death.
    pub(super) fn is_quorum(self) -> bool {
        self.positive == 0 && self.negative >= (self.witnesses * 5).div_ceil(8).max(2)
    }

    /// Enough agree for a suspicion that all may hear of.
    pub(super) const fn is_suspicion(self) -> bool {
        self.positive == 0 && (self.negative >= 2 || self.witnesses < 3)
    }

    /// Some reach the subject, and many do not.
    pub(super) const fn is_mixed(self) -> bool {
        self.positive > 0 && self.negative >= (self.witnesses * 3).div_ceil(8) && self.negative > 0
    }

    /// The few that were asked do not agree.
    pub(super) const fn is_split(self) -> bool {
        self.positive > 0 && self.negative > 0
    }

    /// Practically everybody reaches the subject.
    pub(super) const fn is_clear(self) -> bool {
        self.negative <= 1 && self.positive * 2 >= self.witnesses
    }

    /// Its host lives and its process does not answer, as far as many can tell and nobody contradicts.
    pub(super) fn is_stalled(self) -> bool {
        let many = (self.witnesses * 3).div_ceil(8).max(2).min(self.witnesses);
        self.positive == 0 && self.stalled > 0 && self.stalled + self.negative >= many
    }
}

/// A private suspicion of one subject by this node.
#[derive(Debug)]
pub(super) struct Accusation {
    /// Names the round.
    pub(super) round: u64,
    /// When the subject was first noticed.
    first: Instant,
    /// When this round began.
    began: Instant,
    /// How long an answer may take.
    timeout: Duration,
    witnesses: Vec<Witness>,
    step: Step,
    due: Instant,
    /// Rounds in a row that were mixed.
    pub(super) mixed: u32,
    /// All witnesses were asked, not only the first few.
    pub(super) is_whole: bool,
    /// The subject answered the accuser or a witness: nothing that others saw makes it dead.
    pub(super) is_answered: bool,
}

impl Accusation {
    pub(super) fn new(
        round: u64,
        witnesses: &[IdHash],
        timeout: Duration,
        first: Instant,
        now: Instant,
    ) -> Self {
        let witnesses = witnesses.iter().map(|id| Witness { id: *id, seen: None }).collect();
        let mut accusation = Self {
            round,
            first,
            began: now,
            timeout,
            witnesses,
            step: Step::AskSilent,
            due: now,
            mixed: 0,
            is_whole: false,
            is_answered: false,
        };
        accusation.wait_for(Step::AskSilent);
        accusation
    }

    pub(super) fn witnesses(&self) -> impl Iterator<Item = IdHash> {
        self.witnesses.iter().map(|witness| witness.id)
    }

    /// What each of them saw.
    pub(super) fn seen(&self) -> impl Iterator<Item = (IdHash, Option<Seen>)> {
        self.witnesses.iter().map(|witness| (witness.id, witness.seen))
    }

    /// Those who have not said anything.
    pub(super) fn silent(&self) -> impl Iterator<Item = IdHash> {
        self.witnesses.iter().filter(|witness| witness.seen.is_none()).map(|witness| witness.id)
    }

    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// When the subject was first noticed.
    pub(super) const fn first(&self) -> Instant {
        self.first
    }

    /// A verdict came. True when its sender was asked, and it is news.
    pub(super) fn handle_verdict(&mut self, from: IdHash, seen: Seen) -> bool {
        let Some(witness) = self.witnesses.iter_mut().find(|witness| witness.id == from) else {
            return false;
        };
        let is_news = witness.seen.is_none_or(|held| rank(seen) > rank(held));
        if is_news {
            witness.seen = Some(seen);
        }
        is_news
    }

    /// Counts the verdicts; a witness that is dead itself counts only if it answered.
    pub(super) fn tally(&self, lives: impl Fn(IdHash) -> bool, now: Instant) -> Tally {
        let stalled_is_silent = now.since(self.first) >= STALLED_FOR;
        let mut tally = Tally::default();
        for witness in self.witnesses.iter().filter(|witness| lives(witness.id)) {
            tally.witnesses += 1;
            match witness.seen {
                Some(Seen::Answers) => tally.positive += 1,
                Some(Seen::Silent | Seen::Gone) => tally.negative += 1,
                Some(Seen::Stalled) if stalled_is_silent => tally.negative += 1,
                Some(Seen::Stalled) => tally.stalled += 1,
                Some(Seen::Unknown) | None => {}
            }
        }
        tally
    }

    /// Whether verdicts may kill by now.
    pub(super) fn is_ripe(&self, now: Instant) -> bool {
        now.since(self.began) >= T_MIN
    }

    /// Whether a round that brought too little is worth another one.
    pub(super) fn is_worth_repeating(&self, now: Instant) -> bool {
        now.since(self.first) < REPEATED_FOR
    }

    /// Whether a process that stands still has time left.
    pub(super) fn may_stall(&self, now: Instant) -> bool {
        now.since(self.first) < STALLED_FOR
    }

    /// Takes the step that is due, and waits for the next one.
    pub(super) fn take_step(&mut self) -> Step {
        let step = self.step;
        let next = match step {
            Step::AskSilent => Step::AskAfresh,
            Step::AskAfresh => Step::Judge,
            Step::Judge => Step::AskLate,
            Step::AskLate => Step::AskLater,
            Step::AskLater => Step::AskLast,
            Step::AskLast | Step::Close | Step::Repeat => Step::Close,
        };
        self.wait_for(next);
        step
    }

    /// Voids all verdicts, those that are still on their way too: they name another round.
    pub(super) fn void(&mut self, round: u64) {
        self.round = round;
        for witness in &mut self.witnesses {
            witness.seen = None;
        }
    }

    /// Somebody reaches the subject: the round only collects what is still under way.
    pub(super) fn collect(&mut self) {
        self.is_answered = true;
        if self.step != Step::Repeat {
            self.step = Step::Close;
            self.due = self.began + COLLECT_FOR;
        }
    }

    /// A mixed round: look again soon, or, when the mesh knows already, later.
    pub(super) fn rest(&mut self, is_told: bool, now: Instant) {
        self.step = Step::Repeat;
        self.due = now + if is_told { ROUTE_AGAIN } else { MIXED_AGAIN };
    }

    fn wait_for(&mut self, step: Step) {
        let late_look = self.timeout * 2 + Duration::from_millis(100);
        let after = match step {
            Step::AskSilent => ASK_REST,
            Step::AskAfresh => T_MIN.saturating_sub(late_look).max(ASK_REST + Duration::from_millis(100)),
            Step::Judge => T_MIN,
            Step::AskLate => T_MIN + Duration::from_millis(50),
            Step::AskLater => T_MIN + Duration::from_millis(250),
            Step::AskLast => T_MIN + Duration::from_millis(500),
            Step::Close | Step::Repeat => T_MIN + Duration::from_secs(1),
        };
        self.step = step;
        self.due = self.began + after;
    }
}

/// A later look may see more: that a process that stood still is silent, that a silent one answers after all.
const fn rank(seen: Seen) -> u8 {
    match seen {
        Seen::Unknown => 0,
        Seen::Stalled => 1,
        Seen::Silent => 2,
        Seen::Gone => 3,
        Seen::Answers => 4,
    }
}
