//! The commands that ask a running node.

use meshnode::dev::services::{Kind, Sample};
use serde_json::Value;

use crate::support::{SOON, World, meshnode, one_mesh};

#[tokio::test]
async fn the_commands_show_what_the_node_knows() -> anyhow::Result<()> {
    let world = World::new()?;
    let echo = Sample::start(Kind::Echo, "n1", "1.4.2").await?;
    let n1 = world.node("n1").service(&echo).start().await?;
    one_mesh(&[&n1]).await?;
    let n2 = world.node("n2").join(&n1).start().await?;
    one_mesh(&[&n1, &n2]).await?;
    n2.sees_healthy("echo", 1, SOON).await?;

    let admin = &n2.node.ready().admin;
    for (command, shown) in
        [("members", ["n1", "alive"]), ("services", ["echo", "1.4.2"]), ("leader", ["n1", "term"])]
    {
        let ended = meshnode(&[command, "--admin", admin], &[]).await?;
        assert_eq!(ended.code, Some(0), "{command}: {}", ended.stderr);
        for word in shown {
            assert!(ended.stdout.contains(word), "{command} does not show {word}:\n{}", ended.stdout);
        }
    }
    let ended = meshnode(&["members", "--json", "--admin", admin], &[]).await?;
    let members: Vec<Value> = serde_json::from_str(&ended.stdout)?;
    assert_eq!(members.len(), 2, "{members:?}");
    let ended = meshnode(&["why", n1.id(), "--admin", admin], &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    world.passed()
}

#[tokio::test]
async fn a_command_without_a_node_says_where_it_looked() -> anyhow::Result<()> {
    // A port that was free a moment ago.
    let addr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let ended = meshnode(&["members", "--admin", &format!("http://{addr}")], &[]).await?;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains(&addr.to_string()), "{}", ended.stderr);
    Ok(())
}

#[tokio::test]
async fn keygen_prints_a_key_that_a_node_accepts() -> anyhow::Result<()> {
    let world = World::new()?;
    let ended = meshnode(&["keygen"], &[]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    world.write("generated.key", &ended.stdout)?;
    let n1 = world.node("n1").key("generated.key").start().await?;
    one_mesh(&[&n1]).await?;
    world.passed()
}
