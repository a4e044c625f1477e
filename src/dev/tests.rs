//! The plan of a dev mesh, the sample services, and waiting.

use anyhow::anyhow;
use bytes::Bytes;
use http::Method;
use serde_json::Value;

use super::client::Client;
use super::plan::plan;
use super::services::{Kind, Sample};
use super::wait::eventually;
use crate::time::Duration;

#[test]
fn every_plan_has_the_promised_services() {
    for nodes in 1..=9 {
        let plan = plan(nodes);
        let count = |kind| plan.iter().filter(|node| node.services.iter().any(|it| it.kind == kind)).count();
        assert_eq!((count(Kind::Echo), count(Kind::Upload), count(Kind::Rag)), (nodes, nodes.min(2), 1));
        let mut versions: Vec<_> = plan.iter().map(|node| node.services[0].version).collect();
        versions.sort_unstable();
        versions.dedup();
        assert_eq!(versions.len(), nodes.min(2), "versions of echo with {nodes} nodes");
        assert_eq!(plan.iter().filter(|node| node.tier == Some(1)).count(), 1, "one GPU worker");
    }
}

#[tokio::test]
async fn upload_counts_and_hashes_what_it_gets() -> anyhow::Result<()> {
    let sample = Sample::start(Kind::Upload, "n1", "1.2.3").await?;
    let client = Client::new();
    let body = Bytes::from(vec![7; 300_000]);
    let answer = client.send(Method::POST, &format!("{}/a", sample.url()), &[], body.clone()).await?;
    let said: Value = answer.json()?;
    assert_eq!(said["bytes"], 300_000);
    assert_eq!(said["blake3"], blake3::hash(&body).to_hex().as_str());
    assert_eq!((said["node"].as_str(), said["version"].as_str()), (Some("n1"), Some("1.2.3")));

    sample.set_version("2.0.0");
    let health: Value = client.get(&format!("{}/health", sample.url())).await?.json()?;
    assert_eq!(health["version"], "2.0.0");
    assert_eq!(sample.served(), 1, "health checks are not counted");
    Ok(())
}

#[tokio::test]
async fn a_dropped_service_is_gone_with_its_connections() -> anyhow::Result<()> {
    let sample = Sample::start(Kind::Echo, "n1", "1").await?;
    let (client, url) = (Client::new(), sample.url());
    client.get(&url).await?;
    drop(sample);
    let refused = async || match client.get(&url).await {
        Ok(answer) => Err(anyhow!("still {}", answer.status)),
        Err(_) => Ok(()),
    };
    eventually(Duration::from_secs(5), refused).await?;
    Ok(())
}

#[tokio::test]
async fn waiting_in_vain_says_why() {
    let never = async || Err::<(), _>(anyhow!("the moon is not full"));
    let error = eventually(Duration::from_millis(30), never).await.unwrap_err();
    assert_eq!(format!("{error:#}"), "not within 0.03 s: the moon is not full");
}
