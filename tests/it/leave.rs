//! What becomes of a node that leaves of its own will.

use std::time::Duration;

use anyhow::{Context, ensure};
use meshnode::dev::services::{Kind, Sample};
use rustix::process::Signal;

use crate::support::edge;
use crate::support::{Peer, SOON, World, eventually, one_mesh};

#[tokio::test]
async fn a_node_that_gets_sigterm_is_gone_within_a_second() -> anyhow::Result<()> {
    let world = World::new()?;
    let rag = Sample::start(Kind::Rag, "n3", "1.0.0").await?;
    let n1 = world.node("n1").start().await?;
    let n2 = world.node("n2").join(&n1).start().await?;
    let n3 = world.node("n3").join(&n1).service(&rag).start().await?;
    one_mesh(&[&n1, &n2, &n3]).await?;
    n1.sees_healthy("rag", 1, SOON).await?;
    n2.sees_healthy("rag", 1, SOON).await?;

    let watches = async || {
        let standing = n1.metric("meshnode_watch_links", "direction=\"dialled\"").await?;
        ensure!(standing == 2.0, "n1 keeps {standing} watch links");
        Ok(())
    };
    eventually(SOON, watches).await?;

    let id = n3.id().to_owned();
    n3.node.signal(Signal::TERM)?;
    let second = Duration::from_secs(1);
    tokio::try_join!(is_gone(&n1, &id, second), is_gone(&n2, &id, second))?;
    let log = n3.node.log().to_owned();
    assert!(n3.node.ended().await?.success());
    let log = std::fs::read_to_string(log)?;
    ensure!(!log.contains("still open"), "it waited for its own tasks:\n{log}");
    let lost = n1.metric("meshnode_watch_links_ended_total", "kind=\"lost\"").await?;
    ensure!(lost == 0.0, "n1 took the end of a node that left for a death");
    world.passed()
}

#[tokio::test]
async fn the_leave_command_ends_the_node_gracefully() -> anyhow::Result<()> {
    let world = World::new()?;
    let n1 = world.node("n1").start().await?;
    let n2 = world.node("n2").join(&n1).start().await?;
    one_mesh(&[&n1, &n2]).await?;

    let (id, admin) = (n2.id().to_owned(), n2.node.ready().admin.clone());
    let log = n2.node.log().to_owned();
    let ended = crate::support::meshnode(&["leave", "--admin", &admin], &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    is_gone(&n1, &id, SOON).await?;
    assert!(n2.node.ended().await?.success());
    // Nothing was left for which the exit would have waited.
    let log = std::fs::read_to_string(log)?;
    assert!(!log.contains("still open"), "{log}");
    assert_eq!(one_mesh(&[&n1]).await?, n1.id());
    world.passed()
}

#[tokio::test]
async fn edges_have_six_seconds_to_find_other_nodes_before_one_closes() -> anyhow::Result<()> {
    const SECRET: (&str, &[u8]) = ("k1", b"0123456789abcdef");
    let world = World::new()?;
    let file = world.write("secrets", "k1:MDEyMzQ1Njc4OWFiY2RlZg==\n")?.display().to_string();
    let entrance = |name: &str| {
        let url = format!("https://{name}.example.com");
        let setup = world.node(name).arg("--edge-listen", "127.0.0.1:0").arg("--edge-secret-file", &file);
        setup.arg("--public-url", &url)
    };
    let n1 = entrance("n1").start().await?;
    let n2 = entrance("n2").join(&n1).start().await?;
    one_mesh(&[&n1, &n2]).await?;
    let edge = |peer: &Peer| peer.node.ready().edge.clone().context("no edge listener");
    let (edge1, edge2) = (edge(&n1)?, edge(&n2)?);

    n2.node.signal(Signal::TERM)?;
    let drains = tokio::time::Instant::now();
    let mut nonce = 0;
    let not_listed = async || {
        nonce += 1;
        for at in [&edge1, &edge2] {
            let (_, summary) = edge::get(at, "/.mesh/summary", SECRET, &format!("s{nonce}")).await?;
            let listed = |name: &str| summary.contains(&format!("https://{name}.example.com"));
            ensure!(listed("n1") && !listed("n2"), "{summary}");
        }
        Ok(())
    };
    eventually(Duration::from_secs(4), not_listed).await?;
    let mut last = drains;
    loop {
        nonce += 1;
        let answer = edge::services(&edge2, SECRET.0, SECRET.1, &format!("o{nonce}")).await;
        let Ok((status, _)) = answer else { break };
        ensure!(status == 200, "{status} while it drains");
        last = tokio::time::Instant::now();
    }
    let open = last.duration_since(drains);
    ensure!(open > Duration::from_secs(5), "its edge listener closed after {open:?}");
    assert!(n2.node.ended().await?.success());
    world.passed()
}

/// Waits until the observer holds the worker left and lists nothing on it.
async fn is_gone(observer: &Peer, id: &str, deadline: Duration) -> anyhow::Result<()> {
    let gone = async || {
        let workers = observer.admin.workers().await?;
        let status =
            workers.iter().find(|it| it.worker_id.to_string() == id).map_or("left", |it| it.status.as_str());
        ensure!(status == "left", "{} holds it {status}", observer.name);
        let services = observer.admin.services().await?;
        let listed = services.values().flat_map(|it| &it.workers).any(|it| it.worker_id.to_string() == id);
        ensure!(!listed, "{} still lists its services", observer.name);
        Ok(())
    };
    eventually(deadline, gone).await
}
