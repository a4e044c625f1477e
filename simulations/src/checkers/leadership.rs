//! One leader per connected part after the hold-down, and no joiner that pushes a leader aside.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshnode::time::{Duration, Instant};
use meshnode::view::{Status, View};

use super::{Kind, Observation, Violation};
use crate::model::{Model, State};

/// How long a part may take to notice a death or a heal, before the hold-down even begins.
const DETECTION: Duration = Duration::from_secs(60);

/// What a leader needs at most to make itself known, when datagrams are lost.
const INTRODUCTION: Duration = Duration::from_secs(15);

/// Who claims to lead, and since when.
#[derive(Debug)]
pub struct Leadership {
    hold: Duration,
    claims: BTreeMap<usize, Instant>,
    ready: BTreeMap<usize, Instant>,
}

impl Leadership {
    /// The checker of a mesh with this `--election-hold`.
    pub const fn new(hold: Duration) -> Self {
        Self { hold, claims: BTreeMap::new(), ready: BTreeMap::new() }
    }

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
            if led && leader.is_none() && is_calm && seen.model.nodes()[seen.observer].state == State::Up {
                let text = format!("n{} steps down for nobody, and for no reason", seen.observer);
                return Err(seen.violation(Kind::Leadership, text));
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
                Err(seen.violation(Kind::Leadership, text))
            }
            None => Ok(()),
        }
    }

    /// A node that has led for a while, that the new claimant holds alive and can hear.
    fn pushed_aside(&self, seen: &Observation<'_>) -> Option<usize> {
        let model = seen.model;
        let acquainted = |since: Instant| seen.at.since(since) > INTRODUCTION;
        if model.one_way() || !acquainted(model.changed) || !acquainted(*self.ready.get(&seen.observer)?) {
            return None;
        }
        self.claims.iter().find_map(|(&leader, &since)| {
            let truth = &model.nodes()[leader];
            let alive = seen.view.member(&truth.id).is_some_and(|member| member.status == Status::Alive);
            let here = model.part_of(leader) == model.part_of(seen.observer) && truth.state == State::Up;
            (leader != seen.observer && alive && here && acquainted(since)).then_some(leader)
        })
    }

    /// A second passed: a part that was left in peace for long enough must not have two leaders.
    pub fn tick(&self, at: Instant, model: &Model) -> Result<(), Violation> {
        if model.one_way() || at.since(model.changed) < 2 * self.hold + DETECTION {
            return Ok(());
        }
        for part in model.up_by_part().into_values() {
            let leaders: Vec<usize> =
                part.into_iter().filter(|node| self.claims.contains_key(node)).collect();
            if leaders.len() > 1 {
                let text = format!("nodes {leaders:?} all claim to lead the same part");
                return Err(Violation { kind: Kind::Leadership, at, text });
            }
        }
        Ok(())
    }
}

/// The first part whose nodes do not all name one and the same leader out of their midst.
pub fn disagreement(model: &Model, views: &[Option<Arc<View>>]) -> Option<String> {
    if model.one_way() {
        return None;
    }
    model.up_by_part().into_values().find_map(|part| {
        let named = |node: &usize| views[*node].as_ref().and_then(|view| view.leader.leader);
        let leader = named(part.first()?);
        if let Some(other) = part.iter().find(|node| named(node) != leader) {
            let name = |id: Option<_>| id.map_or_else(|| "nobody".to_owned(), |id| model.name(&id));
            return Some(format!("n{} follows {}, n{other} {}", part[0], name(leader), name(named(other))));
        }
        match leader {
            None => Some(format!("nobody leads {part:?}")),
            Some(leader) if !part.iter().any(|&node| model.nodes()[node].id == leader) => {
                Some(format!("{part:?} follow {}, which is not among them", model.name(&leader)))
            }
            Some(_) => None,
        }
    })
}
