//! One leader on which all nodes agree.

use super::JOIN_DEADLINE;
use crate::dev::mesh::LocalMesh;
use crate::dev::wait::eventually;

pub(super) async fn one_leader(mesh: &LocalMesh) -> anyhow::Result<String> {
    let (formed, _) = eventually(JOIN_DEADLINE, async || mesh.is_formed().await).await?;
    let (leader, nodes) = (mesh.name_of(formed.leader), mesh.running().len());
    Ok(format!("{leader} leads in term {}, on the word of {nodes} of {nodes}", formed.term))
}
