//! Finds the worker that somebody asks about, and says why it has the status that it has.

use std::sync::Arc;

use super::journal::{Journal, WorkerRef};
use super::model::{LiveTimer, Why, Witness};
use super::moment::Moment;
use super::report;
use crate::id::NodeId;
use crate::mesh::{Inquiry, Waiting};
use crate::time::Instant;
use crate::view::{MemberView, View};
use crate::wire::packet::Seen;

/// The shortest part of an id that names a worker; all ids begin with the same eight characters.
const MIN_PREFIX: usize = 8;

/// How many workers an error lists.
const LISTED: usize = 10;

/// No single worker is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WorkerError {
    /// Nobody has that id, prefix or name.
    #[error(
        "no worker '{0}' is known; accepted are a worker id, the first {MIN_PREFIX} or more characters of one, \
         or a name"
    )]
    NotFound(String),
    /// Several have.
    #[error("'{text}' could be any of {total} workers, such as {}; use more of the id", .workers.join(", "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Some of those it could be.
        workers: Vec<String>,
        /// How many it could be.
        total: usize,
    },
}

/// The member with this id, name, or unique prefix of an id; the first rule that finds any decides.
pub(super) fn find<'a>(view: &'a View, text: &str) -> Result<&'a Arc<MemberView>, WorkerError> {
    if let Some(member) = text.parse().ok().and_then(|id| view.member(&id)) {
        return Ok(member);
    }
    let mut found: Vec<_> = view.members.iter().filter(|member| name(member) == text).collect();
    if found.is_empty() && text.len() >= MIN_PREFIX {
        found = view.members.iter().filter(|member| member.id.to_string().starts_with(text)).collect();
    }
    match found.as_slice() {
        [] => Err(WorkerError::NotFound(text.chars().take(80).collect())),
        [member] => Ok(member),
        several => Err(WorkerError::Ambiguous {
            text: text.chars().take(80).collect(),
            workers: several.iter().take(LISTED).map(|m| format!("{} ({})", m.id, name(m))).collect(),
            total: several.len(),
        }),
    }
}

fn name(member: &MemberView) -> &str {
    member.manifest.as_ref().map_or("", |manifest| &manifest.name)
}

/// The evidence about `member`.
pub(super) fn why(
    view: &View,
    member: &MemberView,
    inquiry: Option<&Inquiry<NodeId>>,
    journal: &Journal,
    moment: Moment,
) -> Why {
    let worker = |id: &NodeId| WorkerRef::of(*id, view);
    let workers = |ids: &[NodeId]| ids.iter().map(worker).collect();
    let last_heard = report::last_heard(view, member, moment);
    Why {
        worker_id: member.id,
        name: name(member).to_owned(),
        status: member.status,
        unroutable: member.unroutable,
        epoch: member.version.epoch,
        incarnation: member.version.incarnation,
        address: member.addr.map(|addr| addr.to_string()),
        rtt_ms: member.rtt.map(report::millis),
        first_seen: moment.timestamp(member.first_seen),
        last_heartbeat: moment.timestamp(last_heard),
        silent_for_s: report::millis(moment.now.since(last_heard)) / 1e3,
        observer: view.local,
        since: inquiry.map(|inquiry| moment.timestamp(moment.now.before(inquiry.held_for))),
        penalty: report::penalty(member),
        damped: report::is_damped(member),
        accusers: inquiry.map(|inquiry| workers(&inquiry.accusers)).unwrap_or_default(),
        watchers: inquiry.map(|inquiry| workers(&inquiry.watchers)).unwrap_or_default(),
        witnesses: inquiry.map(|inquiry| witnesses(inquiry, view)).unwrap_or_default(),
        timers: inquiry.map(|inquiry| timers(inquiry, moment)).unwrap_or_default(),
        evidence: journal.evidence(&member.id),
    }
}

fn witnesses(inquiry: &Inquiry<NodeId>, view: &View) -> Vec<Witness> {
    let witness = |(id, seen): &(NodeId, Option<Seen>)| Witness {
        worker: WorkerRef::of(*id, view),
        seen: seen.map(|seen| seen.as_str().to_owned()),
    };
    inquiry.witnesses.iter().map(witness).collect()
}

fn timers(inquiry: &Inquiry<NodeId>, moment: Moment) -> Vec<LiveTimer> {
    let timer = |(waiting, at): &(Waiting, Instant)| LiveTimer {
        name: waiting.as_str().to_owned(),
        in_s: report::millis(at.since(moment.now)) / 1e3,
    };
    inquiry.timers.iter().map(timer).collect()
}
