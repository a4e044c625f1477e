//! A cold edge that looks at the store every half minute: whom does it find?

use meshnode::summary::Value;
use meshnode::time::Duration;

use super::world::{Planned, World};

/// Between two looks.
pub(super) const BETWEEN_PROBES: Duration = Duration::from_secs(30);

/// The edge as a reader of the store.
const EDGE: usize = usize::MAX;

/// What is so at one look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Some node serves.
    pub(super) any_serves: bool,
    /// What is stored lists one that serves.
    pub(super) stored_helps: bool,
    /// So does what the edge is answered.
    pub(super) read_helps: bool,
    /// When the value was stored.
    pub(super) stored_at: Option<meshnode::time::Instant>,
    /// Somebody may lead and reaches the store.
    pub(super) could_write: bool,
    /// What is stored says what is so.
    pub(super) is_true: bool,
}

impl World {
    pub(super) fn probe(&mut self) {
        let stored = self.kv.current(self.now);
        let read = self.kv.read(EDGE, self.now, &mut self.rng);
        let serving = |value: &Value| {
            value.nodes.iter().any(|node| self.by_id.get(&node.id).is_some_and(|&at| self.nodes[at].serves()))
        };
        let look = Look {
            any_serves: self.up.iter().any(|&node| self.nodes[node].serves()),
            stored_helps: stored.as_ref().is_some_and(|version| serving(&version.value)),
            read_helps: read.is_some_and(|version| serving(&version.value)),
            stored_at: stored.as_ref().map(|version| version.at),
            could_write: !self.kv.is_out
                && self.up.iter().any(|&node| self.nodes[node].serves() && self.nodes[node].reaches_store),
            is_true: stored.is_some_and(|version| self.is_true(&version.value)),
        };
        self.checkers.look(self.now, look);
        self.queue.push(self.now + BETWEEN_PROBES, Planned::Probe);
    }

    /// Whether a value names the one leader, the services, and nodes that are up with the URLs that they have: all of
    /// them, or as many as it may list.
    fn is_true(&self, value: &Value) -> bool {
        let Some(leader) = value.heartbeat_leader.and_then(|id| self.by_id.get(&id)) else { return false };
        let leads = self.nodes[*leader].leading_term() > 0;
        let seen = value.nodes.iter().filter(|node| node.unseen_since.is_none());
        let right = |node: &meshnode::summary::Node| {
            self.by_id.get(&node.id).is_some_and(|&at| {
                self.nodes[at].is_up() && u64::from(self.nodes[at].version) == node.version
            })
        };
        let listed = seen.clone().count();
        leads
            && seen.clone().all(right)
            && (listed == self.up.len() || listed >= 16)
            && value.services.keys().any(|name| name.as_str() == format!("v{}", self.services))
    }
}
