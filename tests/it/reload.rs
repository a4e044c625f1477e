//! Changes to a running node.

use anyhow::{Context, ensure};
use meshnode::dev::services::{Kind, Sample};

use crate::support::edge::services as signed;
use crate::support::{SOON, World, eventually, one_mesh};

#[tokio::test]
async fn sighup_reads_the_services_again() -> anyhow::Result<()> {
    let world = World::new()?;
    let (echo, rag) =
        (Sample::start(Kind::Echo, "n1", "1").await?, Sample::start(Kind::Rag, "n1", "1").await?);
    let service = |sample: &Sample| {
        format!("[[service]]\nname = \"{}\"\nurl = \"{}\"\n", sample.kind().name(), sample.url())
    };
    let file = world.write("n1.toml", &service(&echo))?;
    let n1 = world.node("n1").arg("--config", &file.display().to_string()).start().await?;
    let n2 = world.node("n2").join(&n1).start().await?;
    one_mesh(&[&n1, &n2]).await?;
    n2.sees_healthy("echo", 1, SOON).await?;

    world.write("n1.toml", &format!("{}{}", service(&echo), service(&rag)))?;
    n1.reload()?;
    n2.sees_healthy("rag", 1, SOON).await?;

    // A file that is wrong changes nothing.
    world.write("n1.toml", "[[service]]\nname = \"NO\"\n")?;
    n1.reload()?;
    world.write("n1.toml", &service(&rag))?;
    n1.reload()?;
    n2.sees_healthy("echo", 0, SOON).await?;
    n2.sees_healthy("rag", 1, SOON).await?;
    world.passed()
}

#[tokio::test]
async fn sighup_reads_the_secrets_of_edges_again() -> anyhow::Result<()> {
    const OLD: (&str, &[u8], &str) = ("old", b"0123456789abcdef", "old:MDEyMzQ1Njc4OWFiY2RlZg==\n");
    const NEW: (&str, &[u8], &str) = ("new", b"fedcba9876543210", "new:ZmVkY2JhOTg3NjU0MzIxMA==\n");
    let world = World::new()?;
    let file = world.write("secrets", OLD.2)?.display().to_string();
    let setup = world.node("n1").arg("--edge-listen", "127.0.0.1:0").arg("--edge-secret-file", &file);
    let node = setup.start().await?;
    let edge = node.node.ready().edge.clone().context("no edge listener")?;
    ensure!(signed(&edge, OLD.0, OLD.1, "1").await?.0 == 200);
    ensure!(signed(&edge, NEW.0, NEW.1, "2").await?.0 == 403);

    // The nonces of refused requests were never used.
    world.write("secrets", NEW.2)?;
    node.reload()?;
    let mut nonce = 10;
    eventually(SOON, async || {
        nonce += 1;
        ensure!(
            signed(&edge, NEW.0, NEW.1, &nonce.to_string()).await?.0 == 200,
            "the new secret does not hold yet"
        );
        Ok(())
    })
    .await?;
    ensure!(signed(&edge, OLD.0, OLD.1, "3").await?.0 == 403);
    world.passed()
}
