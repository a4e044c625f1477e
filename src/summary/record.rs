//! The write record: who has attempted how many writes, which slots are taken, and what was last stored.
//!
//! Records merge by maximum, so they may be exchanged in any order and any number of times.

use std::collections::BTreeMap;

use super::budget::{DAY, SLOT};
use crate::id::IdHash;
use crate::wire::link::{Attempts, MAX_ATTEMPTS, WriteRecord};

/// The hours of a day, as bits.
const HOURS: u32 = (1 << 24) - 1;

/// What is known about the writes of the summary. All times are unix seconds of the store's clock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Record {
    day: u64,
    /// Bits of the hours of `day` that are taken.
    slots: u32,
    /// By day and writer; of `day` and the day before.
    attempts: BTreeMap<(u64, IdHash), u32>,
    /// What was last stored, in the order in which it counts.
    stored: Mark,
    at: u64,
    last_attempt: u64,
}

/// Names a stored value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Mark {
    /// The term of its writer.
    pub(super) term: u64,
    /// Raised with every value.
    pub(super) seq: u64,
    /// The mark of the cluster's history; 0 when not known.
    pub(super) cluster_id: u64,
}

impl Record {
    pub(super) fn from_wire(wire: &WriteRecord) -> Self {
        let attempts = wire.attempts.iter().take(MAX_ATTEMPTS);
        let mut record = Self {
            day: wire.day,
            slots: wire.slots & HOURS,
            stored: Mark { term: wire.term, seq: wire.seq, cluster_id: wire.cluster_id },
            at: wire.at,
            last_attempt: wire.last_attempt,
            ..Self::default()
        };
        for one in attempts {
            record.merge_attempts(one.day, IdHash(one.writer), one.count);
        }
        record
    }

    pub(super) fn to_wire(&self) -> WriteRecord {
        let attempts = self.attempts.iter();
        WriteRecord {
            day: self.day,
            slots: self.slots,
            attempts: attempts
                .map(|(&(day, writer), &count)| Attempts { day, writer: writer.0, count })
                .collect(),
            cluster_id: self.stored.cluster_id,
            term: self.stored.term,
            seq: self.stored.seq,
            at: self.at,
            last_attempt: self.last_attempt,
        }
    }

    /// Takes over what `other` knows more; true when that was anything.
    pub(super) fn merge(&mut self, other: &Self) -> bool {
        let before = self.clone();
        self.roll(other.day);
        if other.day == self.day {
            self.slots |= other.slots;
        }
        for (&(day, writer), &count) in &other.attempts {
            self.merge_attempts(day, writer, count);
        }
        self.merge_stored(other.stored, other.at);
        self.last_attempt = self.last_attempt.max(other.last_attempt);
        *self != before
    }

    /// Takes over the attempts of one writer; those of bygone days are dropped.
    pub(super) fn merge_attempts(&mut self, day: u64, writer: IdHash, count: u32) {
        if day.saturating_add(1) < self.day || day > self.day {
            return;
        }
        let known = self.attempts.entry((day, writer)).or_default();
        *known = count.max(*known);
        if self.attempts.len() > MAX_ATTEMPTS {
            let least = self.attempts.iter().min_by_key(|&(&(day, _), &count)| (day, count));
            if let Some(key) = least.map(|(&key, _)| key) {
                self.attempts.remove(&key);
            }
        }
    }

    /// Takes over that a value was stored at `at`.
    pub(super) fn merge_stored(&mut self, stored: Mark, at: u64) {
        self.stored = self.stored.max(stored);
        self.at = self.at.max(at);
        self.last_attempt = self.last_attempt.max(at);
    }

    /// The store's clock shows `day`: a new one has no slot taken.
    pub(super) fn roll(&mut self, day: u64) {
        if day > self.day {
            self.day = day;
            self.slots = 0;
            self.attempts.retain(|&(of, _), _| of.saturating_add(1) >= day);
        }
    }

    /// Drops what was noted by a clock that ran ahead of the store's, which shows `unix`: by maximum it would win for ever,
    /// and with all slots taken nothing would be written again.
    pub(super) fn distrust_future(&mut self, unix: u64) {
        let (today, tomorrow) = (unix / DAY, unix.saturating_add(DAY));
        if self.day > tomorrow / DAY {
            (self.day, self.slots) = (today, 0);
            self.attempts.retain(|&(day, _), _| day <= today);
        }
        for time in [&mut self.at, &mut self.last_attempt] {
            if *time > tomorrow {
                *time = 0;
            }
        }
    }

    /// Counts an attempt of `writer` at `unix`, and takes its slot.
    pub(super) fn attempt(&mut self, writer: IdHash, unix: u64) {
        let day = unix / DAY;
        self.roll(day);
        let count = self.attempts.get(&(day, writer)).map_or(1, |count| count.saturating_add(1));
        self.merge_attempts(day, writer, count);
        if day == self.day {
            self.slots |= 1 << (unix % DAY / SLOT);
        }
        self.last_attempt = self.last_attempt.max(unix);
    }

    /// Whether the slot (hours since 1970) is taken. Slots of bygone days are.
    pub(super) fn taken(&self, slot: u64) -> bool {
        let day = slot / 24;
        day < self.day || (day == self.day && self.slots & (1 << (slot % 24)) != 0)
    }

    /// The attempts of all writers on `day`.
    pub(super) fn attempts_on(&self, day: u64) -> u32 {
        self.writers_on(day).fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// The attempts on `day`, by writer.
    pub(super) fn writers_on(&self, day: u64) -> impl Iterator<Item = (IdHash, u32)> {
        let range = (day, IdHash(0))..=(day, IdHash(u64::MAX));
        self.attempts.range(range).map(|(&(_, writer), &count)| (writer, count))
    }

    pub(super) const fn day(&self) -> u64 {
        self.day
    }

    pub(super) const fn stored(&self) -> Mark {
        self.stored
    }

    /// When a value was last stored; 0 when that is not known.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    pub(super) const fn last_attempt(&self) -> u64 {
        self.last_attempt
    }
}
