//! Who leads.

use std::net::{TcpListener, UdpSocket};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use meshnode::clock;
use meshnode::dev::services::{Kind, Sample};

use crate::support::{DEATH, SOON, World, eventually, one_mesh};

#[tokio::test]
async fn five_nodes_that_start_together_elect_one_leader() -> anyhow::Result<()> {
    let world = World::new()?;
    let ports = free_ports(5)?;
    let seeds = [format!("127.0.0.1:{}", ports[0]), format!("127.0.0.1:{}", ports[1])];
    let mut samples = Vec::new();
    let mut setups = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let name = format!("n{}", index + 1);
        let sample = Sample::start(Kind::Echo, &name, "1.0.0").await?;
        let setup = world.node(&name).bind(&format!("127.0.0.1:{port}")).service(&sample);
        setups.push(setup.arg("--join", &seeds[0]).arg("--join", &seeds[1]));
        samples.push(sample);
    }
    let peers = try_join_all(setups.iter().map(|setup| setup.start())).await?;
    let peers: Vec<_> = peers.iter().collect();

    let leader = one_mesh(&peers).await?;
    for peer in &peers {
        peer.sees_healthy("echo", 5, SOON).await?;
        let marked: Vec<_> =
            peer.admin.workers().await?.into_iter().filter(|worker| worker.is_heartbeat_leader).collect();
        assert_eq!(marked.len(), 1, "{marked:?}");
        assert_eq!(marked[0].worker_id.to_string(), leader);
    }
    let leading = try_join_all(peers.iter().map(|peer| peer.metric("meshnode_leader", ""))).await?;
    assert!((leading.iter().sum::<f64>() - 1.0).abs() < f64::EPSILON, "{leading:?}");
    world.passed()
}

#[tokio::test]
async fn the_next_oldest_takes_over_when_the_leader_is_killed() -> anyhow::Result<()> {
    let world = World::new()?;
    let sample = Sample::start(Kind::Echo, "all", "1.0.0").await?;
    let n1 = world.node("n1").service(&sample).start().await?;
    one_mesh(&[&n1]).await?;
    next_epoch(&n1).await?;
    let n2 = world.node("n2").join(&n1).service(&sample).start().await?;
    one_mesh(&[&n1, &n2]).await?;
    next_epoch(&n2).await?;
    let n3 = world.node("n3").join(&n1).service(&sample).start().await?;
    assert_eq!(one_mesh(&[&n1, &n2, &n3]).await?, n1.id(), "a joiner does not preempt");
    let term = n3.admin.leader().await?.term;

    n1.kill().await?;
    let taken_over = async || {
        for peer in [&n2, &n3] {
            let leader = peer.admin.leader().await?;
            ensure!(
                leader.worker_id.is_some_and(|id| id.to_string() == n2.id()),
                "{} knows {leader:?}",
                peer.name
            );
            ensure!(leader.term > term, "term {} after {term}", leader.term);
        }
        Ok(())
    };
    eventually(DEATH, taken_over).await?;
    world.passed()
}

/// Waits until a node that starts now gets a higher epoch than this one, which counts seconds.
async fn next_epoch(peer: &crate::support::Peer) -> anyhow::Result<()> {
    let epoch = peer.worker(peer.id()).await?.epoch;
    let later = async || {
        ensure!(clock::unix_now().as_secs() > epoch, "it is still second {epoch}");
        Ok(())
    };
    eventually(SOON, later).await
}

/// Ports that are free for UDP and TCP. They are all held until all are found, so that they differ.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let mut held = Vec::new();
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let port = tcp.local_addr()?.port();
        if let Ok(udp) = UdpSocket::bind(("127.0.0.1", port)) {
            held.push((port, tcp, udp));
        }
        if held.len() == count {
            return Ok(held.iter().map(|(port, _, _)| *port).collect());
        }
    }
    None.context("not enough free ports")
}
