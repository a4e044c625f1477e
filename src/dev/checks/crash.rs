//! A node is killed with SIGKILL: the others drop it, and say what is left.

use anyhow::{Context, ensure};
use http::StatusCode;
use serde_json::Value;

use super::DEATH_DEADLINE;
use crate::clock::Clock;
use crate::dev::mesh::LocalMesh;
use crate::dev::wait::eventually;
use crate::time::Instant;

/// Kills the node and waits until no other lists an instance on it.
pub(super) async fn dropped(mesh: &mut LocalMesh, victim: usize) -> anyhow::Result<String> {
    let clock = Clock::start();
    mesh.kill(victim).await?;
    let (name, id) = (&mesh.members[victim].plan.name, mesh.members[victim].ready()?.worker_id);
    let observers = mesh.others(victim).into_iter().map(async |observer| {
        let (admin, observer) = (mesh.admin(observer)?, &mesh.members[observer].plan.name);
        let gone = async || {
            let services = admin.services().await?;
            let listed = services.iter().filter(|(_, it)| it.workers.iter().any(|it| it.worker_id == id));
            let listed: Vec<&str> = listed.map(|(service, _)| service.as_str()).collect();
            ensure!(listed.is_empty(), "{observer} still lists {} on {name}", listed.join(", "));
            Ok(())
        };
        eventually(DEATH_DEADLINE, gone).await?;
        let seconds = clock.now().since(Instant::ORIGIN).as_secs_f64();
        anyhow::Ok(format!("{observer} after {seconds:.1} s"))
    });
    let seen = futures_util::future::try_join_all(observers).await?;
    Ok(format!("{name} got SIGKILL; dropped by {}", seen.join(", ")))
}

/// Asks every running node for `rag`, which nobody runs now.
pub(super) async fn explained(mesh: &LocalMesh, victim: usize) -> anyhow::Result<String> {
    let dead = mesh.members[victim].ready()?.worker_id.to_string();
    let mut seen = Vec::new();
    for entry in mesh.others(victim) {
        let node = &mesh.members[entry];
        let answer = mesh.client.get(&node.service_url("rag", "query")?).await?;
        let context = || format!("{} answers {} {}", node.plan.name, answer.status, answer.text());
        ensure!(answer.status == StatusCode::SERVICE_UNAVAILABLE, context());
        ensure!(!answer.header("retry-after").is_empty(), "no Retry-After: {}", context());
        let body: Value = answer.json()?;
        let available: Vec<&str> =
            body["available_services"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        ensure!(available.contains(&"echo") && available.contains(&"upload"), context());
        ensure!(!available.contains(&"rag"), context());
        let instances = body["instances"].as_array().with_context(context)?;
        let reason = instances.iter().find(|it| it["worker_id"] == *dead).map(|it| &it["reason"]);
        let reason = reason.and_then(Value::as_str).with_context(context)?;
        seen.push(format!(
            "{}: {} is {reason}, available {}",
            node.plan.name,
            mesh.members[victim].plan.name,
            available.join(", ")
        ));
    }
    Ok(seen.join("; "))
}
