//! At most one leader per connected part after the hold-down, and in the end exactly one whom all follow.

use std::collections::BTreeSet;
use std::sync::Arc;

use meshnode::time::{Duration, Instant};
use meshnode::view::View;

use super::preemption::DETECTION;
use super::{Kind, Observation, Violation};
use crate::model::Model;

/// Who claims to lead.
#[derive(Debug)]
pub struct Leadership {
    hold: Duration,
    claims: BTreeSet<usize>,
}

impl Leadership {
    /// The checker of a mesh with this `--election-hold`.
    pub const fn new(hold: Duration) -> Self {
        Self { hold, claims: BTreeSet::new() }
    }

    /// The node has a new process, or none.
    pub fn forget(&mut self, node: usize) {
        self.claims.remove(&node);
    }

    /// A view changed.
    pub fn observe(&mut self, seen: &Observation<'_>) {
        if seen.view.leader.leader == Some(seen.view.local) {
            self.claims.insert(seen.observer);
        } else {
            self.claims.remove(&seen.observer);
        }
    }

    /// A second passed: a part that was left in peace for long enough must not have two leaders.
    pub fn tick(&self, at: Instant, model: &Model) -> Result<(), Violation> {
        if model.one_way() || at.since(model.changed) < 2 * self.hold + DETECTION {
            return Ok(());
        }
        for part in model.up_by_part().into_values() {
            let leaders: Vec<usize> = part.into_iter().filter(|node| self.claims.contains(node)).collect();
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
