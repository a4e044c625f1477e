//! How a node stops to serve: nothing new comes in, and in the end WebSockets, which never end by themselves, are told.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Proxy;

/// How far it came, and who is still there.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) closing: CancellationToken,
    pub(super) parting: CancellationToken,
    /// Connections of clients, those that became tunnels included.
    pub(super) clients: watch::Sender<usize>,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            closing: CancellationToken::new(),
            parting: CancellationToken::new(),
            clients: watch::Sender::new(0),
        }
    }
}

impl Proxy {
    /// Ends when the listeners are to accept nothing more.
    pub fn closing(&self) -> &CancellationToken {
        &self.shared.drain.closing
    }

    /// Listeners accept nothing more, and clients are told to go elsewhere with their next request.
    pub fn close(&self) {
        self.shared.drain.closing.cancel();
    }

    /// WebSockets are closed with 1001, going away (RFC 6455, 7.4.1).
    pub fn part(&self) {
        self.shared.drain.parting.cancel();
    }

    /// Whether no request is under way, and no client connected.
    pub fn is_drained(&self) -> bool {
        self.in_flight() == 0 && *self.shared.drain.clients.borrow() == 0
    }

    /// Waits until no request is under way, and no client connected.
    pub async fn drained(&self) {
        let mut clients = self.shared.drain.clients.subscribe();
        while !self.is_drained() {
            let idle = self.shared.idle.notified();
            if self.in_flight() > 0 {
                idle.await;
            }
            // The sender lives as long as the proxy does, so waiting cannot fail.
            let _ = clients.wait_for(|clients| *clients == 0).await;
        }
    }
}
