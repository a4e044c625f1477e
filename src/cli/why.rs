//! `meshnode why`: the evidence about a worker.

use super::table::{list, or_unknown, printable, rtt, short, worker};
use crate::admin::model::Why;

pub(super) fn render(why: &Why) -> String {
    let unroutable = if why.unroutable { ", unroutable" } else { "" };
    let head = list([
        ("worker", worker(&why.name, &why.worker_id)),
        ("status", format!("{}{unroutable}", why.status.as_str())),
        ("incarnation", format!("{} of boot {}", why.incarnation, why.epoch)),
        ("address", or_unknown(why.address.as_ref())),
        ("rtt", rtt(why.rtt_ms)),
        ("first seen", why.first_seen.to_string()),
        ("last heard", format!("{} ({:.1} s of silence)", why.last_heartbeat, why.silent_for_s)),
        ("observer", short(&why.observer)),
    ]);
    if why.evidence.is_empty() {
        return format!("{head}\n\nnothing is on record about it since the observer started");
    }
    let line = |line: &crate::admin::EvidenceLine| format!("{}  {}", line.at, printable(&line.text));
    format!("{head}\n\n{}", why.evidence.iter().map(line).collect::<Vec<_>>().join("\n"))
}
