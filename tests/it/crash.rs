//! What becomes of a node, or of a service, that dies without a word.

use anyhow::ensure;
use http::{Method, StatusCode};
use meshnode::dev::services::{Kind, Sample};
use meshnode::manifest::Health;
use meshnode::view::Status;
use serde_json::Value;

use crate::support::{DEATH, SOON, World, eventually, one_mesh};

#[tokio::test]
async fn a_killed_node_s_services_leave_every_registry() -> anyhow::Result<()> {
    let world = World::new()?;
    let rag = Sample::start(Kind::Rag, "n3", "1.0.0").await?;
    let n1 = world.node("n1").start().await?;
    let n2 = world.node("n2").join(&n1).start().await?;
    let n3 = world.node("n3").join(&n1).service(&rag).start().await?;
    one_mesh(&[&n1, &n2, &n3]).await?;
    for observer in [&n1, &n2] {
        observer.sees_healthy("rag", 1, SOON).await?;
    }

    let id = n3.id().to_owned();
    n3.kill().await?;
    for observer in [&n1, &n2] {
        observer.sees_healthy("rag", 0, DEATH).await?;
        assert_eq!(observer.worker(&id).await?.status, Status::Dead);
        let answer = observer.get("rag", "query").await?;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
        assert!(!answer.header("retry-after").is_empty());
        let body: Value = answer.json()?;
        assert_eq!(body["instances"][0]["worker_id"], id, "{body}");
        assert_eq!(body["instances"][0]["reason"], "dead", "{body}");
    }
    world.passed()
}

#[tokio::test]
async fn requests_keep_succeeding_when_one_of_two_upload_nodes_is_killed() -> anyhow::Result<()> {
    let world = World::new()?;
    let (a, b) =
        (Sample::start(Kind::Upload, "n2", "1").await?, Sample::start(Kind::Upload, "n3", "1").await?);
    let n1 = world.node("n1").start().await?;
    let n2 = world.node("n2").join(&n1).service(&a).start().await?;
    let n3 = world.node("n3").join(&n1).service(&b).start().await?;
    one_mesh(&[&n1, &n2, &n3]).await?;
    n1.sees_healthy("upload", 2, SOON).await?;

    // One after the other, so that no POST is in flight at the moment of the kill: that one could not be
    // repeated safely.
    let body = vec![b'x'; 100_000];
    let upload = async || {
        let health = n1.get("upload", "health").await?;
        ensure!(health.status == StatusCode::OK, "GET: {} {}", health.status, health.text());
        let answer = world.client.send(Method::POST, &n1.url("upload", "f"), &[], body.clone()).await?;
        ensure!(answer.status == StatusCode::OK, "POST: {} {}", answer.status, answer.text());
        ensure!(answer.json::<Value>()?["bytes"] == 100_000, "{}", answer.text());
        anyhow::Ok(())
    };
    while a.served() == 0 || b.served() == 0 {
        upload().await?;
    }
    let (dead, served) = (n2.id().to_owned(), b.served());
    n2.kill().await?;
    while n1.worker(&dead).await?.status != Status::Dead {
        upload().await?;
    }
    upload().await?;
    assert!(b.served() > served, "the other node took over");
    world.passed()
}

#[tokio::test]
async fn a_crashed_service_becomes_unhealthy_everywhere_and_gets_no_traffic() -> anyhow::Result<()> {
    let world = World::new()?;
    let (a, b) = (Sample::start(Kind::Echo, "n1", "1").await?, Sample::start(Kind::Echo, "n2", "1").await?);
    let n1 = world.node("n1").service(&a).start().await?;
    let n2 = world.node("n2").join(&n1).service(&b).start().await?;
    let n3 = world.node("n3").join(&n1).start().await?;
    one_mesh(&[&n1, &n2, &n3]).await?;
    n3.sees_healthy("echo", 2, SOON).await?;

    drop(b);
    for observer in [&n1, &n2, &n3] {
        let unhealthy = async || {
            let instances = observer.instances("echo").await?;
            let health = instances.iter().find(|it| it.worker_id.to_string() == n2.id()).map(|it| it.health);
            ensure!(health == Some(Health::Unhealthy), "{} says {health:?}", observer.name);
            Ok(())
        };
        eventually(SOON, unhealthy).await?;
    }
    assert_eq!(n1.worker(n2.id()).await?.status, Status::Alive, "its node lives");
    for _ in 0..20 {
        let answer = n3.get("echo", "").await?;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(answer.header("x-mesh-worker"), n1.id());
        assert_eq!(answer.header("x-mesh-attempts"), "1", "nobody was tried in vain");
    }
    world.passed()
}
