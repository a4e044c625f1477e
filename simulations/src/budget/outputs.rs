//! What the policy and the election of a node ask for, done.

use std::rc::Rc;

use meshnode::election;
use meshnode::id::IdHash;
use meshnode::summary::{self, StoreCall, StoreFailure, StoreReply, Value};
use meshnode::time::{Duration, Instant, earliest};
use meshnode::wire::link::WriteRecord;
use rand::RngExt as _;

use super::kv::Version;
use super::setting::Rule;
use super::world::{Event, Planned, World};
use crate::store::unix;

/// A PUT later than this after its GET is not sent.
const PUT_WITHIN: Duration = Duration::from_secs(5);

/// A connection that was silent for so long is gone.
const IDLE_CONNECTION: Duration = Duration::from_secs(400);

/// A failing store keeps a node from leading for so long.
const STORE_FAILURE_COUNTS_FOR: Duration = Duration::from_secs(600);

/// One way over a link, in milliseconds.
const LINK: (u64, u64) = (1, 40);

/// One way to the store, in milliseconds.
const STORE: (u64, u64) = (10, 500);

impl World {
    /// Does what the node asks for, until it asks for nothing more.
    pub(super) fn pump(&mut self, node: usize) {
        while let Some(process) = &mut self.nodes[node].process {
            if let Some(output) = process.policy.poll_output() {
                self.summary_output(node, output);
            } else if let Some(output) = process.election.poll_output() {
                self.election_output(node, output);
            } else {
                break;
            }
        }
        self.set_deadline(node);
    }

    pub(super) fn set_deadline(&mut self, node: usize) {
        let one = &mut self.nodes[node];
        let due = one.process.as_ref().filter(|_| one.frozen.is_none());
        let due = due.and_then(|p| earliest(p.policy.poll_timeout(), p.election.poll_timeout()));
        if one.deadline != due {
            if let Some(old) = std::mem::replace(&mut one.deadline, due) {
                self.deadlines.remove(&(old, node));
            }
            if let Some(at) = due {
                self.deadlines.insert((at, node));
            }
        }
    }

    fn summary_output(&mut self, node: usize, output: summary::Output) {
        use summary::Output as Out;
        let now = self.now;
        match output {
            Out::Store(StoreCall::Get) => {
                self.figures.count_get(now);
                self.tell(node, STORE, Event::Get);
            }
            Out::Store(StoreCall::Put { value }) => self.put(node, value),
            Out::Persist(record) => self.persist(node, record),
            Out::Replicate { record, copies } => self.replicate(node, &record, copies),
            Out::Announce { record, copies } => {
                for keeper in self.keepers(node, copies) {
                    self.tell(keeper, LINK, Event::Keep(record.clone(), None));
                }
            }
            Out::Stored { term } => self.process(node, |p| p.election.handle_stored(term, now)),
            Out::StoreFailed(_) => {
                self.nodes[node].store_failed_until = now + STORE_FAILURE_COUNTS_FOR;
                self.process(node, |p| {
                    p.policy.handle_follow(now);
                    p.election.handle_store_failed(now);
                });
                self.tell(node, (100, 100), Event::Look);
                self.tell(node, (600_100, 600_100), Event::Look);
                self.spread();
            }
            Out::Wrote { term, seq, error } => {
                let error = error.as_deref().unwrap_or("stored");
                self.log(node, format_args!("writes {term}.{seq}: {error}"));
            }
        }
    }

    fn process(&mut self, node: usize, act: impl FnOnce(&mut super::node::Process)) {
        if let Some(process) = &mut self.nodes[node].process {
            act(process);
        }
    }

    fn election_output(&mut self, node: usize, output: election::Output) {
        use election::Output as Out;
        let now = self.now;
        let from = self.nodes[node].hash;
        match output {
            Out::Election { to, term } => self.send_election(node, to, Event::Ask(from, term)),
            Out::Answer { to, term, leader } => {
                self.send_election(node, to, Event::Answer(from, term, leader));
            }
            Out::ReadStore => self.process(node, |p| p.policy.handle_campaign(now)),
            Out::Lead(term) => {
                self.log(node, format_args!("leads in {term}"));
                let census = self.census(node);
                self.process(node, |p| {
                    p.policy.handle_census(census, now);
                    p.policy.handle_lead(term, now);
                });
                self.spread();
            }
            Out::StepDown => {
                self.log(node, format_args!("leads no more"));
                self.process(node, |p| p.policy.handle_follow(now));
                self.spread();
            }
            Out::Leader(_) => {
                if self.nodes[node].leading_term() > 0 {
                    self.tell(node, (1, 1), Event::Look);
                }
            }
        }
    }

