//! A node that was killed comes back as the same worker.

use anyhow::{Context, ensure};

use super::JOIN_DEADLINE;
use crate::dev::mesh::LocalMesh;
use crate::dev::wait::eventually;

pub(super) async fn same_worker(mesh: &mut LocalMesh, index: usize) -> anyhow::Result<String> {
    let before = mesh.members[index].ready()?.worker_id;
    let observer = *mesh.others(index).first().context("no other node runs")?;
    let epoch_of = async |mesh: &LocalMesh| {
        let workers = mesh.admin(observer)?.workers().await?;
        let known: Vec<_> =
            workers.into_iter().filter(|it| it.name == mesh.members[index].plan.name).collect();
        ensure!(known.len() == 1, "{} workers have its name", known.len());
        ensure!(known[0].worker_id == before, "it is {} now", known[0].worker_id);
        Ok(known[0].epoch)
    };
    let epoch_before = epoch_of(mesh).await?;

    mesh.start(index).await?;
    let (_, took) = eventually(JOIN_DEADLINE, async || mesh.is_formed().await).await?;
    let epoch = epoch_of(mesh).await?;
    ensure!(mesh.members[index].ready()?.worker_id == before, "its worker_id changed");
    ensure!(epoch > epoch_before, "its epoch went from {epoch_before} to {epoch}");
    Ok(format!(
        "{} is one entry with the same worker_id, epoch {epoch_before} → {epoch}; the mesh was whole {} ms after it served",
        mesh.members[index].plan.name,
        took.as_millis()
    ))
}
