//! How serving stops: nothing new comes in, and in the end WebSockets, which never end by themselves, are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::Proxy;

/// How far it came, and who is still there.
#[derive(Debug)]
pub(crate) struct Drain {
    /// Cancelled when listeners are to accept nothing more, and clients to go elsewhere with their next request.
    pub(crate) closing: CancellationToken,
    /// Cancelled when WebSockets are to close with 1001, going away (RFC 6455, 7.4.1).
    pub(crate) parting: CancellationToken,
    /// Connections of clients, those that became tunnels included.
    pub(super) clients: watch::Sender<usize>,
    active: AtomicUsize,
    idle: Notify,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            closing: CancellationToken::new(),
            parting: CancellationToken::new(),
            clients: watch::Sender::new(0),
            active: AtomicUsize::new(0),
            idle: Notify::new(),
        }
    }
}

impl Drain {
    /// Requests under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Whether no request is under way, and no client connected.
    pub(crate) fn is_drained(&self) -> bool {
        self.in_flight() == 0 && *self.clients.borrow() == 0
    }

    /// Waits until no request is under way, and no client connected.
    pub(crate) async fn drained(&self) {
        let mut clients = self.clients.subscribe();
        while !self.is_drained() {
            let idle = self.idle.notified();
            if self.in_flight() > 0 {
                idle.await;
            }
            // The sender lives as long as this does, so waiting cannot fail.
            let _ = clients.wait_for(|clients| *clients == 0).await;
        }
    }
}

/// One request under way.
#[derive(Debug)]
pub(crate) struct Active {
    drain: Arc<Drain>,
}

impl Active {
    pub(crate) fn begin(drain: &Arc<Drain>) -> Self {
        drain.active.fetch_add(1, Ordering::Relaxed);
        Self { drain: drain.clone() }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        if self.drain.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.drain.idle.notify_waiters();
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

    /// Requests that are under way, those for other entries included.
    pub fn in_flight(&self) -> usize {
        self.shared.drain.in_flight()
    }

    /// Whether no request is under way, and no client connected.
    pub fn is_drained(&self) -> bool {
        self.shared.drain.is_drained()
    }

    /// Waits until no request is under way, and no client connected.
    pub async fn drained(&self) {
        self.shared.drain.drained().await;
    }
}
