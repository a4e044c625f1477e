//! What led to the status of each member, line by line, for `why`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::WorkerRef;
use crate::id::NodeId;
use crate::mesh::Event;
use crate::view::View;

/// How many lines are kept about one member.
pub const EVIDENCE_LINES: usize = 64;

/// About how many members lines are kept.
pub const EVIDENCE_SUBJECTS: usize = 1_024;

/// One line of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceLine {
    /// When this node learned of it.
    pub at: Timestamp,
    /// What it says.
    pub text: Arc<str>,
    /// How often it was said before the next change of the member's status.
    #[serde(default = "once")]
    pub times: u32,
    /// When it was last said.
    #[serde(default)]
    pub last: Option<Timestamp>,
    /// It is a change of the member's status.
    #[serde(skip)]
    is_change: bool,
}

const fn once() -> u32 {
    1
}

/// The lines about all members; of too many, the one about whom nothing was heard for longest is forgotten.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    added: u64,
    subjects: BTreeMap<NodeId, Subject>,
}

#[derive(Debug, Default)]
struct Subject {
    /// The value of `added` at its last line.
    last: u64,
    lines: VecDeque<EvidenceLine>,
}

impl Evidence {
    /// Adds what `said` tells. What is said again and again is one line, so that the beginning of a long story is kept.
    pub(super) fn add(&mut self, said: Said, at: Timestamp) {
        let Said { subject, text, is_change } = said;
        self.added += 1;
        if self.subjects.len() >= EVIDENCE_SUBJECTS && !self.subjects.contains_key(&subject) {
            self.forget_oldest();
        }
        let subject = self.subjects.entry(subject).or_default();
        subject.last = self.added;
        let since_change = subject.lines.iter_mut().rev().take_while(|line| !line.is_change && !is_change);
        if let Some(line) = since_change.into_iter().find(|line| line.text == text) {
            line.times = line.times.saturating_add(1);
            line.last = Some(at);
            return;
        }
        if subject.lines.len() == EVIDENCE_LINES {
            subject.lines.pop_front();
        }
        subject.lines.push_back(EvidenceLine { at, text, times: 1, last: None, is_change });
    }

    pub(super) fn about(&self, subject: &NodeId) -> Vec<EvidenceLine> {
        self.subjects.get(subject).map(|subject| subject.lines.iter().cloned().collect()).unwrap_or_default()
    }

    fn forget_oldest(&mut self) {
        let oldest = self.subjects.iter().min_by_key(|(_, subject)| subject.last).map(|(id, _)| *id);
        if let Some(oldest) = oldest {
            self.subjects.remove(&oldest);
        }
    }
}

/// What an event says about a member's life.
pub(super) struct Said {
    subject: NodeId,
    text: Arc<str>,
    is_change: bool,
}

/// What `event` says about a member's life.
pub(super) fn of(event: &Event, view: &View) -> Option<Said> {
    let (subject, text) = match event {
        Event::Joined(id) => (id, "joined".into()),
        Event::Suspect { subject, accuser: Some(accuser) } => {
            (subject, format!("suspected by {}", named(*accuser, view)).into())
        }
        Event::Suspect { subject, accuser: None } => (subject, "suspected".into()),
        Event::Dead(id) => (id, "declared dead".into()),
        Event::Left(id) => (id, "left of its own will".into()),
        Event::Unroutable(id) => (id, "unroutable: some reach it, many do not".into()),
        Event::Routable(id) => (id, "routable again".into()),
        Event::Refuted(id) => (id, "refuted: it is alive".into()),
        Event::Evidence { subject, text, by: None } => (subject, Arc::clone(text)),
        Event::Evidence { subject, text, by: Some(by) } => {
            (subject, format!("{text} by {}", named(*by, view)).into())
        }
        Event::Health { .. }
        | Event::Isolated(_)
        | Event::Leader { .. }
        | Event::Write { .. }
        | Event::Ready
        | Event::JoinUnanswered
        | Event::Refused { .. }
        | Event::ManifestTooLarge(_)
        | Event::StoresDiffer
        | Event::EpochBehind { .. }
        | Event::Damped(_)
        | Event::Paused(_)
        | Event::Cloned { .. } => return None,
    };
    let is_change = !matches!(event, Event::Evidence { .. });
    Some(Said { subject: *subject, text, is_change })
}

fn named(id: NodeId, view: &View) -> String {
    let worker = WorkerRef::of(id, view);
    if worker.name.is_empty() { id.to_string() } else { format!("{} ({id})", worker.name) }
}
