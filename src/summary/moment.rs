//! When the summary is written: the rules of slots, stagger, pacing and patience, applied to one situation.

use super::budget::{DAY, SLOT, allowed, in_tail, lone_stagger, stagger};
use super::record::Record;
use crate::id::IdHash;

/// A value of this age is written anew even when nothing changed, in seconds.
const REFRESH: u64 = 6 * SLOT;

/// A value of this age is late, in seconds: the day's whole budget may be used to write it, whatever its pace. A node
/// that has met nobody leaves a value alone until then.
const LATE: u64 = 7 * SLOT;

/// The rules that simulations leave out one at a time, to show what each is good for; a node keeps all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The day's attempts are spread over its hours.
    pub pacing: bool,
    /// A slot is used once, but for urgent writes.
    pub slots: bool,
    /// Writers have different places in a slot.
    pub stagger: bool,
    /// Nothing is written at the end of a slot.
    pub tail: bool,
    /// An urgent write keeps a distance to the last attempt.
    pub distance: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { pacing: true, slots: true, stagger: true, tail: true, distance: true }
    }
}

/// All that decides whether the leader may write. Times are unix seconds of the store's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation<'a> {
    /// The store's clock.
    pub(super) now: u64,
    /// When the stored value was written; `None` when there is none.
    pub(super) stored_at: Option<u64>,
    /// The leader wrote the stored value itself.
    pub(super) own: bool,
    /// The stored value says something else than the leader would.
    pub(super) differs: bool,
    /// Edges find too few live entries in the stored value.
    pub(super) starving: bool,
    /// The write record.
    pub(super) record: &'a Record,
    /// Attempts per day; `None` when the store has no budget.
    pub(super) budget: Option<u32>,
    /// Seconds after an attempt in which a read may not show it.
    pub(super) hold: u64,
    /// The leader.
    pub(super) id: IdHash,
    /// The leader expected company and has met nobody.
    pub(super) lone: bool,
    /// The rules that hold.
    pub(super) rules: Rules,
}

/// Whether to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Now.
    Write,
    /// Not before this time of the store's clock.
    Wait(u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// There is no value.
    First,
    /// Edges are about to be blind.
    Urgent,
    /// The value is no longer right, or old.
    Change,
}

impl Situation<'_> {
    pub(super) fn verdict(&self) -> Verdict {
        let reason = match self.reason() {
            Ok(reason) => reason,
            Err(until) => return Verdict::Wait(until),
        };
        let Some(budget) = self.budget else { return Verdict::Write };
        let slot = self.now / SLOT;
        let next_slot = (slot + 1) * SLOT;
        let is_paced = self.rules.pacing && (self.lone || !self.is_late());
        let allowed = if is_paced { allowed(budget, slot % 24) } else { budget };
        let used_up = self.record.attempts_on(self.now / DAY) >= allowed;
        if used_up || (self.rules.tail && in_tail(self.now)) {
            return Verdict::Wait(next_slot);
        }
        let taken = match reason {
            _ if !self.rules.slots => false,
            Reason::Urgent => false,
            Reason::First => self.record.taken(slot),
            Reason::Change => self.record.taken(slot) || self.stored_at.is_some_and(|at| at / SLOT >= slot),
        };
        if taken {
            return Verdict::Wait(next_slot);
        }
        self.not_before(self.earliest(reason, slot))
    }

    /// Parts that could not see each other may have used up the day's pace for hours to come.
    fn is_late(&self) -> bool {
        self.stored_at.is_some_and(|at| self.now >= at.saturating_add(LATE))
    }

    /// Why to write; or until when there is no reason to.
    fn reason(&self) -> Result<Reason, u64> {
        let Some(at) = self.stored_at else { return Ok(Reason::First) };
        let refresh = if self.lone { self.lone_refresh(at) } else { at.saturating_add(REFRESH) };
        if self.now >= refresh {
            return Ok(if self.starving && !self.lone { Reason::Urgent } else { Reason::Change });
        }
        match (self.lone, self.starving, self.differs) {
            (false, true, _) => Ok(Reason::Urgent),
            (false, false, true) => Ok(Reason::Change),
            (true, _, _) | (false, false, false) => Err(refresh),
        }
    }

    /// Many that have met nobody see a value grow old at the same moment, so each waits for its own place in a
    /// slot; but the one that wrote it.
    fn lone_refresh(&self, at: u64) -> u64 {
        let old = at.saturating_add(LATE);
        let place = |slot: u64| slot.saturating_mul(SLOT).saturating_add(lone_stagger(self.id, slot));
        match old / SLOT {
            _ if self.own => old,
            slot if place(slot) >= old => place(slot),
            slot => place(slot + 1),
        }
    }

    fn earliest(&self, reason: Reason, slot: u64) -> u64 {
        match reason {
            Reason::Urgent if self.rules.distance => self.record.last_attempt().saturating_add(self.hold),
            Reason::Urgent => 0,
            _ if !self.rules.stagger => 0,
            _ if self.lone => slot * SLOT + lone_stagger(self.id, slot),
            Reason::First => 0,
            Reason::Change => slot * SLOT + stagger(self.id, slot),
        }
    }

    fn not_before(&self, earliest: u64) -> Verdict {
        if self.now >= earliest { Verdict::Write } else { Verdict::Wait(earliest) }
    }
}
