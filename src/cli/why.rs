//! `meshnode why`: what is known of a worker at this moment, what the observer waits for, and the story that led there.

use super::table::{list, or_dash, or_unknown, printable, rtt, short, worker};
use crate::admin::EvidenceLine;
use crate::admin::WorkerRef;
use crate::admin::model::{LiveTimer, Why};

pub(super) fn render(why: &Why) -> String {
    let head = list(known(why).into_iter().chain(live(why)));
    if why.evidence.is_empty() {
        return format!("{head}\n\nnothing is on record about it since the observer started");
    }
    format!("{head}\n\n{}", why.evidence.iter().map(line).collect::<Vec<_>>().join("\n"))
}

fn known(why: &Why) -> Vec<(&'static str, String)> {
    let notes = [(why.unroutable, ", unroutable"), (why.damped, ", damped")];
    let notes: String = notes.iter().filter(|(is, _)| *is).map(|(_, note)| *note).collect();
    let mut rows = vec![
        ("worker", worker(&why.name, &why.worker_id)),
        ("status", format!("{}{notes}", why.status.as_str())),
        ("since", or_unknown(why.since)),
        ("incarnation", format!("{} of boot {}", why.incarnation, why.epoch)),
        ("address", or_unknown(why.address.as_ref())),
        ("rtt", rtt(why.rtt_ms)),
        ("first seen", why.first_seen.to_string()),
        ("last heard", format!("{} ({:.1} s of silence)", why.last_heartbeat, why.silent_for_s)),
        ("observer", short(&why.observer)),
    ];
    if why.penalty > 0.0 {
        rows.push(("penalty", format!("{:.1} for dying often", why.penalty)));
    }
    rows
}

/// What is only there while something is going on.
fn live(why: &Why) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if !why.watchers.is_empty() {
        rows.push(("watched by", names(&why.watchers)));
    }
    if !why.accusers.is_empty() {
        rows.push(("suspected by", names(&why.accusers)));
    }
    if !why.witnesses.is_empty() {
        let seen = |seen: Option<&str>| seen.unwrap_or("nothing yet").to_owned();
        let witness = why.witnesses.iter();
        let said =
            witness.map(|witness| format!("{}: {}", name(&witness.worker), seen(witness.seen.as_deref())));
        rows.push(("asked", said.collect::<Vec<_>>().join(", ")));
    }
    rows.extend(why.timers.iter().map(|timer| ("waiting", waiting(timer))));
    rows
}

fn waiting(timer: &LiveTimer) -> String {
    let what = match timer.name.as_str() {
        "suspicion" => "until it is dead, unless it refutes",
        "accusation" => "until the next step of the private accusation",
        "turn" => "until its next turn to ping the observer is missed",
        "unroutable" => "until it is routable again, unless somebody repeats that it is not",
        "tombstone_fades" => "until the mesh compares its tombstone no more",
        "tombstone_ends" => "until it is forgotten",
        "damping" => "until its penalty is looked at again",
        later => later,
    };
    format!("{} {}", time(timer.in_s), printable(what))
}

/// Seconds where they matter, else hours.
fn time(seconds: f64) -> String {
    if seconds < 600.0 { format!("{seconds:.1} s") } else { format!("{:.1} h", seconds / 3_600.0) }
}

fn line(line: &EvidenceLine) -> String {
    let again = match line.last {
        Some(last) => format!(" ({} times, last at {last:.3})", line.times),
        None => String::new(),
    };
    format!("{:.3}  {}{again}", line.at, printable(&line.text))
}

fn names(workers: &[WorkerRef]) -> String {
    workers.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn name(worker: &WorkerRef) -> String {
    if worker.name.is_empty() { short(&worker.worker_id) } else { or_dash(&worker.name) }
}
