//! Connections of clients, counted while they are open.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::gauge::Gauge;

use super::Metrics;

/// The label of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ListenerLabels {
    /// `ingress` or `edge`.
    pub listener: &'static str,
}

/// An open connection; it counts until it is dropped.
#[derive(Debug)]
pub struct OpenConnection(Gauge);

impl Metrics {
    /// A client has connected to this listener.
    pub fn connected(&self, listener: &'static str) -> OpenConnection {
        let labels = ListenerLabels { listener };
        self.connections_opened.get_or_create(&labels).inc();
        let open = self.connections.get_or_create_owned(&labels);
        open.inc();
        OpenConnection(open)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
