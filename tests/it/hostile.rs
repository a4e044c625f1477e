//! Strangers: garbage on the port, and nodes that do not have the cluster's key.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};

use anyhow::{Context, ensure};
use meshnode::entropy;

use crate::support::{DEATH, SOON, World, eventually, one_mesh};

#[tokio::test]
async fn garbage_is_counted_and_nothing_dies() -> anyhow::Result<()> {
    let world = World::new()?;
    let n1 = world.node("n1").start().await?;
    let n2 = world.node("n2").join(&n1).start().await?;
    one_mesh(&[&n1, &n2]).await?;

    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let noise = entropy::random::<1400>();
    let before = n1.metric("meshnode_refused_total", "").await?;
    for len in [0, 1, 7, 20, 41, 60, 200, 1199, 1200, 1201, 1400] {
        socket.send_to(&noise[..len], &n1.node.ready().bind)?;
    }
    let mut stranger = TcpStream::connect(&n1.node.ready().bind)?;
    stranger.write_all(&noise)?;
    let counted = async || {
        let refused = n1.metric("meshnode_refused_total", "").await? - before;
        ensure!(refused >= 10.0, "{refused} were counted");
        Ok(())
    };
    eventually(SOON, counted).await?;
    one_mesh(&[&n1, &n2]).await?;
    world.passed()
}

#[tokio::test]
async fn a_node_with_another_key_gets_nothing() -> anyhow::Result<()> {
    let world = World::new()?;
    world.write_key("other.key")?;
    let n1 = world.node("n1").start().await?;
    let intruder = world.node("n2").key("other.key").join(&n1);
    let before = n1.metric("meshnode_refused_total", "").await?;
    let _process = intruder.launch().spawn()?;

    let refused = async || {
        let refused = n1.metric("meshnode_refused_total", "").await? - before;
        ensure!(refused > 0.0, "nothing was refused");
        Ok(())
    };
    eventually(SOON, refused).await?;
    let bind = &n1.node.ready().bind;
    let warned = async || {
        let log = std::fs::read_to_string(intruder.log())?;
        let warning = log.lines().find(|line| line.contains("WARN") && line.contains(bind.as_str()));
        let warning = warning.context("no warning about the unanswered join yet")?;
        ensure!(warning.contains("key"), "the likely cause is not named: {warning}");
        Ok(())
    };
    eventually(DEATH, warned).await?;
    assert_eq!(n1.admin.workers().await?.len(), 1, "nobody joined");
    world.passed()
}
