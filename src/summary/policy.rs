//! The policy of the summary's writer: when to read the store, when to write it, and what is remembered of it.

use std::collections::VecDeque;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::attempt::{Phase, Stored};
use super::budget::{DEFAULT_BUDGET, SLOT, lone_delay, stagger};
use super::census::Census;
use super::draft;
use super::moment::{Rules, Situation, Verdict};
use super::record::Record;
use super::store::StoreCall;
use super::value::Value;
use crate::id::{IdHash, NodeId};
use crate::time::{Duration, Instant, earliest};
use crate::wire::link::WriteRecord;

/// A reader may see a value this much later than the store's staleness says.
const HOLD_MARGIN: Duration = Duration::from_secs(60);

/// What a [`Policy`] is told at construction.
#[derive(Debug, Clone)]
pub struct PolicyConfig {
    /// The local node.
    pub id: NodeId,
    /// The cluster's name.
    pub cluster: String,
    /// The mark of the cluster's history, used until a stored value says another one.
    pub cluster_id: u64,
    /// How old an answer of the store may be.
    pub staleness: Duration,
    /// The store has a budget, so slots, stagger and pacing hold.
    pub paced: bool,
    /// A first node, without any way to find others: it need not wait for them.
    pub alone_ok: bool,
    /// The write record of earlier boots.
    pub record: Option<WriteRecord>,
    /// Seeds the generator of the policy's jitter.
    pub seed: [u8; 32],
    /// The rules that hold: all of them.
    pub rules: Rules,
}

/// What the mesh shall do for the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Call the store, and feed back a [`super::StoreReply`]. At most one call is under way.
    Store(StoreCall),
    /// Write this down before anything that follows is done.
    Persist(WriteRecord),
    /// Give this to so many live members, best those that would lead next, and feed back for each of them
    /// whether it kept it.
    ///
    /// Nothing is sent to the store before one of them has.
    Replicate {
        /// The write record.
        record: WriteRecord,
        /// To how many members.
        copies: usize,
    },
    /// Give this to so many live members: what they should know of a write that is done. Nobody waits for them.
    Announce {
        /// The write record.
        record: WriteRecord,
        /// To how many members.
        copies: usize,
    },
    /// The answer to [`Policy::handle_campaign`]: the store works.
    Stored {
        /// The term of the stored value; `None` when there is none.
        term: Option<u64>,
    },
    /// The store fails, for this reason: this node should not lead for a while.
    StoreFailed(String),
    /// An attempt to write ended.
    Wrote {
        /// The term of the value.
        term: u64,
        /// The seq of the value.
        seq: u64,
        /// Why it is not known to be stored; `None` when it is.
        error: Option<String>,
    },
}

/// Decides when the leader reads and writes the summary, and what it says. Every node has one, for its part in
/// the write record; only the leader's acts.
#[derive(Debug)]
pub struct Policy {
    pub(super) config: PolicyConfig,
    pub(super) hash: IdHash,
    pub(super) census: Census,
    pub(super) record: Record,
    pub(super) stored: Stored,
    pub(super) phase: Phase,
    pub(super) clock: Option<StoreClock>,
    /// The term in which this node leads.
    pub(super) term: Option<u64>,
    /// The hold-down waits for a read.
    pub(super) campaigning: bool,
    /// The next read comes no sooner.
    pub(super) not_before: Instant,
    /// Failures in a row, for the back-off.
    pub(super) failures: u32,
    pub(super) store_ok: bool,
    pub(super) last_error: Option<String>,
    pub(super) rng: ChaCha8Rng,
    pub(super) outputs: VecDeque<Output>,
    boot: Instant,
    warm_from: Instant,
    due: Option<Instant>,
}

/// The store's clock, as last seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoreClock {
    unix: u64,
    seen: Instant,
}

impl StoreClock {
    pub(super) const fn new(unix: u64, seen: Instant) -> Self {
        Self { unix, seen }
    }

    pub(super) fn at(self, now: Instant) -> u64 {
        self.unix + now.since(self.seen).as_secs()
    }

    fn instant(self, unix: u64) -> Instant {
        self.seen + Duration::from_secs(unix.saturating_sub(self.unix))
    }

    /// The slot of the last read.
    const fn slot(self) -> u64 {
        self.unix / SLOT
    }
}

impl Policy {
    /// The policy of a node that boots at `now`.
    pub fn new(config: PolicyConfig, now: Instant) -> Self {
        let record = config.record.as_ref().map(Record::from_wire).unwrap_or_default();
        let mut policy = Self {
            hash: config.id.hash(),
            rng: ChaCha8Rng::from_seed(config.seed),
            config,
            census: Census::default(),
            record,
            stored: Stored::Unknown,
            phase: Phase::Idle,
            clock: None,
            term: None,
            campaigning: false,
            not_before: now,
            failures: 0,
            store_ok: true,
            last_error: None,
            outputs: VecDeque::new(),
            boot: now,
            warm_from: now,
            due: None,
        };
        policy.warm_from = now + policy.hold();
        policy
    }

    /// The members, or what is known of them, changed.
    pub fn handle_census(&mut self, census: Census, now: Instant) {
        if census != self.census {
            self.census = census;
            self.advance(now);
        }
    }