    fn send_election(&mut self, from: usize, to: IdHash, event: Event) {
        if let Some(&to) = self.by_hash.get(&to)
            && self.nodes[to].is_up()
            && self.nodes[to].part == self.nodes[from].part
        {
            self.tell(to, LINK, event);
        }
    }

    fn persist(&mut self, node: usize, record: WriteRecord) {
        if !self.setting.holds(Rule::Disk) {
            return;
        }
        let counts_first = self.setting.holds(Rule::CountFirst);
        let one = &mut self.nodes[node];
        if counts_first {
            one.record = Some(record);
        } else {
            one.unwritten = Some(record);
        }
    }

    /// The store's answer is here: what was not to be counted before is.
    pub(super) fn written(&mut self, node: usize) {
        let one = &mut self.nodes[node];
        if let Some(record) = one.unwritten.take() {
            one.record = Some(record);
        }
    }

    fn replicate(&mut self, node: usize, record: &WriteRecord, copies: usize) {
        let now = self.now;
        self.nodes[node].round += 1;
        let (boot, round) = (self.nodes[node].boot, self.nodes[node].round);
        if !self.setting.holds(Rule::Receipt) || !self.setting.holds(Rule::CountFirst) {
            return self.tell(node, LINK, Event::Kept(round, true));
        }
        let keepers = self.keepers(node, copies);
        for _ in keepers.len()..copies {
            self.process(node, |p| p.policy.handle_kept(false, now));
        }
        for keeper in keepers {
            if self.nodes[keeper].is_up() {
                self.tell(keeper, LINK, Event::Keep(record.clone(), Some((node, boot, round))));
            } else {
                self.tell(node, LINK, Event::Kept(round, false));
            }
        }
    }

    pub(super) fn keep(&mut self, node: usize, record: &WriteRecord, receipt: Option<(usize, u32, u64)>) {
        if self.setting.holds(Rule::Gossip) {
            self.with(node, |process, now| process.policy.handle_record(record, false, now));
        }
        let Some((asker, boot, round)) = receipt else { return };
        if self.nodes[asker].boot == boot && self.nodes[asker].part == self.nodes[node].part {
            self.tell(asker, LINK, Event::Kept(round, true));
        }
    }

    pub(super) fn get(&mut self, node: usize) {
        if !self.nodes[node].reaches_store || self.kv.is_out {
            return self.fail(node, StoreReply::GetFailed);
        }
        if self.chance(self.odds.limited) {
            let retry_after_s = self.rng.random_range(1..60);
            let reply = StoreReply::GetFailed(StoreFailure::Limited { retry_after_s });
            return self.tell(node, STORE, Event::Reply(reply));
        }
        let seen = self.kv.read(node, self.now, &mut self.rng);
        let now = unix(self.now);
        let reply = match seen {
            Some(version) => StoreReply::Found { value: self.shown(node, &version), now },
            None => StoreReply::NotFound { now },
        };
        let delay = self.between(STORE);
        let arrives = self.now + delay;
        self.nodes[node].read_at = Some(arrives);
        let boot = self.nodes[node].boot;
        self.queue.push(arrives, Planned::To(node, boot, Event::Reply(reply)));
    }

    /// What a reader makes of a value: without the counters that are not to count.
    fn shown(&self, node: usize, version: &Rc<Version>) -> Vec<u8> {
        let foreign = version.value.cluster_id.0 != self.cluster_id(node);
        if self.setting.holds(Rule::AllHistories) || !foreign {
            return version.bytes.clone();
        }
        let mut value = version.value.clone();
        value.writes.clear();
        value.to_json()
    }

    /// A call fails, at once or by silence.
    fn fail(&mut self, node: usize, reply: impl FnOnce(StoreFailure) -> StoreReply) {
        if self.chance(0.7) {
            let failure = StoreFailure::Failed("503 Service Unavailable".to_owned());
            self.tell(node, STORE, Event::Reply(reply(failure)));
        }
    }

