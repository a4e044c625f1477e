//! Requests over links that wait for their answers.

use std::collections::BTreeMap;

use meshnode::mesh::RequestId;

/// A request on its way to `to`, or its answer on the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) from: usize,
    pub(super) from_boot: u64,
    /// The asker's name for it.
    pub(super) id: RequestId,
    pub(super) to: usize,
}

/// All exchanges under way, by a number that is also the request's name at the node that answers.
#[derive(Debug, Default)]
pub(super) struct Links {
    exchanges: BTreeMap<u64, Exchange>,
    opened: u64,
}

impl Links {
    pub(super) fn open(&mut self, exchange: Exchange) -> u64 {
        self.opened += 1;
        self.exchanges.insert(self.opened, exchange);
        self.opened
    }

    pub(super) fn exchange(&self, number: u64) -> Option<Exchange> {
        self.exchanges.get(&number).copied()
    }

    /// Ends an exchange; only the first end counts.
    pub(super) fn close(&mut self, number: u64) -> Option<Exchange> {
        self.exchanges.remove(&number)
    }

    /// The exchanges that `node` will not answer any more.
    pub(super) fn waiting_for(&self, node: usize) -> Vec<u64> {
        self.exchanges.iter().filter(|(_, exchange)| exchange.to == node).map(|(number, _)| *number).collect()
    }
}
