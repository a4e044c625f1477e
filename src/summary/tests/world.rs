//! A small world for the policies: nodes that crash, records that are gossiped, and a store that answers late.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;

pub(super) const DAY: u64 = 24 * HOUR;

/// How long a member must have been the best before it leads, and how long until the others know who is up.
const HOLD_DOWN: u64 = 18;

/// What becomes of a node that crashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Disk {
    /// It comes back with its record.
    Kept,
    /// It comes back with its id alone.
    Wiped,
    /// Another node comes in its place.
    Replaced,
}

/// What goes wrong, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    pub(super) nodes: usize,
    pub(super) disk: Disk,
    /// The leader is killed about so often, in seconds.
    pub(super) kill_every: Option<u64>,
    /// The leader is killed right after each write.
    pub(super) kill_after_write: bool,
    /// The set of services changes about so often, in seconds.
    pub(super) churn: u64,
    /// Share of the writes that are lost, and of those whose answer is.
    pub(super) loss: f64,
    /// The nodes do not hear each other for the first so many seconds, although they expect to.
    pub(super) apart: u64,
}

pub(super) const CALM: Faults = Faults {
    nodes: 10,
    disk: Disk::Kept,
    kill_every: None,
    kill_after_write: false,
    churn: 60,
    loss: 0.0,
    apart: 0,
};

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Start(usize),
    Elect,
    Kill,
    Churn,
    Gossip,
    Reply(usize, u32, Answer),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Read(Option<Vec<u8>>, u64),
    Written,
    Lost,
    Limited,
}

struct Slot {
    id: u16,
    boot: u32,
    since: u64,
    policy: Option<Policy>,
    disk: Option<WriteRecord>,
    leads: bool,
}

/// A part of the world: nodes, the store, and the events to come. Time is in milliseconds since midnight.
pub(super) struct World {
    faults: Faults,
    staleness: u64,
    worst: bool,
    rng: ChaCha8Rng,
    now: u64,
    slots: Vec<Slot>,
    next_id: u16,
    next_event: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    values: Vec<(u64, Vec<u8>)>,
    services: usize,
    /// Attempts that reached the store, by day.
    pub(super) sent: BTreeMap<u64, u32>,
    /// The greatest age of the value, in seconds.
    pub(super) oldest: u64,
}

impl World {
    pub(super) fn run(faults: Faults, staleness: u64, seed: u64, days: u64) -> Self {
        let mut world = Self {
            faults,
            staleness,
            worst: seed.is_multiple_of(2),
            rng: ChaCha8Rng::seed_from_u64(seed),
            now: 0,
            slots: Vec::new(),
            next_id: 0,
            next_event: 0,
            events: BinaryHeap::new(),
            values: Vec::new(),
            services: 1,
            sent: BTreeMap::new(),
            oldest: 0,
        };
        for slot in 0..faults.nodes {
            let id = world.fresh_id();
            world.slots.push(Slot { id, boot: 0, since: 0, policy: None, disk: None, leads: false });
            world.after(0, 5_000, Event::Start(slot));
        }
        world.after(20_000, 1, Event::Gossip);
        world.after(0, faults.churn * 1_000, Event::Churn);
        if faults.kill_every.is_some() {
            world.after(600_000, 1, Event::Kill);
        }
        while world.step(days * DAY * 1_000) {}
        world
    }

    fn fresh_id(&mut self) -> u16 {
        self.next_id += 1;
        self.next_id
    }

    fn after(&mut self, least: u64, jitter: u64, event: Event) {
        let at = self.now + least + self.rng.random_range(0..jitter.max(1));
        self.next_event += 1;
        self.events.push(Reverse((at, self.next_event, event)));
    }

    fn instant(&self) -> Instant {
        Instant::ORIGIN + Duration::from_millis(self.now)
    }

    fn unix(&self) -> u64 {
        MIDNIGHT + self.now / 1_000
    }

