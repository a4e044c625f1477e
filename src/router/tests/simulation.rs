//! Entries that send requests to backends with queues, under several policies; a discrete-event model.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::fixture::*;
use crate::router::{ExitLoad, Outcome, Pick, Router};
use crate::time::{Duration, Instant};
use crate::view::{Load, MemberView};

/// Requests that one backend works on at the same time; the others wait in its queue.
const SLOTS: usize = 8;

/// How an entry chooses a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// The router's.
    Shipped,
    /// The better of two by what is true at this moment.
    Perfect,
    /// The least loaded by the last gossip.
    LeastByGossip,
}

/// The world that the policies are tried in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Simulation {
    entries: usize,
    backends: u8,
    /// So many of the backends are three times slower.
    slow: u8,
    mean: Duration,
    /// Of the capacity of all backends.
    load: f64,
    gossip: Duration,
    warm_up: Duration,
    length: Duration,
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            entries: 5,
            backends: 10,
            slow: 2,
            mean: ms(100),
            load: 0.75,
            gossip: Duration::from_secs(1),
            warm_up: Duration::from_secs(10),
            length: Duration::from_secs(30),
        }
    }
}

#[derive(Debug)]
struct Job {
    entry: usize,
    arrived: Instant,
    pick: Option<Pick>,
}

#[derive(Debug, Default)]
struct Backend {
    working: usize,
    queue: VecDeque<usize>,
}

impl Backend {
    fn in_flight(&self) -> usize {
        self.working + self.queue.len()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Gossip,
    Done { backend: u8, job: usize },
}

struct World {
    of: Simulation,
    rng: ChaCha8Rng,
    events: BinaryHeap<Reverse<(Instant, Event)>>,
    backends: Vec<Backend>,
    gossiped: Vec<usize>,
    jobs: Vec<Job>,
    routers: Vec<Router>,
    times: Vec<f64>,
}

impl Simulation {
    /// The 99th percentile of the response times in seconds.
    pub(super) fn p99(self, policy: Policy) -> f64 {
        let members: Vec<_> = (1..=self.backends).map(worker).collect();
        let routers = (0..self.entries).map(|i| seeded_router(u8::try_from(i).unwrap(), members.clone()));
        let mut world = World {
            of: self,
            rng: ChaCha8Rng::seed_from_u64(42),
            events: BinaryHeap::new(),
            backends: (0..self.backends).map(|_| Backend::default()).collect(),
            gossiped: vec![0; usize::from(self.backends)],
            jobs: Vec::new(),
            routers: routers.collect(),
            times: Vec::new(),
        };
        world.events.push(Reverse((Instant::ORIGIN, Event::Gossip)));
        world.events.push(Reverse((Instant::ORIGIN, Event::Arrival)));
        let end = Instant::ORIGIN + self.warm_up + self.length;
        while let Some(Reverse((now, event))) = world.events.pop() {
            match event {
                Event::Arrival if now < end => world.arrive(policy, now),
                Event::Gossip if now < end => world.gossip(policy, now),
                Event::Arrival | Event::Gossip => {}
                Event::Done { backend, job } => world.finish(usize::from(backend), job, now),
            }
        }
        world.times.sort_by(f64::total_cmp);
        world.times[world.times.len() * 99 / 100]
    }

    /// Requests a second.
    fn rate(self) -> f64 {
        let speed = f64::from(self.backends - self.slow) + f64::from(self.slow) / 3.0;
        self.load * speed * SLOTS as f64 / self.mean.as_secs_f64()
    }
}

impl World {
    fn arrive(&mut self, policy: Policy, now: Instant) {
        let gap = Duration::from_secs_f64(self.exponential() / self.of.rate());
        self.events.push(Reverse((now + gap, Event::Arrival)));
        let entry = self.rng.random_range(0..self.of.entries);
        let (backend, pick) = self.choose(policy, entry, now);
        let job = self.jobs.len();
        self.jobs.push(Job { entry, arrived: now, pick });
        if self.backends[backend].working < SLOTS {
            self.start(backend, job, now);
        } else {
            self.backends[backend].queue.push_back(job);
        }
    }

    fn choose(&mut self, policy: Policy, entry: usize, now: Instant) -> (usize, Option<Pick>) {
        let count = self.backends.len();
        match policy {
            Policy::Shipped => {
                let pick = pick(&mut self.routers[entry], now);
                self.routers[entry].begin(&pick, now);
                (usize::from(pick.worker.public_key()[0]) - 1, Some(pick))
            }
            Policy::Perfect => {
                let (a, b) = (self.rng.random_range(0..count), self.rng.random_range(0..count));
                let in_flight = |i: usize| self.backends[i].in_flight();
                (if in_flight(b) < in_flight(a) { b } else { a }, None)
            }
            Policy::LeastByGossip => {
                let least = self.gossiped.iter().min().copied();
                let equal: Vec<_> = (0..count).filter(|i| Some(self.gossiped[*i]) == least).collect();
                (equal[self.rng.random_range(0..equal.len())], None)
            }
        }
    }

    fn start(&mut self, backend: usize, job: usize, now: Instant) {
        self.backends[backend].working += 1;
        let slowness = if backend < usize::from(self.of.slow) { 3.0 } else { 1.0 };
        let time = Duration::from_secs_f64(self.exponential() * slowness * self.of.mean.as_secs_f64());
        let backend = u8::try_from(backend).unwrap();
        self.events.push(Reverse((now + time, Event::Done { backend, job })));
    }

    fn finish(&mut self, backend: usize, job: usize, now: Instant) {
        let in_flight = u32::try_from(self.backends[backend].in_flight()).unwrap();
        let Job { entry, arrived, ref pick } = self.jobs[job];
        let time = now.since(arrived);
        if let Some(pick) = pick {
            let router = &mut self.routers[entry];
            router.report_load(&pick.endpoint, ExitLoad { in_flight }, now);
            router.finish(pick, Outcome::Answered { status: 200, first_byte: time }, now);
        }
        if arrived > Instant::ORIGIN + self.of.warm_up {
            self.times.push(time.as_secs_f64());
        }
        self.backends[backend].working -= 1;
        if let Some(next) = self.backends[backend].queue.pop_front() {
            self.start(backend, next, now);
        }
    }

    /// All entries learn the same at the same time, and nothing until the next time.
    fn gossip(&mut self, policy: Policy, now: Instant) {
        self.events.push(Reverse((now + self.of.gossip, Event::Gossip)));
        self.gossiped = self.backends.iter().map(Backend::in_flight).collect();
        if policy == Policy::Shipped {
            let loads = self.gossiped.iter().map(|in_flight| Load {
                busy: (*in_flight as f32 / SLOTS as f32).min(1.0),
                available_memory: 0,
                in_flight: u32::try_from(*in_flight).unwrap(),
            });
            let members = (1..).zip(loads).map(|(n, load)| MemberView { load: Some(load), ..worker(n) });
            let view = view(members);
            self.routers.iter_mut().for_each(|router| router.apply(&view, now));
        }
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.rng.random::<f64>()).ln()
    }
}
