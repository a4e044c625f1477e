//! One attempt: read the store, count the attempt, have it remembered elsewhere, write once.

use rand::RngExt;

use super::budget::{DAY, SLOT};
use super::draft;
use super::moment::Verdict;
use super::policy::{Output, Policy, StoreClock};
use super::record::Mark;
use super::store::{StoreCall, StoreFailure, StoreReply};
use super::value::{LAST_SECOND, Value};
use crate::time::{Duration, Instant};

/// A call of the store that is not answered by then failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The store refuses to write 5 s after the read, so copies that come later are of no use.
const KEEP_TIMEOUT: Duration = Duration::from_secs(4);

/// So many members keep a copy of the write record before a value is sent.
const COPIES: usize = 3;

/// Between the end of a call and the next read at least.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// The back-off after failures ends here.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// What the store is known to hold.
#[derive(Debug)]
pub(super) enum Stored {
    /// It was not read in this term.
    Unknown,
    /// Nothing, or nothing that can be read.
    Absent,
    /// A value.
    Value(Box<Value>),
}

impl Stored {
    pub(super) fn value(&self) -> Option<&Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Unknown | Self::Absent => None,
        }
    }
}

/// How far an attempt is.
#[derive(Debug)]
pub(super) enum Phase {
    /// There is none.
    Idle,
    /// The store is being read.
    Reading { until: Instant },
    /// The attempt is counted; members are asked to keep the record.
    Keeping { until: Instant, value: Box<Value>, pending: usize },
    /// The value is being sent.
    Writing { until: Instant, value: Box<Value> },
}

impl Phase {
    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Idle => None,
            Self::Reading { until } | Self::Keeping { until, .. } | Self::Writing { until, .. } => {
                Some(*until)
            }
        }
    }
}

impl Policy {
    /// The store answered, or its driver gave up.
    pub fn handle_store(&mut self, reply: StoreReply, now: Instant) {
        match (std::mem::replace(&mut self.phase, Phase::Idle), reply) {
            (Phase::Reading { .. }, StoreReply::Found { value, now: unix }) => self.found(&value, unix, now),
            (Phase::Reading { .. }, StoreReply::NotFound { now: unix }) => self.not_found(unix, now),
            (Phase::Reading { .. }, StoreReply::GetFailed(failure)) => self.read_failed(&failure, now),
            (Phase::Writing { value, .. }, StoreReply::Stored) => self.wrote(value, now),
            (Phase::Writing { value, .. }, StoreReply::PutFailed(failure)) => {
                self.write_failed(&value, &failure, now);
            }
            (phase, _late) => self.phase = phase,
        }
        self.advance(now);
    }

