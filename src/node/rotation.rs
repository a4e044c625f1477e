//! The rotation of the cluster's keys, and of the edges' secrets, while the node runs.

use super::event_loop::Node;
use crate::transport::Keyring;

impl Node {
    /// Reads the cluster's keys again and takes them over; with an error, those that it has stay.
    pub(super) fn reload_cluster_keys(&mut self) {
        match tokio::task::block_in_place(|| self.data_dir.cluster_key_again(&self.config)) {
            Ok(keyring) if keyring == self.keyring => {}
            Ok(keyring) => self.rotate(keyring),
            Err(error) => tracing::error!(%error, "the cluster's keys were not read again"),
        }
    }

    /// Reads the secrets of edges again and takes them over; with an error, those that it has stay.
    /// Takes over a renewed certificate; connections that stand go on.
    pub(super) fn reload_certificate(&self) {
        if let Some(certificate) = &self.certificate {
            certificate.reload();
        }
    }

    pub(super) fn reload_edge_secrets(&self) {
        let (Some(secrets), Some(edge)) = (&self.edge_secrets, &self.config.edge) else { return };
        let read = tokio::task::block_in_place(|| std::fs::read_to_string(&edge.secret_file));
        let replaced = read
            .map_err(|error| error.to_string())
            .and_then(|text| secrets.replace(&text).map_err(|error| error.to_string()));
        match replaced {
            Ok(kids) => tracing::info!(kids = kids.join(" "), "edge secrets reloaded"),
            Err(error) => tracing::error!(error, "the secrets of edges were not reloaded"),
        }
    }

    fn rotate(&mut self, keyring: Keyring) {
        if let Err(error) = self.transport.rotate(keyring.clone()) {
            tracing::error!(%error, "the cluster's keys were not replaced");
            return;
        }
        let names = |keyring: &Keyring| keyring.ids().map(|id| id.to_string()).collect::<Vec<_>>().join(" ");
        tracing::info!(before = names(&self.keyring), now = names(&keyring), "cluster keys reloaded");
        self.keyring = keyring;
    }
}
