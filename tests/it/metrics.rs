//! What a node tells Prometheus of its traffic.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::Method;
use meshnode::dev::services::{Kind, Sample};
use serde_json::Value;

use crate::support::{Peer, SOON, World, eventually, one_mesh};

/// The value of the one line that begins with this name and these labels.
async fn read(peer: &Peer, series: &str) -> anyhow::Result<f64> {
    let answer = world_get(peer).await?;
    let line = answer.lines().find(|line| line.starts_with(series) && line[series.len()..].starts_with(' '));
    let line = line.with_context(|| format!("no {series} in\n{answer}"))?;
    Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
}

async fn world_get(peer: &Peer) -> anyhow::Result<String> {
    let answer = peer.client().get(&format!("{}/metrics", peer.node.ready().admin)).await?;
    Ok(String::from_utf8(answer.body.to_vec())?)
}

#[tokio::test]
async fn traffic_moves_the_metrics_of_its_instance() -> anyhow::Result<()> {
    let world = World::new()?;
    let upload = Sample::start(Kind::Upload, "n2", "1").await?;
    let n1 = world.node("n1").start().await?;
    let n2 = world.node("n2").join(&n1).service(&upload).start().await?;
    one_mesh(&[&n1, &n2]).await?;
    n1.sees_healthy("upload", 1, SOON).await?;
    for _ in 0..5 {
        let url = n1.url("upload", "files/a");
        let answer = world.client.send(Method::POST, &url, &[], Bytes::from(vec![b'x'; 1000])).await?;
        ensure!(answer.status.is_success(), "{}", answer.text());
    }
    n1.get("nobody", "").await?;

    let of = format!("service=\"upload\",worker=\"{}\"", n2.id());
    let text = world_get(&n1).await?;
    let succeeded =
        text.lines().filter(|it| it.starts_with(&format!("meshnode_requests_total{{{of},code=\"20")));
    ensure!(succeeded.count() == 1, "{text}");
    let moved = async || {
        for (series, least) in [
            (format!("meshnode_request_duration_seconds_count{{{of}}}"), 5.0),
            (format!("meshnode_request_bytes_total{{{of}}}"), 5000.0),
            (format!("meshnode_response_bytes_total{{{of}}}"), 5.0),
            ("meshnode_requests_total{service=\"\",worker=\"\",code=\"503\"}".to_owned(), 1.0),
            ("meshnode_instances{service=\"upload\",health=\"healthy\"}".to_owned(), 1.0),
            ("meshnode_connections{listener=\"ingress\"}".to_owned(), 1.0),
            ("meshnode_connections_opened_total{listener=\"ingress\"}".to_owned(), 1.0),
        ] {
            let value = read(&n1, &series).await?;
            ensure!(value >= least, "{series} is {value}");
        }
        let in_flight = read(&n1, &format!("meshnode_requests_in_flight{{{of}}}")).await?;
        ensure!(in_flight == 0.0, "{in_flight} are still in flight");
        Ok(())
    };
    eventually(SOON, moved).await?;
    ensure!(read(&n1, &format!("meshnode_instance_ejected{{{of}}}")).await? == 0.0);
    ensure!(read(&n2, "meshnode_service_in_flight{service=\"upload\"}").await? == 0.0);
    ensure!(read(&n2, "meshnode_service_waiting{service=\"upload\"}").await? == 0.0);
    ensure!(world_get(&n1).await?.contains("meshnode_build_info{version=\""));

    let services: Value = n1.admin.get_json("/api/admin/services").await?;
    let instance = &services["upload"]["workers"][0];
    ensure!(instance["latency_ms"].as_f64().is_some_and(|latency| latency > 0.0), "{instance}");
    ensure!(instance["ejected"] == false && instance["reason"].is_null(), "{instance}");
    world.passed()
}
