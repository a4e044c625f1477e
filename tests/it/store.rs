//! The summary in a store that is not a file.

use anyhow::ensure;
use http::StatusCode;
use meshnode::dev::services::{Kind, Sample};
use serde_json::Value;

use crate::support::tls::Authority;
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
async fn the_summary_goes_over_tls_to_an_api_whose_authority_the_machine_trusts() -> anyhow::Result<()> {
    let world = World::new()?;
    let authority = Authority::new()?;
    let trusted = authority.write(&world)?.display().to_string();
    let stranger = Authority::new()?;
    for (api, writes) in [(&authority, 1), (&stranger, 0)] {
        let kv = FakeKv::start_tls(api).await?;
        let echo = Sample::start(Kind::Echo, "n1", "1.0.0").await?;
        let node = world.node(&format!("n{writes}")).service(&echo);
        let node = on_cloudflare(node, kv.url()).env("SSL_CERT_FILE", &trusted).start().await?;
        let settled = async || {
            let leader: Value = node.admin.get_json("/api/admin/leader").await?;
            let error = leader["last_error"].as_str().unwrap_or_default();
            ensure!(kv.writes().len() == writes && leader["store_ok"] == (writes == 1), "{leader}");
            ensure!(writes == 1 || error.contains("invalid peer certificate"), "{leader}");
            Ok(())
        };
        eventually(SOON, settled).await?;
        if writes == 0 {
            assert_eq!(kv.reads(), 0, "a stranger got the token");
        }
    }
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
    let metrics = n2.client().get(&format!("{}/metrics", n2.node.ready().admin)).await?;
    let metrics = String::from_utf8(metrics.body.to_vec())?;
    ensure!(metrics.contains("\nmeshnode_store_ok 0"), "{metrics}");
    ensure!(metrics.contains("\nmeshnode_summary_last_error{error=\""), "{metrics}");
    let log = std::fs::read_to_string(n2.node.log())?;
    assert_eq!(log.matches("the summary's store fails").count(), 1, "{log}");
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