    /// The next event or deadline, whichever comes first; false at the end.
    fn step(&mut self, end: u64) -> bool {
        let deadline = |slot: &Slot| slot.policy.as_ref().and_then(Policy::poll_timeout);
        let timer = (0..self.slots.len()).filter_map(|i| Some((deadline(&self.slots[i])?, i))).min();
        let timer = timer.map(|(at, i)| (at.as_nanos().div_ceil(1_000_000), i));
        let event = self.events.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
        if let Some((at, i)) = timer.filter(|(at, _)| *at <= event) {
            self.now = at.max(self.now);
            let now = self.instant();
            self.with(i, |policy| policy.handle_timeout(now));
        } else if let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at;
            self.handle(event);
        }
        if let Some((at, _)) = self.values.last() {
            self.oldest = self.oldest.max((self.now - at) / 1_000);
        }
        self.now < end
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Start(i) => self.start(i),
            Event::Elect => self.elect(),
            Event::Kill => {
                self.kill_leader();
                if self.faults.kill_every.is_none() {
                    return;
                }
                let every = self.faults.kill_every.unwrap_or(DAY) * 1_000;
                self.after(every * 7 / 10, every * 6 / 10, Event::Kill);
            }
            Event::Churn => {
                self.services = self.services % 7 + 1;
                self.tell();
                self.after(0, self.faults.churn * 2_000, Event::Churn);
            }
            Event::Gossip => {
                self.gossip();
                self.after(30_000, 1, Event::Gossip);
            }
            Event::Reply(i, boot, answer) => {
                if self.slots[i].boot == boot {
                    let now = self.instant();
                    self.with(i, |policy| policy.handle_store(reply(answer), now));
                }
            }
        }
    }

    fn start(&mut self, i: usize) {
        let now = self.instant();
        let slot = &mut self.slots[i];
        slot.boot += 1;
        slot.since = self.now;
        slot.policy = Some(Policy::new(
            PolicyConfig {
                id: node(slot.id),
                staleness: Duration::from_secs(self.staleness),
                alone_ok: self.faults.nodes == 1,
                record: slot.disk.clone(),
                ..paced()
            },
            now,
        ));
        self.tell();
        self.after(HOLD_DOWN * 1_000, 4_000, Event::Elect);
    }

    fn kill_leader(&mut self) {
        let Some(i) = self.slots.iter().position(|slot| slot.leads) else { return };
        let replaced = (self.faults.disk == Disk::Replaced).then(|| self.fresh_id());
        let slot = &mut self.slots[i];
        slot.policy = None;
        slot.leads = false;
        slot.boot += 1;
        if self.faults.disk != Disk::Kept {
            slot.disk = None;
        }
        slot.id = replaced.unwrap_or(slot.id);
        self.tell();
        let down = if self.faults.nodes == 1 { 2_000 } else { 20_000 };
        self.after(down, 40_000, Event::Start(i));
        self.after(HOLD_DOWN * 1_000, 4_000, Event::Elect);
    }

    const fn apart(&self) -> bool {
        self.now < self.faults.apart * 1_000
    }

    /// The longest running leads, unless somebody does; every node by itself while they are apart.
    fn elect(&mut self) {
        let up = |slot: &Slot| slot.policy.is_some();
        let ready = self.now.saturating_sub(HOLD_DOWN * 1_000);
        let mut winners: Vec<usize> =
            (0..self.slots.len()).filter(|&i| up(&self.slots[i]) && self.slots[i].since <= ready).collect();
        winners.sort_by_key(|&i| (self.slots[i].since, i));
        if !self.apart() {
            let incumbent = winners.iter().position(|&i| self.slots[i].leads).unwrap_or(0);
            winners = winners.into_iter().skip(incumbent).take(1).collect();
        }
        let now = self.instant();
        for i in 0..self.slots.len() {
            if winners.contains(&i) && !self.slots[i].leads {
                self.slots[i].leads = true;
                self.with(i, |policy| policy.handle_campaign(now));
                self.with(i, |policy| policy.handle_lead(1, now));
            } else if !winners.contains(&i) && self.slots[i].leads {
                self.slots[i].leads = false;
                self.with(i, |policy| policy.handle_follow(now));
            }
        }
        self.tell();
    }

    fn tell(&mut self) {
        let now = self.instant();
        let apart = self.apart();
        let up: Vec<usize> = (0..self.slots.len()).filter(|&i| self.slots[i].policy.is_some()).collect();
        let leader = self.slots.iter().find(|slot| slot.leads).map(|slot| node(slot.id));
        for &i in &up {
            let seen: Vec<usize> = if apart { vec![i] } else { up.clone() };
            let census = Census {
                members: seen.iter().map(|&i| member(self.slots[i].id)).collect(),
                services: (0..self.services).map(|n| (service(&format!("s{n}")), (1, 1))).collect(),
                workers: u32::try_from(seen.len()).unwrap(),
                leader: if apart { Some(node(self.slots[i].id)) } else { leader },
                budget: Some(30),
                met_anybody: seen.len() > 1,
                alive_members: seen.len() - 1,
            };
            self.with(i, |policy| policy.handle_census(census, now));
        }
    }

    /// Every node tells every other one its record.
    fn gossip(&mut self) {
        if self.apart() {
            return;
        }
        let now = self.instant();
        let policies = self.slots.iter().filter_map(|slot| slot.policy.as_ref());
        let records: Vec<_> = policies.map(|policy| (policy.record(), policy.warm(now))).collect();
        for i in 0..self.slots.len() {
            for (record, warm) in &records {
                self.with(i, |policy| policy.handle_record(record, *warm, now));
            }
        }
        self.after(0, 1, Event::Elect);
    }

    fn with(&mut self, i: usize, act: impl FnOnce(&mut Policy)) {
        let Some(policy) = &mut self.slots[i].policy else { return };
        act(policy);
        let mut outputs = Vec::new();
        while let Some(output) = policy.poll_output() {
            outputs.push(output);
        }
        for output in outputs {
            self.apply(i, output);
        }
    }

    fn apply(&mut self, i: usize, output: Output) {
        let now = self.instant();
        let boot = self.slots[i].boot;
        match output {
            Output::Store(StoreCall::Get) => {
                let answer = self.read();
                self.after(50, 950, Event::Reply(i, boot, answer));
            }
            Output::Store(StoreCall::Put { value }) => {
                let answer = self.write(value);
                self.after(50, 950, Event::Reply(i, boot, answer));
            }
            Output::Persist(record) => self.slots[i].disk = Some(record),
            Output::Replicate { record, copies } => {
                let mut others: Vec<_> =
                    (0..self.slots.len()).filter(|&j| j != i && self.slots[j].policy.is_some()).collect();
                others.sort_by_key(|&j| (self.slots[j].since, j));
                others.truncate(copies);
                for j in others {
                    self.with(j, |policy| policy.handle_record(&record, false, now));
                    self.with(i, |policy| policy.handle_kept(true, now));
                }
            }
            Output::Wrote { .. } if self.faults.kill_after_write => {
                self.after(500, 2_500, Event::Kill);
            }
            // The budget must hold although no announcement arrives.
            Output::Announce { .. }
            | Output::Wrote { .. }
            | Output::Stored { .. }
            | Output::StoreFailed(_) => {}
        }
    }

    fn read(&mut self) -> Answer {
        let staleness = self.staleness * 1_000;
        let old = if self.worst { staleness } else { self.rng.random_range(0..=staleness) };
        let visible = self.values.iter().rev().find(|(at, _)| at + old <= self.now);
        Answer::Read(visible.map(|(_, value)| value.clone()), self.unix())
    }

    fn write(&mut self, value: Vec<u8>) -> Answer {
        *self.sent.entry((self.now + 100) / (DAY * 1_000)).or_default() += 1;
        if self.values.last().is_some_and(|(at, _)| self.now - at < 1_000) {
            return Answer::Limited;
        }
        if self.rng.random_bool(self.faults.loss / 2.0) {
            return Answer::Lost;
        }
        self.values.push((self.now, value));
        if self.rng.random_bool(self.faults.loss / 2.0) { Answer::Lost } else { Answer::Written }
    }
}

fn reply(answer: Answer) -> StoreReply {
    match answer {
        Answer::Read(Some(value), now) => StoreReply::Found { value, now },
        Answer::Read(None, now) => StoreReply::NotFound { now },
        Answer::Written => StoreReply::Stored,
        Answer::Lost => StoreReply::PutFailed(StoreFailure::Unknown("lost".into())),
        Answer::Limited => StoreReply::PutFailed(StoreFailure::Limited { retry_after_s: 1 }),
    }
}
