//! The summary in a store that is not a file.

use anyhow::ensure;
use http::StatusCode;
use meshnode::dev::services::{Kind, Sample};
use serde_json::Value;

use crate::support::{FakeKv, SOON, Setup, World, eventually, one_mesh};

#[tokio::test]
async fn the_first_summary_reaches_cloudflare_with_a_ttl_and_the_token() -> anyhow::Result<()> {
    let world = World::new()?;
    let kv = FakeKv::start().await?;
    let echo = Sample::start(Kind::Echo, "n1", "1.0.0").await?;
    let n1 = on_cloudflare(world.node("n1").service(&echo), kv.url()).start().await?;
    assert_eq!(one_mesh(&[&n1]).await?, n1.id());
    let n2 = on_cloudflare(world.node("n2").join(&n1), kv.url()).start().await?;
    one_mesh(&[&n1, &n2]).await?;

    let written = async || {
        ensure!(!kv.writes().is_empty(), "no write after {} reads", kv.reads());
        let leader: Value = n1.admin.get_json("/api/admin/leader").await?;
        ensure!(leader["writes_today"] == 1, "{leader}");
        Ok(leader)
    };
    let leader = eventually(SOON, written).await?;
    assert_eq!(leader["store_ok"], true, "{leader}");
    let writes = kv.writes();
    assert_eq!(writes.len(), 1, "{writes:?}");
    let write = &writes[0];
    assert_eq!(write.key, "mesh:v1:it");
    assert_eq!(write.expiration_ttl, 7 * 24 * 3600);
    assert_eq!(write.value["heartbeat_leader"], n1.id());
    assert_eq!(write.value["at"], "2026-11-23T10:10:00Z", "the store's clock counts, not the node's");
    assert_eq!(write.value["services"]["echo"]["total"], 1, "{}", write.value);
    let counted =
        write.value["writes"]["2026-11-23"].as_object().map(|by| by.values().cloned().collect::<Vec<_>>());
    assert_eq!(counted, Some(vec![Value::from(1)]), "the attempt is counted in the value");
    assert_eq!(kv.tokens(), ["Bearer secret-token"]);
    world.passed()
}

#[tokio::test]
async fn the_mesh_serves_on_when_its_store_refuses_the_token() -> anyhow::Result<()> {
    let kv = FakeKv::start().await?;
    kv.fail_with(StatusCode::FORBIDDEN);
    serves_on_without_store(kv.url()).await?;
    assert!(kv.writes().is_empty());
    Ok(())
}

#[tokio::test]
async fn the_mesh_serves_on_when_nobody_answers_for_its_store() -> anyhow::Result<()> {
    // A port that was free a moment ago.
    let addr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    serves_on_without_store(&format!("http://{addr}/client/v4")).await
}

async fn serves_on_without_store(api: &str) -> anyhow::Result<()> {
    let world = World::new()?;
    let echo = Sample::start(Kind::Echo, "n2", "1.0.0").await?;
    let n1 = on_cloudflare(world.node("n1"), api).start().await?;
    let n2 = on_cloudflare(world.node("n2").join(&n1).service(&echo), api).start().await?;
    n1.sees_healthy("echo", 1, SOON).await?;

    let said = async || {
        let leader: Value = n2.admin.get_json("/api/admin/leader").await?;
        ensure!(leader["store_ok"] == false && !leader["last_error"].is_null(), "{leader}");
        ensure!(leader["worker_id"].is_null(), "nobody may lead without a store: {leader}");
        Ok(())
    };
    eventually(SOON, said).await?;
    let answer = n1.get("echo", "").await?;
    assert_eq!((answer.status, answer.header("x-mesh-worker")), (StatusCode::OK, n2.id()));
    assert!(n1.admin.is_ready().await?);
    world.passed()
}

fn on_cloudflare<'a>(setup: Setup<'a>, api: &str) -> Setup<'a> {
    setup
        .store("cloudflare:account/namespace")
        .arg("--cloudflare-api", api)
        .arg("--store-staleness", "0s")
        .env("CLOUDFLARE_API_TOKEN", "secret-token")
}
