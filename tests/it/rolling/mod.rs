//! All nodes are restarted in turn under load, and nobody who uses them loses anything.

mod callers;
mod sockets;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use meshnode::dev::services::{Kind, Sample};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::{Peer, SOON, Setup, World, eventually, one_mesh};

const DRAIN: Duration = Duration::from_secs(2);

/// Callers of HTTP/1.1 and of HTTP/2, at this pace each, and WebSockets, half of them silent.
const HTTP1: usize = 8;
const HTTP2: usize = 4;
const PACE: Duration = Duration::from_millis(40);
const SOCKETS: usize = 12;

/// What all that use the mesh share.
#[derive(Debug)]
struct Shared {
    entries: Vec<SocketAddr>,
    stop: CancellationToken,
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    answered: usize,
    /// Sent once more, after a refused connection or a GOAWAY.
    again: usize,
    closed: usize,
    failures: Vec<String>,
    /// When the node that was restarted last was told to leave.
    told: Option<Instant>,
}

impl Shared {
    fn note(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn failed(&self, error: &anyhow::Error) {
        self.note(|tally| tally.failures.push(format!("{error:#}")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_every_node_in_turn_fails_nothing() -> anyhow::Result<()> {
    let world = World::new()?;
    let sockets = sockets::serve().await?;
    let mut samples = Vec::new();
    for name in ["n1", "n2", "n3"] {
        samples.push(Sample::start(Kind::Echo, name, "1").await?);
    }
    let setup = |index: usize| -> Setup<'_> {
        let node = world.node(["n1", "n2", "n3"][index]).service(&samples[index]);
        node.arg("--service", &format!("ws=http://{sockets}")).arg("--drain-timeout", "2s")
    };
    let n1 = setup(0).start().await?;
    let n2 = setup(1).join(&n1).start().await?;
    let n3 = setup(2).join(&n1).start().await?;
    let mut peers = vec![n1, n2, n3];
    whole(&peers).await?;

    let entries = peers.iter().map(ingress).collect::<anyhow::Result<Vec<_>>>()?;
    let shared =
        Arc::new(Shared { entries, stop: CancellationToken::new(), tally: Mutex::new(Tally::default()) });
    let mut users = JoinSet::new();
    for index in 0..HTTP1 {
        users.spawn(callers::http1(index, shared.clone()));
    }
    for index in 0..HTTP2 {
        users.spawn(callers::http2(index, shared.clone()));
    }
    for index in 0..SOCKETS {
        users.spawn(sockets::hold(index, shared.clone()));
    }
    for index in 0..peers.len() {
        let peer = peers.remove(index);
        let (bind, ingress) = (peer.node.ready().bind.clone(), ingress(&peer)?);
        let again = setup(index).bind(&bind).ingress(&ingress.to_string()).join(&peers[0]);
        shared.note(|tally| tally.told = Some(Instant::now()));
        let told = Instant::now();
        ensure!(peer.node.leave().await?.success(), "{} did not end well", peer.name);
        let left = told.elapsed();
        ensure!(left > DRAIN && left < DRAIN * 2, "with WebSockets open, it left after {left:?}");
        peers.insert(index, again.start().await.context("the restart")?);
        whole(&peers).await?;
    }
    let before = shared.tally.lock().unwrap().answered;
    let flows = async || {
        ensure!(
            shared.tally.lock().unwrap().answered > before + HTTP1 + HTTP2,
            "no request was answered after"
        );
        Ok(())
    };
    eventually(SOON, flows).await?;
    shared.stop.cancel();
    while let Some(user) = users.join_next().await {
        user?;
    }
    let tally = shared.tally.lock().unwrap();
    ensure!(tally.failures.is_empty(), "{} failed: {:#?}", tally.failures.len(), tally.failures);
    ensure!(tally.answered > 1000, "only {} requests", tally.answered);
    ensure!(tally.closed >= SOCKETS, "only {} WebSockets were closed", tally.closed);
    world.passed()
}

#[tokio::test]
async fn a_half_sent_head_does_not_hold_up_a_node_that_leaves() -> anyhow::Result<()> {
    let world = World::new()?;
    let n1 = world.node("n1").start().await?;
    let mut half = tokio::net::TcpStream::connect(ingress(&n1)?).await?;
    tokio::io::AsyncWriteExt::write_all(&mut half, b"GET / HTTP/1.1\r\nhost: he").await?;
    let idle = tokio::net::TcpStream::connect(ingress(&n1)?).await?;
    let told = Instant::now();
    let log = n1.node.log().to_owned();
    ensure!(n1.node.leave().await?.success());
    let left = told.elapsed();
    let log = std::fs::read_to_string(log)?;
    ensure!(
        left < Duration::from_millis(1500) && !log.contains("still open"),
        "it left after {left:?}:\n{log}"
    );
    drop((half, idle));
    world.passed()
}

/// Waits until the mesh is whole, and each node sees all instances.
async fn whole(peers: &[Peer]) -> anyhow::Result<()> {
    one_mesh(&peers.iter().collect::<Vec<_>>()).await?;
    for peer in peers {
        for service in ["echo", "ws"] {
            peer.sees_healthy(service, peers.len(), SOON).await?;
        }
    }
    Ok(())
}

fn ingress(peer: &Peer) -> anyhow::Result<SocketAddr> {
    let url = &peer.node.ready().ingress;
    url.strip_prefix("http://").unwrap_or(url).parse().context("the ingress is no address")
}
