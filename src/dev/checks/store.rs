//! The store holds one summary, and it was true when it was written.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::{JOIN_DEADLINE, STORE_DEADLINE};
use crate::clock;
use crate::dev::mesh::{CLUSTER, Formed, LocalMesh};
use crate::dev::wait::eventually;
use crate::id::NodeId;

/// The fields of the summary that are checked.
#[derive(Debug, Deserialize)]
struct Summary {
    v: u32,
    cluster: String,
    term: u64,
    seq: u64,
    at: String,
    by: NodeId,
    nodes: Vec<Entry>,
    heartbeat_leader: NodeId,
    workers: usize,
    services: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    id: NodeId,
    epoch: u64,
    unseen_since: Option<Value>,
}

pub(super) async fn is_true(mesh: &LocalMesh) -> anyhow::Result<String> {
    // The mesh is quiet now: what the store says of this moment can be compared with what all nodes say.
    let (formed, _) = eventually(JOIN_DEADLINE, async || mesh.is_formed().await).await?;
    let path = mesh.store();
    let read = async || {
        let text = tokio::fs::read(&path).await.with_context(|| format!("cannot read {}", path.display()))?;
        let summary: Summary = serde_json::from_slice(&text)
            .with_context(|| format!("not one summary: {}", String::from_utf8_lossy(&text)))?;
        compare(mesh, &formed, &summary)?;
        Ok(summary)
    };
    let (summary, _) = eventually(STORE_DEADLINE, read).await?;
    let unseen = summary.nodes.iter().filter(|entry| entry.unseen_since.is_some()).count();
    let listed: Vec<String> = summary.nodes.iter().map(|entry| mesh.name_of(entry.id)).collect();
    Ok(format!(
        "term {} seq {} at {} by {} lists {} ({unseen} unseen), {} workers, services {}",
        summary.term,
        summary.seq,
        summary.at,
        mesh.name_of(summary.by),
        listed.join(", "),
        summary.workers,
        summary.services.keys().cloned().collect::<Vec<_>>().join(", ")
    ))
}

fn compare(mesh: &LocalMesh, formed: &Formed, summary: &Summary) -> anyhow::Result<()> {
    let at = || format!("the summary of {}", summary.at);
    let names = |ids: &[NodeId]| ids.iter().map(|id| mesh.name_of(*id)).collect::<Vec<_>>().join(", ");
    ensure!(summary.v == 1 && summary.cluster == CLUSTER, "v {} of {}", summary.v, summary.cluster);
    let written: jiff::Timestamp = summary.at.parse().with_context(at)?;
    let lifetime = mesh.started.as_secs().cast_signed()..=clock::unix_now().as_secs().cast_signed();
    ensure!(lifetime.contains(&written.as_second()), "{} was not written by this mesh", at());
    let mut listed: Vec<NodeId> = Vec::new();
    for entry in summary.nodes.iter().filter(|entry| entry.unseen_since.is_none()) {
        let Some(worker) = formed.workers.iter().find(|worker| worker.worker_id == entry.id) else {
            bail!("{} lists {}, which nobody knows", at(), entry.id);
        };
        let name = &worker.name;
        ensure!(
            entry.epoch == worker.epoch,
            "{} has epoch {} of {name}, not {}",
            at(),
            entry.epoch,
            worker.epoch
        );
        listed.push(entry.id);
    }
    listed.sort_unstable();
    let running = mesh.running_ids()?;
    ensure!(listed == running, "{} lists {}, but {} live", at(), names(&listed), names(&running));
    for (role, id) in [("the leader", summary.heartbeat_leader), ("the writer", summary.by)] {
        let (said, seen) = (mesh.name_of(id), mesh.name_of(formed.leader));
        ensure!(id == formed.leader, "{}: {role} is {said}, but {seen} leads", at());
    }
    ensure!(summary.term == formed.term, "{} has term {}, not {}", at(), summary.term, formed.term);
    let kinds = mesh.running().into_iter().flat_map(|index| &mesh.members[index].services);
    let mut kinds: Vec<&str> = kinds.map(|sample| sample.kind().name()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let services: Vec<&str> = summary.services.keys().map(String::as_str).collect();
    ensure!(
        services == kinds,
        "{} lists the services {}, not {}",
        at(),
        services.join(", "),
        kinds.join(", ")
    );
    Ok(())
}
