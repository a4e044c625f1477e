//! What `meshnode dev --for …` checks: each claim is tried on the real mesh, and what was seen is printed.

mod crash;
mod election;
mod leave;
mod restart;
mod routing;
mod store;
mod traffic;

use super::mesh::LocalMesh;
use super::report::Report;
use crate::time::Duration;
use traffic::Traffic;

/// Until a silent node is held dead: a ping period or two, and the suspicion's minimum of four periods.
const DEATH_DEADLINE: Duration = Duration::from_secs(12);
/// Until a started node is part of the mesh again.
const JOIN_DEADLINE: Duration = Duration::from_secs(8);
/// Until a leaving node is gone from the others' registry.
const LEAVE_DEADLINE: Duration = Duration::from_secs(1);
/// Until the store follows a change.
const STORE_DEADLINE: Duration = Duration::from_secs(5);

/// Runs all checks that make sense with this number of nodes, in an order in which each finds the mesh whole.
pub(super) async fn run(mesh: &mut LocalMesh, report: &mut Report) {
    let logs = mesh.dir().to_owned();
    report.check("one leader on which all nodes agree", &logs, election::one_leader(mesh)).await;
    if mesh.members.len() > 1 {
        report
            .check("a request at each node reaches a service elsewhere", &logs, routing::elsewhere(mesh))
            .await;
        let gpu = mesh.gpu();
        let upload = Traffic::start(mesh, "upload", gpu);
        let killed = async {
            upload.flows().await?;
            crash::dropped(mesh, gpu).await
        };
        report.check("the node of rag is killed and the others drop it", &logs, killed).await;
        report.check("rag then answers 503 with what is available", &logs, crash::explained(mesh, gpu)).await;
        report.check("upload lost no request meanwhile", &logs, upload.lossless()).await;
        report.check("the restarted node is the same worker", &logs, restart::same_worker(mesh, gpu)).await;
        let leaver = if gpu == 1 { gpu } else { 1 };
        report.check("a node that leaves is gone within 1 s", &logs, leave::gone(mesh, leaver)).await;
    }
    report.check("the store holds one true summary", &logs, store::is_true(mesh)).await;
}
