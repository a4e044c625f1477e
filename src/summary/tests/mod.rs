//! The policy in virtual time, on a bench that plays the store and the members.

mod budget;
mod moments;
mod records;
mod sizes;
mod values;

use super::*;
use crate::id::{NodeId, ServiceName};
use crate::time::{Duration, Instant};
use crate::view::Status;
use crate::wire::link::WriteRecord;

/// 2026-11-22T00:00:00Z, the store's clock at the origin.
const MIDNIGHT: u64 = 1_795_305_600;

const HOUR: u64 = 3_600;

fn node(number: u16) -> NodeId {
    let mut key = [7; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    NodeId::from_public_key(key)
}

fn member(number: u16) -> CensusMember {
    let id = node(number);
    CensusMember {
        id,
        hash: id.hash(),
        status: Status::Alive,
        url: format!("https://n{number}.example.com"),
        zone: "eu".into(),
        epoch: 1_000 + u64::from(number),
        version: 1,
        draining: false,
    }
}

fn service(name: &str) -> ServiceName {
    name.parse().unwrap()
}

/// A mesh of `count` members that node 0 leads, with two services.
fn census(count: u16) -> Census {
    Census {
        members: (0..count).map(member).collect(),
        services: [(service("rag"), (1, 1)), (service("upload"), (2, 3))].into(),
        workers: u32::from(count),
        leader: Some(node(0)),
        budget: None,
        met_anybody: count > 1,
        alive_members: usize::from(count) - 1,
    }
}

fn config() -> PolicyConfig {
    PolicyConfig {
        id: node(0),
        cluster: "prod".into(),
        cluster_id: 0x5be1,
        staleness: Duration::ZERO,
        paced: false,
        alone_ok: true,
        record: None,
        seed: [1; 32],
        rules: Rules::default(),
    }
}

/// Like Workers KV: a budget of 30, answers up to 180 s old.
fn paced() -> PolicyConfig {
    PolicyConfig { staleness: Duration::from_secs(180), paced: true, ..config() }
}

/// A policy with a store that answers at once, and members that keep records at once.
struct Bench {
    policy: Policy,
    now: Instant,
    /// The store's clock at the origin.
    origin: u64,
    value: Option<Vec<u8>>,
    /// What is answered instead, once.
    reply: Option<StoreReply>,
    /// What a member answers when it is to keep the record; `None` is nothing.
    keeps: Option<bool>,
    reads: Vec<u64>,
    writes: Vec<(u64, Value)>,
    /// All that was neither a call of the store nor a replication.
    said: Vec<Output>,
}

impl Bench {
    fn new(config: PolicyConfig) -> Self {
        Self {
            policy: Policy::new(config, Instant::ORIGIN),
            now: Instant::ORIGIN,
            origin: MIDNIGHT,
            value: None,
            reply: None,
            keeps: Some(true),
            reads: Vec::new(),
            writes: Vec::new(),
            said: Vec::new(),
        }
    }

    /// A leader of this mesh whose hold-down is over.
    fn leading(config: PolicyConfig, census: Census) -> Self {
        let mut bench = Self::new(config);
        bench.policy.handle_census(census, bench.now);
        bench.policy.handle_campaign(bench.now);
        bench.drain();
        bench.policy.handle_lead(3, bench.now);
        bench.drain();
        bench
    }

    fn unix(&self) -> u64 {
        self.origin + self.now.as_nanos() / 1_000_000_000
    }

    /// Lets the time pass until the store's clock shows `seconds` after midnight.
    fn run_to(&mut self, seconds: u64) {
        let end = Instant::ORIGIN + Duration::from_secs(MIDNIGHT + seconds - self.origin);
        while let Some(at) = self.policy.poll_timeout().filter(|at| *at <= end) {
            assert!(at >= self.now, "a deadline in the past is never met");
            self.now = at;
            self.policy.handle_timeout(at);
            self.drain();
        }
        self.now = end;
    }

    fn set_census(&mut self, census: Census) {
        self.policy.handle_census(census, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.policy.poll_output() {
            match output {
                Output::Store(call) => self.call(call),
                Output::Replicate { copies, .. } => {
                    for _ in 0..copies {
                        if let Some(ok) = self.keeps {
                            self.policy.handle_kept(ok, self.now);
                        }
                    }
                }
                said @ (Output::Announce { .. }
                | Output::Persist(_)
                | Output::Stored { .. }
                | Output::StoreFailed(_)
                | Output::Wrote { .. }) => self.said.push(said),
            }
        }
    }

    fn call(&mut self, call: StoreCall) {
        let now = self.unix();
        let reply = match call {
            StoreCall::Get => {
                self.reads.push(now);
                match self.value.clone() {
                    Some(value) => StoreReply::Found { value, now },
                    None => StoreReply::NotFound { now },
                }
            }
            StoreCall::Put { value } => {
                assert!(value.len() <= MAX_VALUE_LEN);
                self.writes.push((now - MIDNIGHT, Value::parse(&value).unwrap()));
                if self.reply.is_none() {
                    self.value = Some(value);
                }
                StoreReply::Stored
            }
        };
        let reply = self.reply.take().unwrap_or(reply);
        self.policy.handle_store(reply, self.now);
    }

    fn write_times(&self) -> Vec<u64> {
        self.writes.iter().map(|(at, _)| *at).collect()
    }

    fn errors(&self) -> Vec<&str> {
        let errors = self.said.iter().filter_map(|said| match said {
            Output::Wrote { error: Some(error), .. } | Output::StoreFailed(error) => Some(error.as_str()),
            Output::Wrote { error: None, .. }
            | Output::Store(_)
            | Output::Persist(_)
            | Output::Replicate { .. }
            | Output::Announce { .. }
            | Output::Stored { .. } => None,
        });
        errors.collect()
    }

    fn persisted(&self) -> Option<&WriteRecord> {
        self.said
            .iter()
            .rev()
            .find_map(|said| if let Output::Persist(record) = said { Some(record) } else { None })
    }
}

fn json(value: &Value) -> String {
    String::from_utf8(value.to_json()).unwrap()
}
