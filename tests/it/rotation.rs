//! The cluster's key is replaced while requests go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meshnode::dev::services::{Kind, Sample};
use meshnode::entropy;

use crate::support::{Peer, SOON, World, eventually, one_mesh};

/// Requests between two steps.
const BETWEEN: usize = 200;

/// Within this time after the last step, the last links under the removed key end, with requests on them.
const LINKS_END: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_in_three_steps_fails_no_request_and_shuts_the_old_key_out() -> anyhow::Result<()> {
    let world = World::new()?;
    let (old, new) = (STANDARD.encode(entropy::random::<32>()), STANDARD.encode(entropy::random::<32>()));
    let keys = |name: &str, keys: &[&str]| world.write(&format!("{name}.key"), &keys.join("\n"));
    for name in ["n1", "n2", "n3"] {
        keys(name, &[&old])?;
    }
    let echo = Sample::start(Kind::Echo, "n3", "1").await?;
    let n1 = world.node("n1").key("n1.key").start().await?;
    let n2 = world.node("n2").key("n2.key").join(&n1).start().await?;
    let n3 = world.node("n3").key("n3.key").join(&n1).service(&echo).start().await?;
    let mesh = [&n1, &n2, &n3];
    one_mesh(&mesh).await?;
    for entry in [&n1, &n2] {
        entry.sees_healthy("echo", 1, SOON).await?;
    }

    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = [&n1, &n2].map(|entry| tokio::spawn(ask_on(entry, &stop, &done))).into();
    let steps: [&[&str]; 3] = [&[&old, &new], &[&new, &old], &[&new]];
    for (step, ring) in steps.into_iter().enumerate() {
        for node in mesh {
            keys(&node.name, ring)?;
            node.reload()?;
            let log = node.node.log().to_owned();
            let reloaded = async || {
                let times = std::fs::read_to_string(&log)?.matches("cluster keys reloaded").count();
                ensure!(times == step + 1, "{} reloaded {times} times", node.name);
                Ok(())
            };
            eventually(SOON, reloaded).await?;
        }
        let before = done.load(Ordering::Relaxed);
        let going_on = async || {
            let since = done.load(Ordering::Relaxed) - before;
            ensure!(since >= BETWEEN, "only {since} requests since step {}", step + 1);
            Ok(())
        };
        eventually(SOON, going_on).await?;
    }
    tokio::time::sleep(LINKS_END).await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await??;
    }
    for node in mesh {
        for kind in ["suspect", "dead", "left"] {
            let events = node.metric("meshnode_events_total", &format!("kind=\"{kind}\"")).await?;
            ensure!(events == 0.0, "{} saw {events} members {kind}", node.name);
        }
    }

    keys("n4", &[&old])?;
    keys("n5", &[&new])?;
    let n4 = world.node("n4").key("n4.key").join(&n1).start().await?;
    let refused = async || {
        ensure!(n1.metric("meshnode_refused_total", "datagram_key").await? > 0.0, "n1 refused nothing");
        Ok(())
    };
    eventually(SOON, refused).await?;
    let n5 = world.node("n5").key("n5.key").join(&n1).start().await?;
    one_mesh(&[&n1, &n2, &n3, &n5]).await?;
    ensure!(!n1.alive().await?.contains(&n4.id().to_owned()), "the old key got in");
    world.passed()
}

/// Asks one after another, and counts; an answer other than 200 ends it.
fn ask_on(
    entry: &Peer,
    stop: &Arc<AtomicBool>,
    done: &Arc<AtomicUsize>,
) -> impl Future<Output = anyhow::Result<()>> + use<> {
    let (name, url) = (entry.name.clone(), entry.url("echo", "x"));
    let (client, stop, done) = (entry.client(), Arc::clone(stop), Arc::clone(done));
    async move {
        while !stop.load(Ordering::Relaxed) {
            let answer = client.get(&url).await.with_context(|| format!("a request at {name}"))?;
            ensure!(answer.status == 200, "{name} answered {}: {:?}", answer.status, answer.body);
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
