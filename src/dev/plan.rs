//! Which node of a dev mesh runs what.

use super::services::Kind;

/// One node of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodePlan {
    /// `n1`, `n2`, …
    pub(super) name: String,
    /// All zones differ.
    pub(super) zone: String,
    /// The last node plays a GPU worker (tier 1); the others find their tier out.
    pub(super) tier: Option<u8>,
    /// What it runs.
    pub(super) services: Vec<ServicePlan>,
}

/// One instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServicePlan {
    pub(super) kind: Kind,
    pub(super) version: &'static str,
}

/// `echo` on every node, in two versions by turns; `upload` on the second node and the last (or on all of
/// fewer than three); `rag` on the last, which is the GPU worker.
pub(super) fn plan(nodes: usize) -> Vec<NodePlan> {
    let last = nodes.saturating_sub(1);
    (0..nodes)
        .map(|index| {
            let echo = if index % 2 == 0 { "1.0.0" } else { "2.0.0" };
            let mut services = vec![ServicePlan { kind: Kind::Echo, version: echo }];
            if index == last || index == 1 || nodes < 3 {
                services.push(ServicePlan { kind: Kind::Upload, version: "1.3.0" });
            }
            if index == last {
                services.push(ServicePlan { kind: Kind::Rag, version: "0.9.0" });
            }
            NodePlan {
                name: format!("n{}", index + 1),
                zone: format!("zone-{}", index + 1),
                tier: (index == last).then_some(1),
                services,
            }
        })
        .collect()
}