    /// The election holds down before it leads: read the store once.
    pub fn handle_campaign(&mut self, now: Instant) {
        self.campaigning = true;
        self.advance(now);
    }

    /// This node leads in `term`.
    pub fn handle_lead(&mut self, term: u64, now: Instant) {
        self.term = Some(term);
        self.advance(now);
    }

    /// This node does not lead.
    pub fn handle_follow(&mut self, now: Instant) {
        if self.term.take().is_some() {
            self.stored = Stored::Unknown;
            self.abandon("another node leads", now);
        }
        self.advance(now);
    }

    /// Another member's write record; `from_warm` when that member is warm.
    pub fn handle_record(&mut self, record: &WriteRecord, from_warm: bool, now: Instant) {
        let mut told = Record::from_wire(record);
        if let Some(clock) = self.clock {
            told.distrust_future(clock.at(now));
        }
        let learned = self.record.merge(&told);
        if learned {
            self.persist();
        }
        let warmed = from_warm && !self.warm(now);
        if warmed {
            self.warm_from = now;
        }
        if learned || warmed {
            self.advance(now);
        }
    }

    /// The process or the machine stood still: what others wrote meanwhile may not be readable yet.
    pub fn handle_resume(&mut self, now: Instant) {
        self.warm_from = now + self.hold();
        self.abandon("the node was suspended", now);
        self.advance(now);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let was_idle = matches!(self.phase, Phase::Idle);
        self.expire(now);
        let has_ended = !was_idle && matches!(self.phase, Phase::Idle);
        // What is to be written depends on all members: that is not looked at whenever something else is due.
        if has_ended || self.due.is_some_and(|due| due <= now) {
            self.advance(now);
        }
    }

    /// The next thing to do; drain to `None` after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Policy::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.phase.deadline(), self.due)
    }

    /// The write record, for others.
    pub fn record(&self) -> WriteRecord {
        self.record.to_wire()
    }

    /// Whether all that was written before can be known here, so that others may rely on the record.
    pub fn warm(&self, now: Instant) -> bool {
        now >= self.warm_from
    }

    /// Reads the store when that is due, or finds out when it will be.
    pub(super) fn advance(&mut self, now: Instant) {
        self.due = None;
        if !matches!(self.phase, Phase::Idle) {
            return;
        }
        if self.campaigning {
            return self.read(now);
        }
        match self.next_read(now) {
            Some(at) if at <= now => self.read(now),
            later => self.due = later,
        }
    }

    fn next_read(&self, now: Instant) -> Option<Instant> {
        self.term?;
        let from = self.write_from().max(self.not_before);
        let (Some(clock), Stored::Absent | Stored::Value(_)) = (self.clock, &self.stored) else {
            return Some(from);
        };
        let at = match self.verdict(clock.at(now)) {
            Verdict::Write => now,
            Verdict::Wait(until) => clock.instant(until).min(clock.instant(self.next_check(clock))),
        };
        Some(from.max(at))
    }

    /// The leader reads once a slot even when it has nothing to write: another part of the mesh may have written.
    fn next_check(&self, clock: StoreClock) -> u64 {
        let slot = clock.slot() + 1;
        slot * SLOT + stagger(self.hash, slot)
    }

    /// Whether to write when the store's clock shows `unix`.
    pub(super) fn verdict(&self, unix: u64) -> Verdict {
        let value = self.stored.value();
        Situation {
            now: unix,
            stored_at: value.map(|value| value.at.0),
            own: value.is_some_and(|value| value.by == self.config.id),
            differs: value.is_some_and(|value| self.differs(value, unix)),
            starving: value.is_some_and(|value| self.starves(value)),
            record: &self.record,
            budget: self.budget(),
            hold: self.hold().as_secs(),
            id: self.hash,
            lone: self.lone(),
            rules: self.config.rules,
        }
        .verdict()
    }

    fn differs(&self, value: &Value, unix: u64) -> bool {
        let mut wanted = value.clone();
        draft::update(&mut wanted, &self.census, unix);
        !wanted.says_the_same(value) || draft::lists_who_left(value, &self.census)
    }

    /// Fewer than two of the listed nodes are alive, although more could be listed.
    fn starves(&self, value: &Value) -> bool {
        let alive = |id: &NodeId| self.census.member(id).is_some_and(|member| member.status.is_live());
        let listed = value.nodes.iter().filter(|node| alive(&node.id)).count();
        listed < self.census.entries().len().min(2)
    }

    /// Writes come no sooner: others could have written what cannot be read yet, or be about to be met.
    pub(super) fn write_from(&self) -> Instant {
        if self.lone() { self.warm_from.max(self.boot + lone_delay(self.hash)) } else { self.warm_from }
    }

    fn lone(&self) -> bool {
        !self.config.alone_ok && !self.census.met_anybody
    }

    /// How long after a write a read may not show it.
    pub(super) fn hold(&self) -> Duration {
        if self.config.staleness.is_zero() { Duration::ZERO } else { self.config.staleness + HOLD_MARGIN }
    }

    /// Attempts per day, of all writers; `None` when there is no budget.
    pub(super) fn budget(&self) -> Option<u32> {
        self.census.budget.or(self.config.paced.then_some(DEFAULT_BUDGET))
    }

    pub(super) fn persist(&mut self) {
        self.outputs.push_back(Output::Persist(self.record.to_wire()));
    }
}
