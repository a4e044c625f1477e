//! Three nodes that keep a summary in a real KV runtime, for days of its clock: the policy of each is the mesh's own,
//! the time is made up, and the calls of the store are real. For `tests/edge`.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Method;
use meshnode::dev::client::Client;
use meshnode::id::NodeId;
use meshnode::summary::stores::Store;
use meshnode::summary::{Census, CensusMember, Output, Policy, PolicyConfig, Rules, StoreCall};
use meshnode::time::{Duration, Instant};
use meshnode::view::Status;

/// 2026-11-22T23:40:00Z, the store's clock at the origin: the first write falls into the day before.
const START: u64 = 1_795_390_800;

const DAY: u64 = 86_400;

const USAGE: &str = "usage: quiet_day API DAYS, with CLOUDFLARE_API_TOKEN set; the store is cloudflare:acct1/0123456789abcdef0123456789abcdef";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let api = args.next().context(USAGE)?;
    let days: u64 = args.next().context(USAGE)?.parse().context(USAGE)?;
    let token = std::env::var("CLOUDFLARE_API_TOKEN").context(USAGE)?;
    let location = "cloudflare:acct1/0123456789abcdef0123456789abcdef".parse()?;
    let stores = (0..3).map(|_| Store::open(&location, "it", Some(&api), Some(&token)));
    let mut nodes = Nodes {
        policies: (0..3).map(policy).collect(),
        stores: stores.collect::<Result<_, _>>()?,
        clock: Clock { control: format!("{api}/__control"), client: Client::new(), now: Instant::ORIGIN },
        calls: BTreeMap::new(),
    };
    nodes.run(Duration::from_secs(DAY * (days + 1))).await?;
    let printed: BTreeMap<_, _> = nodes.calls.iter().map(|(day, calls)| (day.to_string(), calls)).collect();
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&printed)?).context("standard output")
}

/// The time, which the store's answers show as well.
struct Clock {
    control: String,
    client: Client,
    now: Instant,
}

impl Clock {
    fn unix(&self) -> u64 {
        START + self.now.as_nanos() / 1_000_000_000
    }

    async fn tell(&self) -> anyhow::Result<()> {
        let body = format!(r#"{{"now":{}}}"#, self.unix());
        let json = [("content-type", "application/json")];
        let answer = self.client.send(Method::POST, &self.control, &json, Bytes::from(body)).await?;
        anyhow::ensure!(answer.status.is_success(), "the store's clock cannot be set: {}", answer.text());
        Ok(())
    }
}

/// What was asked of the store on a day.
#[derive(Debug, Default, serde::Serialize)]
struct Calls {
    gets: u32,
    puts: u32,
}

struct Nodes {
    policies: Vec<Policy>,
    stores: Vec<Store>,
    clock: Clock,
    calls: BTreeMap<u64, Calls>,
}

impl Nodes {
    async fn run(&mut self, until: Duration) -> anyhow::Result<()> {
        let now = self.clock.now;
        for policy in &mut self.policies {
            policy.handle_census(census(), now);
        }
        self.policies[0].handle_campaign(now);
        self.drain().await?;
        self.policies[0].handle_lead(1, self.clock.now);
        self.drain().await?;
        while let Some(due) = self.policies.iter().filter_map(Policy::poll_timeout).min() {
            self.clock.now = due.max(self.clock.now);
            if self.clock.now >= Instant::ORIGIN + until {
                return Ok(());
            }
            for policy in &mut self.policies {
                policy.handle_timeout(self.clock.now);
            }
            self.drain().await?;
        }
        bail!("nobody waits for anything")
    }

    async fn drain(&mut self) -> anyhow::Result<()> {
        for node in 0..self.policies.len() {
            while let Some(output) = self.policies[node].poll_output() {
                self.carry_out(node, output).await?;
            }
        }
        Ok(())
    }

    async fn carry_out(&mut self, node: usize, output: Output) -> anyhow::Result<()> {
        match output {
            Output::Store(call) => {
                // Between two calls time passes, also for the store's one write a second.
                self.clock.now += Duration::from_secs(1);
                self.clock.tell().await?;
                let day = self.clock.unix() / DAY - START / DAY;
                let calls = self.calls.entry(day).or_default();
                match call {
                    StoreCall::Get => calls.gets += 1,
                    StoreCall::Put { .. } => calls.puts += 1,
                }
                let reply = self.stores[node].call(call).await;
                self.policies[node].handle_store(reply, self.clock.now);
            }
            Output::Replicate { record, .. } => {
                let warm = self.policies[node].warm(self.clock.now);
                for other in (0..self.policies.len()).filter(|other| *other != node) {
                    self.policies[other].handle_record(&record, warm, self.clock.now);
                    self.policies[node].handle_kept(true, self.clock.now);
                }
            }
            Output::Announce { record, .. } => {
                let warm = self.policies[node].warm(self.clock.now);
                for other in (0..self.policies.len()).filter(|other| *other != node) {
                    self.policies[other].handle_record(&record, warm, self.clock.now);
                }
            }
            Output::Wrote { error: Some(error), .. } | Output::StoreFailed(error) => bail!("{error}"),
            Output::Wrote { error: None, .. } | Output::Persist(_) | Output::Stored { .. } => {}
        }
        Ok(())
    }
}

fn policy(number: u8) -> Policy {
    let config = PolicyConfig {
        id: id(number),
        cluster: "it".into(),
        cluster_id: 0x5be1,
        staleness: Duration::from_secs(180),
        paced: true,
        alone_ok: true,
        record: None,
        seed: [number; 32],
        rules: Rules::default(),
    };
    Policy::new(config, Instant::ORIGIN)
}

fn id(number: u8) -> NodeId {
    NodeId::from_public_key([number + 1; 32])
}

fn census() -> Census {
    let member = |number| CensusMember {
        id: id(number),
        hash: id(number).hash(),
        status: Status::Alive,
        url: format!("https://n{number}.example.com"),
        zone: "eu".into(),
        epoch: 1_000,
        version: 1,
        draining: false,
    };
    Census {
        members: (0..3).map(member).collect(),
        services: [("rag".parse().unwrap_or_else(|_| unreachable!("a good name")), (1, 1))].into(),
        workers: 3,
        leader: Some(id(0)),
        budget: Some(30),
        met_anybody: true,
        alive_members: 2,
    }
}
