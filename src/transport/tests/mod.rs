//! Tests of the transport, over loopback.

mod datagrams;
mod hellos;
mod links;
mod rotation;
mod seals;
mod upkeep;
mod watching;

use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ClusterKey, Hint, Incoming, Keyring, Transport, TransportConfig};
use crate::id::{Identity, NodeId};
use crate::metrics::{KindLabels, Metrics};
use crate::time::Duration;

/// Whatever is awaited in these tests happens within this time, or never.
const PATIENCE: Duration = Duration::from_secs(10);

fn identity(seed: u8) -> Identity {
    Identity::from_secret(&[seed; 32])
}

fn keyring(seed: u8) -> Keyring {
    Keyring::of(key(seed))
}

fn key(seed: u8) -> ClusterKey {
    ClusterKey::from_bytes([seed; 32])
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

/// A transport on loopback, with all that belongs to it.
struct Node {
    id: NodeId,
    transport: Transport,
    incoming: Incoming,
    metrics: Metrics,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Node {
    /// A node of identity `seed` with cluster key `key_seed`.
    async fn start(seed: u8, key_seed: u8) -> Self {
        Self::start_with(seed, keyring(key_seed), "127.0.0.1:0".parse().unwrap()).await
    }

    async fn start_with(seed: u8, keyring: Keyring, bind: SocketAddr) -> Self {
        let config = config(seed, keyring, bind);
        let (metrics, tasks, stop) = (Metrics::new(), TaskTracker::new(), CancellationToken::new());
        let bound = Transport::bind(config, metrics.clone(), &tasks, stop.clone()).await;
        let (transport, incoming) = bound.unwrap();
        Self { id: identity(seed).id(), transport, incoming, metrics, tasks, stop }
    }

    fn addr(&self) -> SocketAddr {
        self.transport.local_addr()
    }

    fn refused(&self, kind: &'static str) -> u64 {
        self.metrics.refused.get_or_create(&KindLabels { kind }).get()
    }

    /// The next hint but for those that tell of admissions.
    async fn hint(&mut self) -> Hint {
        loop {
            let hint = within(self.incoming.hints.recv()).await.unwrap();
            if !matches!(hint, Hint::Admitted { .. }) {
                return hint;
            }
        }
    }

    /// The hints that wait, but for those that tell of admissions.
    fn waiting_hints(&mut self) -> Vec<Hint> {
        let waiting = std::iter::from_fn(|| self.incoming.hints.try_recv().ok());
        waiting.filter(|hint| !matches!(hint, Hint::Admitted { .. })).collect()
    }

    /// Ends all tasks of the node, as at the end of its process.
    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        drop((self.transport, self.incoming));
        within(self.tasks.wait()).await;
    }
}

fn config(seed: u8, keyring: Keyring, bind: SocketAddr) -> TransportConfig {
    let cluster = "test".to_owned();
    TransportConfig { bind, identity: identity(seed), cluster, keyring, boot_nonce: seed.into(), epoch: 10 }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}
