//! Changes to a running node.

use meshnode::dev::services::{Kind, Sample};

use crate::support::{SOON, World, one_mesh};

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
