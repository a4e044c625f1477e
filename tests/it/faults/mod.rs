//! What requests feel of faults: of nodes that die or stand still, of hosts that fall silent, of services that go wrong.

mod backends;
mod load;

use std::time::Duration;

use anyhow::ensure;
use http::Method;
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use self::backends::{Backend, Fault, Ledger};
use self::load::{Load, report};
use crate::support::{Hosts, Peer, SOON, World, eventually, one_mesh};

/// Gentle, because the tests share their machine; `make bench-proxy` measures at 500 a second.
const PER_SECOND: u32 = 60;

/// How long there is load before a fault, and after it.
const PHASE: Duration = Duration::from_secs(2);

/// An entry without services, and a node for each of these services.
struct Fleet {
    entry: Peer,
    nodes: Vec<Peer>,
    ledger: Ledger,
    _backends: Vec<Backend>,
}

impl Fleet {
    async fn start(world: &World, faults: &[Fault]) -> anyhow::Result<Self> {
        let ledger = Ledger::default();
        let entry = world.node("entry").start().await?;
        let (mut nodes, mut backends) = (Vec::new(), Vec::new());
        for (index, fault) in faults.iter().enumerate() {
            let backend = Backend::start(*fault, &ledger).await?;
            let name = format!("n{index}");
            let file = world.write(&format!("{name}.toml"), &backend.table())?;
            let config = file.display().to_string();
            nodes.push(world.node(&name).join(&entry).arg("--config", &config).start().await?);
            backends.push(backend);
        }
        let all: Vec<&Peer> = std::iter::once(&entry).chain(&nodes).collect();
        one_mesh(&all).await?;
        entry.sees_healthy("s", faults.len(), SOON).await?;
        Ok(Self { entry, nodes, ledger, _backends: backends })
    }

    fn load(&self, method: Method) -> Load {
        Load::start(&self.entry.client(), method, &self.entry.url("s", ""), PER_SECOND)
    }

    /// Waits until this node serves requests.
    async fn serves(&self, index: usize) -> anyhow::Result<()> {
        eventually(SOON, async || {
            let answer = self.entry.get("s", "warm").await?;
            ensure!(answer.header("x-mesh-worker") == self.nodes[index].id(), "others serve");
            Ok(())
        })
        .await
    }
}

#[tokio::test]
async fn no_get_fails_when_a_node_is_killed() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut fleet = Fleet::start(&world, &[Fault::None; 3]).await?;
    fleet.serves(0).await?;
    let load = fleet.load(Method::GET);
    sleep(PHASE).await;
    let fault = Instant::now();
    fleet.nodes.remove(0).kill().await?;
    sleep(PHASE).await;
    ensure!(report("kill -9 of a node", &load.end().await?, fault) == 0);
    world.passed()
}

#[tokio::test]
async fn no_get_fails_when_a_node_stands_still_and_it_is_used_again_afterwards() -> anyhow::Result<()> {
    let world = World::new()?;
    let fleet = Fleet::start(&world, &[Fault::None; 3]).await?;
    fleet.serves(0).await?;
    let load = fleet.load(Method::GET);
    sleep(PHASE).await;
    let fault = Instant::now();
    fleet.nodes[0].node.signal(Signal::STOP)?;
    sleep(PHASE * 2).await;
    let calls = load.end().await?;
    ensure!(report("SIGSTOP of a node", &calls, fault) == 0);
    let again = calls.iter().filter(|call| call.attempts > 1 && call.sent > fault + Duration::from_secs(3));
    ensure!(again.count() == 0, "it still gets requests after three seconds");
    fleet.nodes[0].node.signal(Signal::CONT)?;
    fleet.serves(0).await?;
    world.passed()
}

#[tokio::test]
async fn no_post_is_carried_out_twice_when_nodes_are_killed() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut fleet = Fleet::start(&world, &[Fault::None; 3]).await?;
    let load = fleet.load(Method::POST);
    sleep(PHASE).await;
    let fault = Instant::now();
    fleet.nodes.remove(0).kill().await?;
    sleep(PHASE).await;
    fleet.nodes.remove(0).kill().await?;
    sleep(PHASE).await;
    let calls = load.end().await?;
    let failed = report("POSTs, two nodes killed", &calls, fault);
    for call in &calls {
        let times = fleet.ledger.times(&format!("POST /{}", call.number));
        ensure!(times <= 1, "carried out {times} times: {call:?}");
        ensure!(times == 1 || !call.is_served(), "never carried out: {call:?}");
        let unstarted = call.status == Some(http::StatusCode::SERVICE_UNAVAILABLE);
        ensure!(!unstarted, "another node could have taken it: {call:?}");
    }
    ensure!(failed <= 4, "only what was with a service at the moment of a kill may fail");
    world.passed()
}

#[tokio::test]
async fn no_get_fails_when_a_service_resets_or_closes_or_never_answers_or_is_slow() -> anyhow::Result<()> {
    for fault in [Fault::Resets, Fault::Closes, Fault::Mute, Fault::Slow] {
        let world = World::new()?;
        let fleet = Fleet::start(&world, &[fault, Fault::None, Fault::None]).await?;
        let load = fleet.load(Method::GET);
        sleep(PHASE * 2).await;
        let began = Instant::now();
        ensure!(report(&format!("{fault:?}"), &load.end().await?, began) == 0, "{fault:?}");
        world.passed()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_service_that_fails_is_left_alone_after_a_few_errors() -> anyhow::Result<()> {
    let world = World::new()?;
    let fleet = Fleet::start(&world, &[Fault::Fails, Fault::None, Fault::None]).await?;
    let load = fleet.load(Method::GET);
    sleep(PHASE * 2).await;
    let failed = report("500s", &load.end().await?, Instant::now());
    ensure!(failed <= 8, "{failed} errors were passed on");
    world.passed()
}

#[tokio::test]
async fn no_get_fails_when_a_host_falls_silent() -> anyhow::Result<()> {
    let world = World::new()?;
    let Some(hosts) = Hosts::new(4).await? else {
        eprintln!("skipped: needs ip (iproute2), unshare and nsenter (util-linux), and user namespaces");
        return world.passed();
    };
    let mut nodes = vec![hosts.start(&world, 0).await?];
    let mut services = Vec::new();
    for index in 1..4 {
        services.push(hosts.serve(&world, index).await?);
        nodes.push(hosts.start_with(&world, index, &["--service", "s=http://127.0.0.1:8000"]).await?);
    }
    let url = format!("{}/api/service/s/health", nodes[0].ready().ingress);
    let entry = async |count: usize| hosts.ask(0, &url, count).await;
    eventually(SOON * 2, async || {
        let all = hosts.healthy(0, &nodes[0], "s").await?;
        ensure!(all == 3, "{all} are healthy");
        Ok(())
    })
    .await?;
    let before = entry(60).await?;
    ensure!(before.iter().all(|(status, _)| *status == 200), "{before:?}");
    let (asked, ()) = tokio::try_join!(entry(200), async {
        sleep(Duration::from_secs(1)).await;
        hosts.silence(3).await
    })?;
    let failed = asked.iter().filter(|(status, _)| *status != 200).count();
    let longest = asked.iter().map(|(_, took)| *took).fold(0.0, f64::max);
    println!("a host falls silent: {} calls, {failed} failed, the longest took {longest:.3} s", asked.len());
    ensure!(failed == 0, "{asked:?}");
    ensure!(longest < 3.0, "a request was held for {longest} s");
    world.passed()
}
