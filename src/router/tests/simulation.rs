//! Entries that send requests to backends with queues, under several policies; a discrete-event model.
//!
//! What a router learns reaches it as it does in a mesh: the load of an instance with each of its answers, and the
//! load of a node by gossip, in coarse steps and every five seconds.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::fixture::*;
use crate::router::{Ask, ExitLoad, MAX_ATTEMPTS, Outcome, Pick, Reason, Router, Tried};
use crate::time::{Duration, Instant};
use crate::view::{Load, MemberView};

/// Requests that one backend works on at the same time; the others wait in its queue.
const SLOTS: usize = 8;

/// Between two facts about the load of a node.
const GOSSIP: Duration = Duration::from_secs(5);

/// How long a broken backend takes to break a request.
const BREAKING: Duration = Duration::from_millis(1);

const WARM_UP: Duration = Duration::from_secs(10);

/// How an entry chooses a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// The router's.
    Shipped,
    /// The better of two by what is true at this moment; never a broken one.
    Perfect,
    /// The least loaded by the last gossip.
    LeastByGossip,
}

/// The world that the policies are tried in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Simulation {
    pub(super) entries: usize,
    pub(super) backends: u8,
    /// So many of the backends are three times slower.
    pub(super) slow: u8,
    /// What a request takes on the average.
    pub(super) mean: Duration,
    /// One request in ten takes so many times as long as the others.
    pub(super) heavy: f64,
    /// Of the capacity of all backends.
    pub(super) load: f64,
    /// The first backend breaks all requests from then until then.
    pub(super) broken: Option<(Instant, Instant)>,
    /// So many of the backends are far away.
    pub(super) far: u8,
    /// The way there and back.
    pub(super) far_rtt: Duration,
    pub(super) length: Duration,
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            entries: 5,
            backends: 10,
            slow: 0,
            mean: ms(100),
            heavy: 1.0,
            load: 0.75,
            broken: None,
            far: 0,
            far_rtt: ms(40),
            length: Duration::from_secs(20),
        }
    }
}

/// How it went.
#[derive(Debug, Default)]
pub(super) struct Results {
    /// The response times in seconds, in order.
    times: Vec<f64>,
    /// How many requests had no answer.
    pub(super) lost: usize,
    /// How many went to a far backend.
    pub(super) far: usize,
}

impl Results {
    pub(super) fn percentile(&self, percent: usize) -> f64 {
        self.times[self.times.len() * percent / 100]
    }

    pub(super) fn count(&self) -> usize {
        self.times.len() + self.lost
    }
}

#[derive(Debug)]
struct Job {
    entry: usize,
    arrived: Instant,
    /// In units of the mean.
    work: f64,
    pick: Option<Pick>,
    tried: Vec<Tried>,
}

#[derive(Debug, Default)]
struct Backend {
    working: usize,
    queue: VecDeque<usize>,
    /// On the way to it.
    sent: usize,
}

impl Backend {
    fn in_flight(&self) -> usize {
        self.working + self.queue.len() + self.sent
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Gossip,
    Arrival,
    Reaches { backend: usize, job: usize },
    Done { backend: usize, job: usize },
    Answered { backend: usize, job: usize, in_flight: u32 },
    Broke { backend: usize, job: usize },
}

struct World {
    of: Simulation,
    policy: Policy,
    /// What happens to all policies alike.
    fate: ChaCha8Rng,
    choices: ChaCha8Rng,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, Event)>>,
    backends: Vec<Backend>,
    gossiped: Vec<usize>,
    jobs: Vec<Job>,
    routers: Vec<Router>,
    results: Results,
}

impl Simulation {
    /// Runs it under several seeds, and takes the results together.
    pub(super) fn run(self, policy: Policy) -> Results {
        let mut all = Results::default();
        for seed in 0..2 {
            let results = self.run_once(policy, seed);
            all.times.extend(results.times);
            all.lost += results.lost;
            all.far += results.far;
        }
        all.times.sort_by(f64::total_cmp);
        all
    }

