//! `meshnode services`: the services and their instances, as a table, and what is odd about them.

use super::table::{or_dash, percent, printable, short, table};
use crate::admin::model::{Instance, ServiceEntry, Services};
use crate::id::ServiceName;

const HEADER: [&str; 6] = ["SERVICE", "NAME", "WORKER", "VERSION", "HEALTH", "LOAD"];

pub(super) fn render(services: &Services) -> String {
    if services.is_empty() {
        return "no service runs in the mesh".to_owned();
    }
    let rows = services
        .iter()
        .flat_map(|(name, entry)| entry.workers.iter().map(move |instance| row(name, instance)));
    let mut text = table(HEADER, rows);
    let notes: Vec<_> = services.iter().flat_map(|(name, entry)| notes(name, entry)).collect();
    if !notes.is_empty() {
        text = format!("{text}\n\n{}", notes.join("\n"));
    }
    text
}

fn row(name: &ServiceName, instance: &Instance) -> [String; 6] {
    [
        name.to_string(),
        or_dash(&instance.name),
        short(&instance.worker_id),
        or_dash(&instance.version),
        format!("{}{}", instance.health.as_str(), if instance.ejected { ",ejected" } else { "" }),
        percent(instance.current_load),
    ]
}

fn notes(name: &ServiceName, entry: &ServiceEntry) -> Vec<String> {
    let mut notes = Vec::new();
    if entry.version_drift {
        let version = |(version, n): (&String, &usize)| format!("{} on {n}", or_dash(version));
        let versions: Vec<_> = entry.versions.iter().map(version).collect();
        notes.push(format!("{name}: versions differ: {}", printable(&versions.join(", "))));
    }
    if let Some(route) = &entry.route {
        let split: Vec<_> =
            route.split.iter().map(|split| format!("{}% to {}", split.percent, split.version)).collect();
        let split = if split.is_empty() { "no split".to_owned() } else { split.join(", ") };
        notes.push(format!("{name}: route revision {}: {}", route.rev, printable(&split)));
    }
    if entry.route_conflict {
        notes
            .push(format!("{name}: members have different routes with that revision; raise it in one place"));
    }
    notes
}
