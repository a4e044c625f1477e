//! The summary's store of the meshes in tests: one value, which answers at once or fails.

use super::cluster::{Cluster, DELAY, Delivery};
use crate::summary::StoreCall;
use crate::time::Duration;

/// Nobody may write what was read longer ago than this.
const READ_COUNTS_FOR: Duration = Duration::from_secs(5);

impl Cluster {
    pub(super) fn call_store(&mut self, node: usize, call: StoreCall) {
        let delivery = match (call, &self.store) {
            _ if self.store_fails => Delivery::GetFailed,
            (StoreCall::Get, value) => {
                self.gets.insert(node, self.now);
                value.clone().map_or(Delivery::NotFound, Delivery::Stored)
            }
            (StoreCall::Put { value }, _) => {
                let age = self.now.since(self.gets[&node]);
                assert!(age <= READ_COUNTS_FOR, "n{node} writes what it read {age:?} ago");
                self.store = Some(value);
                Delivery::PutDone
            }
        };
        self.push(DELAY, node, delivery);
    }
}
