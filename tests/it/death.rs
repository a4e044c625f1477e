//! How the death of a process is known: at once when it is gone, in steps when it is only frozen.

use anyhow::{bail, ensure};
use meshnode::admin::model::Why;
use meshnode::view::Status;
use rustix::process::Signal;

use crate::support::{DEATH, Peer, SOON, World, eventually, one_mesh};

#[tokio::test]
async fn a_killed_process_is_found_gone_by_its_watchers_and_no_timer_runs() -> anyhow::Result<()> {
    let world = World::new()?;
    let [n1, n2, n3, n4] = watched_mesh(&world).await?;
    let (id, survivors) = (n4.id().to_owned(), [&n1, &n2, &n3]);
    n4.kill().await?;
    eventually(DEATH, async || all_see(&survivors, &id, Status::Dead).await).await?;
    let story = story(&survivors, &id).await?;
    let said = |text: &str| story.lines().filter(|line| line.contains(text)).count();
    assert!(said("its host refuses connections where it was") >= 2, "two watchers must agree:\n{story}");
    assert_eq!(said("the suspicion timer ran out"), 0, "{story}");
    world.passed()
}

#[tokio::test]
async fn a_frozen_process_is_unroutable_then_dead_and_alive_again_when_it_goes_on() -> anyhow::Result<()> {
    let world = World::new()?;
    let [n1, n2, n3, n4] = watched_mesh(&world).await?;
    let (id, survivors) = (n4.id(), [&n1, &n2, &n3]);

    n4.node.signal(Signal::STOP)?;
    let avoided = async || {
        for survivor in survivors {
            let worker = survivor.worker(id).await?;
            ensure!(worker.unroutable, "{} sees it {:?}", survivor.name, worker.status);
            ensure!(worker.status != Status::Dead, "{} did not wait", survivor.name);
        }
        Ok(())
    };
    if let Err(error) = eventually(SOON, avoided).await {
        bail!("{error:#}\n{}", story(&survivors, id).await?);
    }
    eventually(DEATH, async || all_see(&survivors, id, Status::Dead).await).await?;

    n4.node.signal(Signal::CONT)?;
    let is_back = async || {
        all_see(&survivors, id, Status::Alive).await?;
        for survivor in survivors {
            ensure!(!survivor.worker(id).await?.unroutable, "{} does not route to it", survivor.name);
        }
        ensure!(n4.alive().await?.len() == 4, "it sees {:?}", n4.alive().await?);
        Ok(())
    };
    eventually(DEATH, is_back).await?;
    world.passed()
}

/// Four nodes that are one mesh, each of which watches all others over a link.
async fn watched_mesh(world: &World) -> anyhow::Result<[Peer; 4]> {
    let n1 = world.node("n1").start().await?;
    let n2 = world.node("n2").join(&n1).start().await?;
    let n3 = world.node("n3").join(&n1).start().await?;
    let n4 = world.node("n4").join(&n1).start().await?;
    one_mesh(&[&n1, &n2, &n3, &n4]).await?;
    let are_watched = async || {
        for peer in [&n1, &n2, &n3, &n4] {
            let links = peer.metric("meshnode_watch_links{", "dialled").await?;
            ensure!(links == 3.0, "{} watches {links}", peer.name);
        }
        Ok(())
    };
    eventually(SOON, are_watched).await?;
    Ok([n1, n2, n3, n4])
}

/// What the observers know of how it came.
async fn story(observers: &[&Peer], id: &str) -> anyhow::Result<String> {
    let mut story = String::new();
    for observer in observers {
        let why: Why = observer.admin.get_json(&format!("/api/admin/why/{id}")).await?;
        for line in why.evidence {
            story += &format!("{} {}: {}\n", line.at, observer.name, line.text);
        }
    }
    Ok(story)
}

async fn all_see(observers: &[&Peer], id: &str, status: Status) -> anyhow::Result<()> {
    for observer in observers {
        let seen = observer.worker(id).await?.status;
        ensure!(seen == status, "{} sees it {seen:?}", observer.name);
    }
    Ok(())
}