    /// A member that was asked to keep the write record did, or failed to.
    pub fn handle_kept(&mut self, ok: bool, now: Instant) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Keeping { value, .. } if ok => self.write(value, now),
            Phase::Keeping { until, value, pending } => {
                self.phase = Phase::Keeping { until, value, pending: pending.saturating_sub(1) };
                if pending <= 1 {
                    self.abandon("no member kept the write record", now);
                }
            }
            phase @ (Phase::Idle | Phase::Reading { .. } | Phase::Writing { .. }) => self.phase = phase,
        }
        self.advance(now);
    }

    /// Gives up what has taken too long.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.phase.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Reading { .. } => self.read_failed(&StoreFailure::Failed("no answer".into()), now),
            Phase::Writing { value, .. } => {
                self.write_failed(&value, &StoreFailure::Unknown("no answer".into()), now);
            }
            phase @ Phase::Keeping { .. } => {
                self.phase = phase;
                self.abandon("no member kept the write record in time", now);
            }
            Phase::Idle => {}
        }
    }

    /// Ends an attempt of which nothing was sent; it stays counted.
    pub(super) fn abandon(&mut self, why: &str, now: Instant) {
        if let Phase::Keeping { value, .. } = &self.phase {
            let (term, seq) = (value.term, value.seq);
            self.phase = Phase::Idle;
            self.attempt_failed(term, seq, why.to_owned(), Duration::ZERO, now);
        }
    }

    pub(super) fn read(&mut self, now: Instant) {
        self.phase = Phase::Reading { until: now + CALL_TIMEOUT };
        self.outputs.push_back(Output::Store(StoreCall::Get));
    }

    fn found(&mut self, bytes: &[u8], unix: u64, now: Instant) {
        let unix = self.set_clock(unix, now);
        let value = match Value::parse(bytes) {
            Ok(value) if value.cluster == self.config.cluster => value,
            Ok(foreign) => {
                let message =
                    format!("the store holds the summary of another cluster, '{}'", foreign.cluster);
                return self.read_failed(&StoreFailure::Failed(message), now);
            }
            Err(error) => {
                tracing::warn!(%error, "the stored summary cannot be read and will be replaced");
                self.stored = Stored::Absent;
                return self.has_read(None, unix, now);
            }
        };
        let mut record = self.record.clone();
        record.roll(unix / DAY);
        for (day, writer, count) in value.attempts() {
            record.merge_attempts(day, writer, count);
        }
        record.merge_stored(value.mark(), value.at.0);
        if record != self.record {
            self.record = record;
            self.persist();
        }
        let term = value.term;
        if !self.knows_newer(value.at.0, unix) {
            self.stored = Stored::Value(Box::new(value));
        }
        self.has_read(Some(term), unix, now);
    }

    fn not_found(&mut self, unix: u64, now: Instant) {
        let unix = self.set_clock(unix, now);
        if !self.knows_newer(0, unix) {
            self.stored = Stored::Absent;
        }
        self.has_read(None, unix, now);
    }

    /// Whether the value that was known before is newer, and young enough for a read to miss it.
    fn knows_newer(&self, at: u64, unix: u64) -> bool {
        let hold = self.hold().as_secs();
        self.stored.value().is_some_and(|known| known.at.0 > at && unix.saturating_sub(known.at.0) < hold)
    }

    fn set_clock(&mut self, unix: u64, now: Instant) -> u64 {
        let unix = unix.min(LAST_SECOND);
        self.clock = Some(StoreClock::new(unix, now));
        self.record.distrust_future(unix);
        unix
    }

    fn has_read(&mut self, term: Option<u64>, unix: u64, now: Instant) {
        self.store_ok = true;
        if std::mem::take(&mut self.campaigning) {
            self.outputs.push_back(Output::Stored { term });
        }
        let may_write = self.term.is_some() && now >= self.write_from().max(self.not_before);
        if may_write && self.verdict(unix) == Verdict::Write {
            return self.attempt(unix, now);
        }
        self.failures = 0;
        if self.term.is_some() {
            self.not_before = self.not_before.max(now + MIN_PAUSE);
        }
    }

    /// Counts the attempt before anything is sent, here and at other members.
    fn attempt(&mut self, unix: u64, now: Instant) {
        self.record.attempt(self.hash, unix);
        self.persist();
        let value = Box::new(self.draft(unix));
        let copies = self.census.alive_members.min(COPIES);
        if copies == 0 {
            return self.write(value, now);
        }
        self.outputs.push_back(Output::Replicate { record: self.record.to_wire(), copies });
        self.phase = Phase::Keeping { until: now + KEEP_TIMEOUT, value, pending: copies };
    }

    fn draft(&self, unix: u64) -> Value {
        let known = self.record.stored();
        let cluster_id = match (self.stored.value(), known.cluster_id) {
            (Some(value), _) => value.cluster_id.0,
            (None, 0) => self.config.cluster_id,
            (None, kept) => kept,
        };
        let mark = Mark {
            term: self.term.unwrap_or_default().max(known.term),
            seq: known.seq.saturating_add(1),
            cluster_id,
        };
        let mut value = self.outline(mark, unix);
        value.set_attempts(&self.record, unix / DAY);
        draft::update(&mut value, &self.census, unix);
        value
    }

    fn write(&mut self, value: Box<Value>, now: Instant) {
        let json = value.to_json();
        self.phase = Phase::Writing { until: now + CALL_TIMEOUT, value };
        self.outputs.push_back(Output::Store(StoreCall::Put { value: json }));
    }

    fn wrote(&mut self, value: Box<Value>, now: Instant) {
        self.record.merge_stored(value.mark(), value.at.0);
        self.persist();
        let Mark { term, seq, .. } = value.mark();
        self.outputs.push_back(Output::Wrote { term, seq, error: None });
        let copies = self.census.alive_members.min(COPIES);
        self.outputs.push_back(Output::Announce { record: self.record.to_wire(), copies });
        self.last_error = None;
        self.failures = 0;
        self.not_before = now + MIN_PAUSE;
        if self.term.is_some() {
            self.stored = Stored::Value(value);
        }
    }

    fn read_failed(&mut self, failure: &StoreFailure, now: Instant) {
        self.last_error = Some(failure.to_string());
        let campaigning = std::mem::take(&mut self.campaigning);
        let mut patience = Duration::ZERO;
        match failure {
            StoreFailure::Limited { retry_after_s } => {
                patience = Duration::from_secs(*retry_after_s);
                if campaigning {
                    // It answers, which is what the hold-down asks; what it holds, the write record must tell.
                    let known = self.record.stored();
                    self.outputs.push_back(Output::Stored { term: (known.seq > 0).then_some(known.term) });
                }
            }
            StoreFailure::Failed(_) | StoreFailure::Unknown(_) | StoreFailure::TooLate => {
                self.store_ok = false;
                self.outputs.push_back(Output::StoreFailed(failure.to_string()));
            }
        }
        self.back_off(patience, now);
    }

    fn write_failed(&mut self, value: &Value, failure: &StoreFailure, now: Instant) {
        let mut patience = Duration::ZERO;
        match failure {
            StoreFailure::Limited { retry_after_s } => patience = Duration::from_secs(*retry_after_s),
            StoreFailure::Failed(reason) => {
                self.store_ok = false;
                self.outputs.push_back(Output::StoreFailed(reason.clone()));
            }
            StoreFailure::Unknown(_) | StoreFailure::TooLate => {}
        }
        self.attempt_failed(value.term, value.seq, failure.to_string(), patience, now);
    }

    fn attempt_failed(&mut self, term: u64, seq: u64, error: String, patience: Duration, now: Instant) {
        self.last_error = Some(error.clone());
        self.outputs.push_back(Output::Wrote { term, seq, error: Some(error) });
        self.back_off(patience, now);
    }

    /// Waits longer after every failure in a row, and at least as long as the store asks.
    fn back_off(&mut self, patience: Duration, now: Instant) {
        let pause = (MIN_PAUSE * (1 << self.failures.min(9))).min(MAX_PAUSE);
        self.failures = self.failures.saturating_add(1);
        let jitter = Duration::from_millis(self.rng.random_range(0..1_000));
        self.not_before = now + pause.max(patience.min(Duration::from_secs(SLOT))) + jitter;
    }
}
