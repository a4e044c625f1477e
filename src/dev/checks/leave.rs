//! A node that leaves with SIGTERM is gone from the others' registry at once.

use anyhow::{Context, ensure};

use super::LEAVE_DEADLINE;
use crate::dev::mesh::LocalMesh;
use crate::dev::wait::eventually;
use crate::view::Status;

pub(super) async fn gone(mesh: &mut LocalMesh, leaver: usize) -> anyhow::Result<String> {
    let id = mesh.members[leaver].ready()?.worker_id;
    let leaving = mesh.terminate(leaver)?;
    let observers = mesh.others(leaver).into_iter().map(async |observer| {
        let (admin, observer) = (mesh.admin(observer)?, &mesh.members[observer].plan.name);
        let left = async || {
            let workers = admin.workers().await?;
            let status = workers.iter().find(|worker| worker.worker_id == id).map(|it| it.status);
            ensure!(
                matches!(status, None | Some(Status::Left)),
                "{observer} holds it {}",
                status.map_or("nowhere", Status::as_str)
            );
            let services = admin.services().await?;
            let listed = services.values().flat_map(|it| &it.workers).any(|it| it.worker_id == id);
            ensure!(!listed, "{observer} still lists its services");
            Ok(())
        };
        let ((), took) = eventually(LEAVE_DEADLINE, left).await?;
        anyhow::Ok(format!("{observer} after {} ms", took.as_millis()))
    });
    // The process must be waited for at the same time: it may not be gone before the others know.
    let (seen, status) = tokio::join!(futures_util::future::try_join_all(observers), leaving);
    let (seen, status) = (seen?, status.context("the process")?);
    ensure!(status.success(), "the process ended with {status}");
    Ok(format!("{} got SIGTERM; gone at {}", mesh.members[leaver].plan.name, seen.join(", ")))
}
