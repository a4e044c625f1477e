//! The labels of the metrics.

use prometheus_client::encoding::EncodeLabelSet;

/// Labels of a counter of requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The service.
    pub service: String,
    /// The worker that answered; empty when the mesh itself did.
    pub worker: String,
    /// The status code.
    pub code: u16,
}

/// Labels of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct InstanceLabels {
    /// The service.
    pub service: String,
    /// The worker.
    pub worker: String,
}

/// The label of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServiceLabels {
    /// The service.
    pub service: String,
}

/// The label of a member's status.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StatusLabels {
    /// `alive`, `suspect`, `dead` or `left`.
    pub status: &'static str,
}

/// The label of a direction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DirectionLabels {
    /// `sent` or `received`.
    pub direction: &'static str,
}

/// The label of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// The kind.
    pub kind: &'static str,
}
