//! One node is a mesh of one.

use anyhow::ensure;
use http::StatusCode;
use meshnode::dev::services::{Kind, Sample};
use serde_json::Value;

use crate::support::{SOON, World, eventually, one_mesh};

#[tokio::test]
async fn one_node_alone_serves_leads_and_writes() -> anyhow::Result<()> {
    let world = World::new()?;
    let echo = Sample::start(Kind::Echo, "n1", "1.0.0").await?;
    let n1 = world.node("n1").service(&echo).start().await?;
    assert_eq!(one_mesh(&[&n1]).await?, n1.id());
    n1.sees_healthy("echo", 1, SOON).await?;

    let answer = n1.get("echo", "a%2Fb/c?x=1&y=%20").await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.header("x-mesh-worker"), n1.id());
    let said: Value = answer.json()?;
    assert_eq!(said["path"], "/a%2Fb/c", "the path is passed on as raw bytes");
    assert_eq!(said["query"], "x=1&y=%20");

    let written = async || {
        let summary: Value = serde_json::from_slice(&std::fs::read(world.store())?)?;
        let entries = summary["nodes"].as_array().map(Vec::len);
        ensure!(summary["heartbeat_leader"] == n1.id() && summary["by"] == n1.id(), "{summary}");
        ensure!(summary["workers"] == 1 && entries == Some(1), "{summary}");
        ensure!(summary["services"]["echo"]["healthy"] == 1, "{summary}");
        Ok(())
    };
    eventually(SOON, written).await?;
    world.passed()
}

#[tokio::test]
async fn a_restart_keeps_the_worker_id_and_raises_the_epoch() -> anyhow::Result<()> {
    let world = World::new()?;
    let n1 = world.node("n1").start().await?;
    let setup = world.node("n2").join(&n1);
    let n2 = setup.start().await?;
    let id = n2.id().to_owned();
    one_mesh(&[&n1, &n2]).await?;
    let before = n1.worker(&id).await?.epoch;

    n2.kill().await?;
    // Both boots may fall into one second: the epoch must rise all the same.
    let n2 = setup.start().await?;
    assert_eq!(n2.id(), id);
    one_mesh(&[&n1, &n2]).await?;
    let workers = n1.admin.workers().await?;
    assert_eq!(workers.len(), 2, "a ghost: {workers:?}");
    let after = n1.worker(&id).await?.epoch;
    assert!(after > before, "{before} then {after}");
    world.passed()
}