    /// The node is about to send a value. It may stand still before or after its last look at the clock.
    fn put(&mut self, node: usize, value: Vec<u8>) {
        if self.chance(self.odds.crash) {
            self.tell(node, (0, 3_000), Event::Crash);
        }
        let freezes = self.chance(self.odds.freeze);
        let late = freezes && self.chance(self.odds.freeze_late);
        if late {
            self.send(node, value);
            self.freeze(node, (60_000, 4 * 3_600_000));
            return;
        }
        if freezes {
            self.freeze(node, (1_000, 4 * 3_600_000));
        }
        self.tell(node, (0, 0), Event::Send(value));
    }

    pub(super) fn send(&mut self, node: usize, value: Vec<u8>) {
        let in_time = self.nodes[node].read_at.is_some_and(|read| self.now.since(read) <= PUT_WITHIN);
        if !in_time && self.setting.holds(Rule::Gap) {
            let reply = StoreReply::PutFailed(StoreFailure::TooLate);
            return self.tell(node, (0, 1), Event::Reply(reply));
        }
        let boot = self.nodes[node].boot;
        let delay = self.between((20, 1_500));
        self.queue.push(self.now + delay, Planned::Put(node, boot, value));
    }

    /// A value reaches the store, unless its sender stands still with the bytes in its hands.
    pub(super) fn arrive(&mut self, node: usize, boot: u32, bytes: Vec<u8>) {
        if let Some((since, thaws)) = self.nodes[node].frozen.filter(|_| self.nodes[node].boot == boot) {
            let stays = thaws.since(since) <= IDLE_CONNECTION || !self.setting.holds(Rule::Gap);
            if stays {
                self.queue.push(thaws + Duration::from_millis(100), Planned::Put(node, boot, bytes));
            } else {
                let gone = StoreFailure::Unknown("the connection is gone".to_owned());
                self.tell(node, (0, 0), Event::Reply(StoreReply::PutFailed(gone)));
            }
            return;
        }
        self.figures.count_sent(self.now);
        let reply = self.store(node, bytes);
        if self.nodes[node].boot == boot
            && let Some(reply) = reply
        {
            self.tell(node, (10, 200), Event::Reply(reply));
        }
    }

    /// What the store does with a value, and what it answers; `None` is nothing.
    fn store(&mut self, node: usize, bytes: Vec<u8>) -> Option<StoreReply> {
        let failed = |failure| Some(StoreReply::PutFailed(failure));
        let unknown = || StoreFailure::Unknown("the connection broke".to_owned());
        let now = self.now;
        if !self.nodes[node].reaches_store || self.kv.is_out {
            return self.chance(0.7).then(|| StoreReply::PutFailed(StoreFailure::Failed("503".to_owned())));
        }
        if self.kv.is_limited(now) || self.chance(self.odds.limited) {
            self.figures.limited += 1;
            self.log(node, format_args!("is refused a write"));
            return failed(StoreFailure::Limited { retry_after_s: 1 });
        }
        if self.chance(self.odds.loss / 2.0) {
            return failed(unknown());
        }
        self.apply(node, bytes, now);
        if self.chance(self.odds.loss / 2.0) {
            return if self.chance(0.5) { None } else { failed(unknown()) };
        }
        Some(StoreReply::Stored)
    }

    fn apply(&mut self, node: usize, bytes: Vec<u8>, at: Instant) {
        let Ok(mut value) = Value::parse(&bytes) else {
            self.checkers.unreadable(at);
            return;
        };
        let mut bytes = bytes;
        if !self.setting.holds(Rule::Counters) || !self.setting.holds(Rule::Unseen) {
            if !self.setting.holds(Rule::Counters) {
                value.writes.clear();
            }
            if !self.setting.holds(Rule::Unseen) {
                value.nodes.retain(|node| node.unseen_since.is_none());
            }
            bytes = value.to_json();
        }
        if let Some(before) = self.kv.current(at) {
            self.figures.count_lost(&before.value, &value, at);
        }
        self.figures.count_applied(at, bytes.len());
        self.checkers.applied(at, bytes.len());
        let count = self.figures.applied_on(at);
        self.log(node, format_args!("has stored {}.{}: {count} of the day", value.term, value.seq));
        self.kv.put(Version { at, bytes, value });
    }
}
