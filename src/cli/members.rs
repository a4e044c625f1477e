//! `meshnode members`: the members of the mesh, as a table.

use jiff::Timestamp;

use super::table::{ago, now, or_dash, or_unknown, percent, rtt, short, table};
use crate::admin::model::{Worker, WorkerService};
use crate::manifest::Health;

const HEADER: [&str; 10] =
    ["NAME", "WORKER", "STATUS", "TIER", "ZONE", "ADDRESS", "RTT", "LOAD", "HEARD", "SERVICES"];

#[expect(clippy::ptr_arg, reason = "the type that the JSON is read into")]
pub(super) fn render(workers: &Vec<Worker>) -> String {
    at(workers, now())
}

/// The table as of `now`.
pub(super) fn at(workers: &[Worker], now: Timestamp) -> String {
    let mut workers: Vec<&Worker> = workers.iter().collect();
    workers.sort_by(|a, b| (&a.name, a.worker_id).cmp(&(&b.name, b.worker_id)));
    table(HEADER, workers.into_iter().map(|worker| row(worker, now)))
}

fn row(worker: &Worker, now: Timestamp) -> [String; 10] {
    [
        or_dash(&worker.name),
        short(&worker.worker_id),
        status(worker),
        or_unknown(Some(worker.tier).filter(|tier| *tier != 0)),
        or_unknown(worker.zone.as_ref()),
        or_unknown(worker.address.as_ref()),
        rtt(worker.rtt_ms),
        percent(worker.current_load),
        ago(worker.last_heartbeat, now),
        or_dash(&worker.services.iter().map(service).collect::<Vec<_>>().join(",")),
    ]
}

/// The status, and what else is true of the worker: `alive,leader`.
fn status(worker: &Worker) -> String {
    let notes = [
        (worker.is_heartbeat_leader, "leader"),
        (worker.unroutable, "unroutable"),
        (worker.damped, "damped"),
        (worker.draining, "draining"),
    ];
    let notes = notes.iter().filter(|(is, _)| *is).map(|(_, note)| *note);
    std::iter::once(worker.status.as_str()).chain(notes).collect::<Vec<_>>().join(",")
}

/// The service, and its health unless it is healthy: `rag:unhealthy`.
fn service(service: &WorkerService) -> String {
    match service.health {
        Health::Healthy => service.name.to_string(),
        health @ (Health::Unknown | Health::Unhealthy | Health::Degraded) => {
            format!("{}:{}", service.name, health.as_str())
        }
    }
}
