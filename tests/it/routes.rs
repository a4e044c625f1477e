//! Routes: one operator's rule holds at every entry, a contradiction is shown, and a pick can be explained.

use anyhow::ensure;
use bytes::Bytes;
use http::Method;
use meshnode::dev::services::{Kind, Sample};

use crate::support::{Peer, SOON, World, eventually, one_mesh};

/// A configuration with an `echo`, and a route that gives versions 2 so many percent.
fn configuration(sample: &Sample, rev: u32, percent: u32) -> String {
    format!(
        "[[service]]\nname = \"echo\"\nurl = \"{}\"\n\n[[route]]\nservice = \"echo\"\nrev = {rev}\n\
         split = [{{ version = \"^2\", percent = {percent} }}]\n",
        sample.url()
    )
}

/// Waits until each of the nodes says that this route rules, and whether it is contradicted.
async fn ruled(nodes: &[&Peer], rev: u64, percent: u8, conflict: bool) -> anyhow::Result<()> {
    for node in nodes {
        let seen = async || {
            let echo = node.admin.services().await?.remove("echo").unwrap_or_default();
            let route = echo.route.clone().map(|route| (route.rev, route.split[0].percent));
            ensure!(route == Some((rev, percent)), "{}: {echo:?}", node.name);
            ensure!(echo.route_conflict == conflict, "{}: {echo:?}", node.name);
            let counted = node.metric("meshnode_route_conflicts", "").await?;
            ensure!((counted > 0.0) == conflict, "{}: {counted} conflicts", node.name);
            Ok(())
        };
        eventually(SOON, seen).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_route_rules_at_every_entry_and_a_contradiction_is_shown() -> anyhow::Result<()> {
    let world = World::new()?;
    let (one, two) =
        (Sample::start(Kind::Echo, "n1", "1.0.0").await?, Sample::start(Kind::Echo, "n2", "2.0.0").await?);
    let node = |name: &str, text: &str| -> anyhow::Result<_> {
        let file = world.write(&format!("{name}.toml"), text)?;
        Ok(world.node(name).arg("--config", &file.display().to_string()))
    };
    let n1 = node("n1", &configuration(&one, 1, 0))?.start().await?;
    let n2 = node("n2", &configuration(&two, 0, 50))?.join(&n1).start().await?;
    one_mesh(&[&n1, &n2]).await?;
    n1.sees_healthy("echo", 2, SOON).await?;
    n2.sees_healthy("echo", 2, SOON).await?;

    ruled(&[&n1, &n2], 1, 0, false).await?;
    for entry in [&n1, &n2] {
        for _ in 0..10 {
            let headers = [("x-mesh-explain", "1")];
            let answer =
                world.client.send(Method::GET, &entry.url("echo", ""), &headers, Bytes::new()).await?;
            assert_eq!(answer.header("x-mesh-worker"), n1.id(), "no share for version 2");
            let explained = answer.header("x-mesh-explain");
            assert!(explained.starts_with(&format!("picked={} score=", n1.id())), "{explained}");
            assert!(explained.ends_with(&format!(" rejected={}:version_mismatch", n2.id())), "{explained}");
        }
    }

    world.write("n2.toml", &configuration(&two, 1, 100))?;
    n2.reload()?;
    let winner = if n1.id() > n2.id() { 0 } else { 100 };
    // Base58 keeps the order of keys of the same length.
    ruled(&[&n1, &n2], 1, winner, true).await?;

    world.write("n2.toml", &configuration(&two, 2, 100))?;
    n2.reload()?;
    ruled(&[&n1, &n2], 2, 100, false).await?;
    for entry in [&n1, &n2] {
        assert_eq!(entry.get("echo", "").await?.header("x-mesh-worker"), n2.id());
    }
    world.passed()
}
