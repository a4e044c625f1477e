//! `meshnode leader` and `meshnode leave`.

use super::table::{list, or_unknown, printable, short, worker};
use crate::admin::model::{Leader, Leaving};

pub(super) fn render(leader: &Leader) -> String {
    let name = leader.name.as_deref().unwrap_or_default();
    let who = leader.worker_id.as_ref().map_or_else(|| "none".to_owned(), |id| worker(name, id));
    let itself = if leader.is_self { ", the node that answers" } else { "" };
    let store_ok = if leader.store_ok { "ok" } else { "failing" };
    let candidates: Vec<_> = leader.candidates.iter().map(short).collect();
    list([
        ("leader", format!("{who}{itself}")),
        ("term", leader.term.to_string()),
        ("since", or_unknown(leader.since)),
        ("candidates", candidates.join(", ")),
        ("store", format!("{} ({store_ok})", leader.store)),
        ("warm", if leader.warm { "yes" } else { "no" }.to_owned()),
        ("writes today", leader.writes_today.to_string()),
        ("budget left", leader.budget_left.map_or_else(|| "no limit".to_owned(), |left| left.to_string())),
        ("last write", or_unknown(leader.last_write)),
        ("next slot", or_unknown(leader.next_slot)),
        ("last error", or_unknown(leader.last_error.as_ref())),
    ])
}

pub(super) fn render_leaving(leaving: &Leaving) -> String {
    printable(&format!("{} drains and leaves the mesh", worker(&leaving.name, &leaving.worker_id)))
}
