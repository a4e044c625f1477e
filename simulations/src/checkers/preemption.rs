//! A joiner never preempts: who leads goes on until something happens that is a reason to stop.

use std::collections::BTreeMap;

use meshnode::time::{Duration, Instant};
use meshnode::view::Status;

use super::{Kind, Observation, Violation};
use crate::model::State;

/// How long a part may take to notice a death or a heal, before the hold-down even begins.
pub(super) const DETECTION: Duration = Duration::from_secs(60);

/// What a leader needs at most to make itself known, when datagrams are lost.
const INTRODUCTION: Duration = Duration::from_secs(15);

/// Who claims to lead, and since when.
#[derive(Debug, Default)]
pub struct Preemptions {
    claims: BTreeMap<usize, Instant>,
    ready: BTreeMap<usize, Instant>,
}

impl Preemptions {
    /// The node has a new process, or none.
    pub fn forget(&mut self, node: usize) {
        self.claims.remove(&node);
        self.ready.remove(&node);
    }

    /// A view changed.
    pub fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        if seen.view.ready {
            self.ready.entry(seen.observer).or_insert(seen.at);
        }
        let leader = seen.view.leader.leader;
        if leader != Some(seen.view.local) {
            let led = self.claims.remove(&seen.observer).is_some();
            let is_calm = seen.at.since(seen.model.disturbed) > DETECTION;
            let is_well = seen.model.is_beyond_doubt(seen.observer, seen.at, DETECTION)
                && !seen.model.is_among_the_sick(seen.observer, seen.at, DETECTION);
            if led && leader.is_none() && is_calm && is_well {
                let text = format!("n{} steps down for nobody, and for no reason", seen.observer);
                return Err(seen.violation(Kind::Preemption, text));
            }
            return Ok(());
        }
        if self.claims.contains_key(&seen.observer) {
            return Ok(());
        }
        self.claims.insert(seen.observer, seen.at);
        match self.pushed_aside(seen) {
            Some(leader) => {
                let text =
                    format!("n{} claims to lead, although it sees n{leader}, which leads", seen.observer);
                Err(seen.violation(Kind::Preemption, text))
            }
            None => Ok(()),
        }
    }

    /// A node that has led for a while, that the new claimant holds alive and can hear.
    fn pushed_aside(&self, seen: &Observation<'_>) -> Option<usize> {
        let model = seen.model;
        let acquainted = |since: Instant| seen.at.since(since) > INTRODUCTION;
        let is_marked = !model.nodes()[seen.observer].marks.is_empty();
        if model.one_way()
            || is_marked
            || !acquainted(model.changed)
            || !acquainted(*self.ready.get(&seen.observer)?)
        {
            return None;
        }
        self.claims.iter().find_map(|(&leader, &since)| {
            let truth = &model.nodes()[leader];
            let alive = seen.view.member(&truth.id).is_some_and(|member| member.status == Status::Alive);
            let here = model.part_of(leader) == model.part_of(seen.observer)
                && truth.state == State::Up
                && truth.marks.is_empty();
            (leader != seen.observer && alive && here && acquainted(since)).then_some(leader)
        })
    }
}
