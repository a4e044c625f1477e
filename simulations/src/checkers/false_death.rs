//! No false death: a node that is up, connected and not starved is never held dead by a node of its part.

use meshnode::time::Duration;
use meshnode::view::Status;

use super::{Kind, Observation, Violation};
use crate::model::State;

/// After a heal, or the end of what was wrong with a node, the news of its death may still be on its way.
const GRACE: Duration = Duration::from_secs(60);

/// Who was held dead while it lived.
#[derive(Debug)]
pub struct FalseDeaths {
    is_fatal: bool,
    healthy: u64,
    marked: u64,
}

impl FalseDeaths {
    /// With `is_fatal` the false death of a healthy node is a violation; without, it is only counted.
    pub const fn new(is_fatal: bool) -> Self {
        Self { is_fatal, healthy: 0, marked: 0 }
    }

    /// How often a node came to hold dead one that had nothing wrong with it.
    pub const fn healthy(&self) -> u64 {
        self.healthy
    }

    /// How often a node came to hold dead one that lived, and was stopped, starved, slow, lossy or cut off, or among too
    /// many such nodes for anybody to tell.
    pub const fn marked(&self) -> u64 {
        self.marked
    }

    /// A view changed.
    pub fn observe(&mut self, seen: &Observation<'_>) -> Result<(), Violation> {
        for member in seen.changed().filter(|member| member.status == Status::Dead) {
            let held = seen.before.and_then(|view| view.member(&member.id)).map(|before| before.status);
            let Some(subject) = seen.model.index_of(&member.id).filter(|_| held.is_some_and(Status::is_live))
            else {
                continue;
            };
            let truth = &seen.model.nodes()[subject];
            let lives =
                matches!(truth.state, State::Up | State::Paused) && member.version.epoch == truth.epoch;
            // Who is in another part of the network is as good as dead here.
            if !lives || seen.model.part_of(seen.observer) != seen.model.part_of(subject) {
                continue;
            }
            let is_healthy = seen.model.is_beyond_doubt(subject, seen.at, GRACE)
                && seen.model.hear_each_other(seen.observer, subject)
                && !seen.model.is_among_the_sick(subject, seen.at, GRACE);
            if !is_healthy {
                self.marked += 1;
                continue;
            }
            self.healthy += 1;
            if self.is_fatal {
                let text = format!("n{} holds n{subject} dead, and nothing is wrong with it", seen.observer);
                return Err(seen.violation(Kind::FalseDeath, text));
            }
        }
        Ok(())
    }
}