    fn run_once(self, policy: Policy, seed: u64) -> Results {
        let routers = (0..self.entries).map(|i| seeded_router(u8::try_from(i).unwrap(), []));
        let mut world = World {
            of: self,
            policy,
            fate: ChaCha8Rng::seed_from_u64(seed),
            choices: ChaCha8Rng::seed_from_u64(seed + 100),
            now: Instant::ORIGIN,
            events: BinaryHeap::new(),
            backends: (0..self.backends).map(|_| Backend::default()).collect(),
            gossiped: Vec::new(),
            jobs: Vec::new(),
            routers: routers.collect(),
            results: Results::default(),
        };
        world.plan(Duration::ZERO, Event::Gossip);
        world.plan(Duration::ZERO, Event::Arrival);
        let end = Instant::ORIGIN + WARM_UP + self.length;
        while let Some(Reverse((now, event))) = world.events.pop() {
            world.now = now;
            if now < end || !matches!(event, Event::Arrival | Event::Gossip) {
                world.happens(event);
            }
        }
        world.results
    }

    /// Requests a second.
    fn rate(self) -> f64 {
        let speed = f64::from(self.backends - self.slow) + f64::from(self.slow) / 3.0;
        self.load * speed * SLOTS as f64 / self.mean.as_secs_f64()
    }

    fn rtt(self, backend: usize) -> Duration {
        let near = backend < usize::from(self.backends - self.far);
        if near { Duration::from_micros(500) } else { self.far_rtt }
    }

    fn is_broken(self, backend: usize, now: Instant) -> bool {
        backend == 0 && self.broken.is_some_and(|(from, until)| (from..until).contains(&now))
    }
}

