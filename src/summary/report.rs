//! What the policy tells others: its state for the admin API, and the live summary for edges.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::budget::{DAY, SLOT, allowed};
use super::draft;
use super::policy::Policy;
use super::record::Mark;
use super::value::{ClusterId, Node, UnixTime, Value, hour_of};
use crate::id::NodeId;
use crate::time::Instant;
use crate::view::SummaryStatus;

/// A summary that was not read from the store, but made on the spot.
#[derive(Serialize)]
struct LiveSummary {
    #[serde(flatten)]
    value: Value,
    observed_at: UnixTime,
}

impl Policy {
    /// The state of the policy and of the write record, for the admin API.
    pub fn status(&self, now: Instant) -> SummaryStatus {
        let unix = self.clock.map(|clock| clock.at(now));
        let day = unix.map_or(self.record.day(), |unix| unix / DAY);
        let writes_today = self.record.attempts_on(day);
        let stored = self.record.stored();
        SummaryStatus {
            warm: self.warm(now),
            store_ok: self.store_ok,
            writes_today,
            budget_left: self.budget().map(|budget| allowed(budget, 23).saturating_sub(writes_today)),
            last_write: (self.record.at() > 0).then(|| self.record.at()),
            next_slot: unix.map(|unix| (unix / SLOT + 1) * SLOT),
            stored: (stored.seq > 0).then_some((stored.term, stored.seq)),
            cluster_id: stored.cluster_id,
            last_error: self.last_error.clone(),
        }
    }

    /// The summary as this node sees the mesh at `unix` (seconds, for `observed_at`), as JSON. Its term and seq
    /// are those of the last stored value that the node knows of.
    pub fn live_summary(&self, unix: u64) -> String {
        let stored = self.record.stored();
        let cluster_id = if stored.cluster_id == 0 { self.config.cluster_id } else { stored.cluster_id };
        let at = if self.record.at() == 0 { unix } else { self.record.at() };
        let mut value = self.outline(Mark { cluster_id, ..stored }, at);
        value.set_attempts(&self.record, self.record.day());
        draft::update(&mut value, &self.census, unix);
        self.leave_out_draining(&mut value);
        serde_json::to_string(&LiveSummary { value, observed_at: UnixTime(unix) }).unwrap_or_default()
    }

    /// Not from the stored value: that a node restarts is no reason to write it twice.
    fn leave_out_draining(&self, value: &mut Value) {
        let draining: BTreeSet<NodeId> =
            self.census.members.iter().filter(|member| member.draining).map(|member| member.id).collect();
        let stays = |node: &Node| !draining.contains(&node.id);
        if value.nodes.iter().any(stays) {
            value.nodes.retain(stays);
        }
    }

    /// A value with this mark and the entries that the store is known to hold, to be updated from the census.
    pub(super) fn outline(&self, mark: Mark, at: u64) -> Value {
        Value {
            v: 1,
            cluster: self.config.cluster.clone(),
            cluster_id: ClusterId(mark.cluster_id),
            term: mark.term,
            seq: mark.seq,
            at: UnixTime(at),
            by: self.config.id,
            slot: hour_of(at),
            nodes: self.stored.value().map(|value| value.nodes.clone()).unwrap_or_default(),
            heartbeat_leader: None,
            workers: 0,
            services: BTreeMap::new(),
            services_truncated: false,
            writes: BTreeMap::new(),
        }
    }
}
