//! Answers why a member has the status that it has, as far as that is known at this moment.

use super::Mesh;
use crate::id::{IdHash, NodeId};
use crate::membership::Inquiry;
use crate::time::Instant;

impl Mesh {
    /// What this node holds of `id` right now and what it waits for; `None` when it does not know that member.
    pub fn inquiry(&self, id: &NodeId, now: Instant) -> Option<Inquiry<NodeId>> {
        let inquiry = if *id == self.id {
            Inquiry {
                claim: self.own_claim(),
                held_for: now.since(self.booted),
                accusers: Vec::new(),
                watchers: self.membership.own_watchers(),
                witnesses: Vec::new(),
                timers: self.membership.own_timers(),
            }
        } else {
            self.membership.inquiry(id.hash(), now)?
        };
        let named = |ids: Vec<IdHash>| ids.into_iter().filter_map(|id| self.id_of(id)).collect();
        let witnesses = inquiry.witnesses.into_iter();
        Some(Inquiry {
            claim: inquiry.claim,
            held_for: inquiry.held_for,
            accusers: named(inquiry.accusers),
            watchers: named(inquiry.watchers),
            witnesses: witnesses.filter_map(|(id, seen)| Some((self.id_of(id)?, seen))).collect(),
            timers: inquiry.timers,
        })
    }
}
