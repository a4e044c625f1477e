//! What becomes of a process that stands still for a while, and of one whose disk was copied.

use std::fs;

use anyhow::ensure;
use meshnode::view::Status;
use rustix::process::Signal;

use crate::support::{DEATH, Peer, SOON, World, eventually, one_mesh};

#[tokio::test]
async fn a_leader_that_was_stopped_comes_back_accuses_nobody_and_follows() -> anyhow::Result<()> {
    let world = World::new()?;
    let n1 = world.node("n1").start().await?;
    let n2 = world.node("n2").join(&n1).start().await?;
    let n3 = world.node("n3").join(&n1).start().await?;
    let n4 = world.node("n4").join(&n1).start().await?;
    let all = [&n1, &n2, &n3, &n4];
    let leader = one_mesh(&all).await?;
    let (stopped, others): (Vec<&Peer>, Vec<&Peer>) = all.into_iter().partition(|peer| peer.id() == leader);
    let stopped = stopped[0];

    stopped.node.signal(Signal::STOP)?;
    eventually(DEATH, async || {
        for peer in &others {
            let seen = peer.worker(stopped.id()).await?.status;
            ensure!(seen == Status::Dead, "{} sees it {seen:?}", peer.name);
        }
        Ok(())
    })
    .await?;
    let next = one_mesh(&others).await?;
    let accused = async || {
        let suspect = stopped.metric("meshnode_events_total", "kind=\"suspect\"").await?;
        anyhow::Ok(suspect + stopped.metric("meshnode_events_total", "kind=\"dead\"").await?)
    };

    stopped.node.signal(Signal::CONT)?;
    ensure!(one_mesh(&all).await? == next, "the one that took over leads on");
    ensure!(stopped.metric("meshnode_events_total", "kind=\"paused\"").await? >= 1.0, "it did not notice");
    ensure!(accused().await? == 0.0, "it accused somebody");
    world.passed()
}

#[tokio::test]
async fn of_two_machines_with_a_copied_disk_one_goes_silent_and_says_so() -> anyhow::Result<()> {
    let world = World::new()?;
    let n1 = world.node("n1").start().await?;
    let n2 = world.node("n2").join(&n1).start().await?;
    let n3 = world.node("n3").join(&n1).start().await?;
    one_mesh(&[&n1, &n2, &n3]).await?;
    let copy = world.path("n4");
    fs::create_dir_all(&copy)?;
    for file in fs::read_dir(world.path("n3"))? {
        let file = file?;
        if file.file_type()?.is_file() {
            fs::copy(file.path(), copy.join(file.file_name()))?;
        }
    }
    let n4 = world.node("n4").join(&n1).start().await?;
    ensure!(n4.id() == n3.id(), "the copy has another key");

    eventually(SOON, async || {
        let ready = [n3.admin.is_ready().await?, n4.admin.is_ready().await?];
        ensure!(ready[0] != ready[1], "ready: {ready:?}");
        let told = n3.metric("meshnode_events_total", "kind=\"cloned\"").await?
            + n4.metric("meshnode_events_total", "kind=\"cloned\"").await?;
        ensure!(told >= 2.0, "{told} of them said so");
        for peer in [&n1, &n2] {
            let seen = peer.worker(n3.id()).await?.status;
            ensure!(seen == Status::Alive, "{} sees it {seen:?}", peer.name);
        }
        Ok(())
    })
    .await?;
    world.passed()
}
