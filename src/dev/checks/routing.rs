//! A request that enters at one node reaches a service that runs on another.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::clock::Clock;
use crate::dev::mesh::LocalMesh;
use crate::id::NodeId;
use crate::time::Instant;

pub(super) async fn elsewhere(mesh: &LocalMesh) -> anyhow::Result<String> {
    let mut seen = Vec::new();
    for entry in mesh.running() {
        seen.push(one(mesh, entry).await.with_context(|| format!("at {}", mesh.members[entry].plan.name))?);
    }
    Ok(seen.join(", "))
}

/// Asks for a service that the entry does not run; for `echo` on the next node when it runs them all.
async fn one(mesh: &LocalMesh, entry: usize) -> anyhow::Result<String> {
    let node = &mesh.members[entry];
    let missing = ["rag", "upload"].into_iter().find(|service| !node.runs(service));
    let next = mesh.members[(entry + 1) % mesh.members.len()].ready()?.worker_id.to_string();
    let (service, headers) = match missing {
        Some(service) => (service, vec![]),
        None => ("echo", vec![("x-mesh-worker", next.as_str())]),
    };
    let url = format!("{}?q=mesh", node.service_url(service, "query")?);
    let clock = Clock::start();
    let answer = mesh.client.send(Method::GET, &url, &headers, Bytes::new()).await?;
    let millis = clock.now().since(Instant::ORIGIN).as_millis();
    ensure!(answer.status == StatusCode::OK, "GET {url}: {} {}", answer.status, answer.text());

    let (worker, name) = (answer.header("x-mesh-worker"), &node.plan.name);
    let worker: NodeId = worker.parse()?;
    let served_by = mesh.name_of(worker);
    ensure!(worker != node.ready()?.worker_id, "{service} was served by {name} itself");
    let body: Value = answer.json()?;
    ensure!(body["node"] == *served_by, "{served_by} is said to have served, but the answer is {body}");
    Ok(format!("{name} → {service} on {served_by} ({millis} ms)"))
}