impl World {
    fn plan(&mut self, after: Duration, event: Event) {
        self.events.push(Reverse((self.now + after, event)));
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrive(),
            Event::Gossip => self.gossip(),
            Event::Reaches { backend, job } => {
                self.backends[backend].sent -= 1;
                if self.of.is_broken(backend, self.now) {
                    self.plan(BREAKING + self.of.rtt(backend) / 2, Event::Broke { backend, job });
                } else if self.backends[backend].working < SLOTS {
                    self.start(backend, job);
                } else {
                    self.backends[backend].queue.push_back(job);
                }
            }
            Event::Done { backend, job } => self.finish(backend, job),
            Event::Answered { backend, job, in_flight } => self.answer(backend, job, in_flight),
            Event::Broke { backend, job } => self.broke(backend, job),
        }
    }

    fn arrive(&mut self) {
        let gap = Duration::from_secs_f64(self.exponential() / self.of.rate());
        self.plan(gap, Event::Arrival);
        let entry = self.fate.random_range(0..self.of.entries);
        let light = 1.0 / (0.9 + 0.1 * self.of.heavy);
        let class = if self.fate.random_bool(0.1) { self.of.heavy * light } else { light };
        let work = self.exponential() * class;
        self.jobs.push(Job { entry, arrived: self.now, work, pick: None, tried: Vec::new() });
        self.send(self.jobs.len() - 1);
    }

    fn send(&mut self, job: usize) {
        let backend = match self.policy {
            Policy::Shipped => {
                let Job { entry, ref tried, .. } = self.jobs[job];
                let router = &mut self.routers[entry];
                let Ok(pick) = router.pick(&Ask::of("rag"), tried, self.now) else {
                    self.results.lost += 1;
                    return;
                };
                router.begin(&pick, self.now);
                let backend = usize::from(pick.worker.public_key()[0]) - 1;
                self.jobs[job].pick = Some(pick);
                backend
            }
            Policy::Perfect => {
                let able: Vec<_> =
                    (0..self.backends.len()).filter(|i| !self.of.is_broken(*i, self.now)).collect();
                let a = self.choices.random_range(0..able.len());
                let b = (a + self.choices.random_range(1..able.len())) % able.len();
                let in_flight = |i: usize| self.backends[i].in_flight();
                if in_flight(able[b]) < in_flight(able[a]) { able[b] } else { able[a] }
            }
            Policy::LeastByGossip => {
                let least = self.gossiped.iter().min().copied();
                let equal: Vec<_> =
                    (0..self.backends.len()).filter(|i| Some(self.gossiped[*i]) == least).collect();
                equal[self.choices.random_range(0..equal.len())]
            }
        };
        self.backends[backend].sent += 1;
        self.plan(self.of.rtt(backend) / 2, Event::Reaches { backend, job });
    }

    fn start(&mut self, backend: usize, job: usize) {
        self.backends[backend].working += 1;
        let slowness = if backend < usize::from(self.of.slow) { 3.0 } else { 1.0 };
        let time = Duration::from_secs_f64(self.jobs[job].work * slowness * self.of.mean.as_secs_f64());
        self.plan(time, Event::Done { backend, job });
    }

    fn finish(&mut self, backend: usize, job: usize) {
        let in_flight = u32::try_from(self.backends[backend].in_flight()).unwrap();
        let way = self.of.rtt(backend) / 2;
        if self.of.is_broken(backend, self.now) {
            self.plan(way, Event::Broke { backend, job });
        } else {
            self.plan(way, Event::Answered { backend, job, in_flight });
        }
        self.backends[backend].working -= 1;
        if let Some(next) = self.backends[backend].queue.pop_front() {
            self.start(backend, next);
        }
    }

    fn answer(&mut self, backend: usize, job: usize, in_flight: u32) {
        let Job { entry, arrived, ref pick, .. } = self.jobs[job];
        let time = self.now.since(arrived);
        if let Some(pick) = pick {
            let router = &mut self.routers[entry];
            router.report_load(&pick.endpoint, ExitLoad { in_flight }, self.now);
            router.finish(pick, Outcome::Answered { status: 200, first_byte: time }, self.now);
        }
        if arrived > Instant::ORIGIN + WARM_UP {
            self.results.times.push(time.as_secs_f64());
            self.results.far += usize::from(backend >= usize::from(self.of.backends - self.of.far));
        }
    }

    /// The request goes elsewhere, as far as the budget of retries allows.
    fn broke(&mut self, backend: usize, job: usize) {
        let worker = id(u8::try_from(backend + 1).unwrap());
        let Job { entry, ref pick, ref mut tried, .. } = self.jobs[job];
        let mut again = true;
        if let Some(pick) = pick {
            let router = &mut self.routers[entry];
            router.finish(pick, Outcome::Broken, self.now);
            tried.push(Tried { worker, reason: Reason::ConnectFailed });
            again = tried.len() < MAX_ATTEMPTS && router.may_retry("rag", self.now);
        }
        if again {
            self.send(job);
        } else {
            self.results.lost += 1;
        }
    }

    /// All entries learn the same at the same time, in the steps that gossip has, and nothing until the next time.
    fn gossip(&mut self) {
        self.plan(GOSSIP, Event::Gossip);
        let busy = |backend: &Backend| backend.working * 15 / SLOTS;
        self.gossiped = self.backends.iter().map(busy).collect();
        let members = (1..).zip(&self.backends).map(|(n, backend)| MemberView {
            load: Some(Load {
                busy: busy(backend) as f32 / 15.0,
                available_memory: 0,
                in_flight: u32::try_from((backend.in_flight() + 1).next_power_of_two() / 2).unwrap(),
            }),
            rtt: Some(self.of.rtt(usize::from(n) - 1)),
            ..worker_with(n, |rag| rag.max_in_flight = 64)
        });
        let view = view(members);
        self.routers.iter_mut().for_each(|router| router.apply(&view, self.now));
    }

    fn exponential(&mut self) -> f64 {
        -(1.0 - self.fate.random::<f64>()).ln()
    }
}
