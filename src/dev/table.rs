//! The table of nodes and the commands that `meshnode dev` shows once its mesh stands.

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;

use super::mesh::{Formed, LocalMesh};
use crate::id::NodeId;

/// One row a node: who it is, what it runs, where it answers.
pub(super) fn nodes(mesh: &LocalMesh, formed: &Formed) -> anyhow::Result<String> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["node", "worker", "tier", "zone", "leader", "services", "ingress", "admin"]);
    for member in &mesh.members {
        let ready = member.ready()?;
        let worker = formed.workers.iter().find(|worker| worker.worker_id == ready.worker_id);
        let tier = worker.map(|worker| worker.tier.to_string()).unwrap_or_default();
        let leads =
            if ready.worker_id == formed.leader { format!("term {}", formed.term) } else { String::new() };
        let services: Vec<String> = member
            .services
            .iter()
            .map(|sample| format!("{} {}", sample.kind().name(), sample.version()))
            .collect();
        table.add_row([
            member.plan.name.as_str(),
            &short(ready.worker_id),
            &tier,
            &member.plan.zone,
            &leads,
            &services.join("\n"),
            &ready.ingress,
            &ready.admin,
        ]);
    }
    Ok(table.to_string())
}

/// Three commands to paste; from three nodes on, the services run on other nodes than the one that is asked.
pub(super) fn commands(mesh: &LocalMesh) -> anyhow::Result<[String; 3]> {
    let first = &mesh.members[0];
    Ok([
        format!("curl '{}?q=mesh'", first.service_url("rag", "query")?),
        format!("curl --data-binary 'hello' '{}'", first.service_url("upload", "files/hello.txt")?),
        format!("curl '{}/api/admin/services'", first.ready()?.admin),
    ])
}

/// The end of an identity: all of them begin alike.
fn short(worker_id: NodeId) -> String {
    let worker_id = worker_id.to_string();
    let from = worker_id.len().saturating_sub(8);
    format!("…{}", worker_id.get(from..).unwrap_or(&worker_id))
}
