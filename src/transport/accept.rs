//! The listener for links: admits members, a bounded number at a time, and hands their streams on.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::admission::Admission;
use super::serve::Server;
use crate::time::Duration;

/// Connections that are not admitted yet.
const MAX_PENDING: usize = 64;

/// Links that others dialled.
const MAX_LINKS: usize = 4096;

/// After a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// The listener for links.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) admission: Arc<Admission>,
    pub(super) server: Arc<Server>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Acceptor {
    /// Accepts until the node ends.
    pub(super) async fn run(self, listener: TcpListener) {
        let (pending, links) = (Arc::new(Semaphore::new(MAX_PENDING)), Arc::new(Semaphore::new(MAX_LINKS)));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => break,
            };
            match accepted {
                Ok((tcp, remote)) => match pending.clone().try_acquire_owned() {
                    Ok(permit) => self.admit(tcp, remote, permit, links.clone()),
                    Err(_) => self.admission.refuse("link_pending_full"),
                },
                Err(error) => {
                    warn!(%error, "cannot accept a link");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn admit(
        &self,
        tcp: TcpStream,
        remote: SocketAddr,
        pending: OwnedSemaphorePermit,
        links: Arc<Semaphore>,
    ) {
        let (admission, server, stop) = (self.admission.clone(), self.server.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let accepted = tokio::select! {
                accepted = admission.accept(tcp, remote) => accepted,
                () = stop.cancelled() => return,
            };
            drop(pending);
            // Why a peer is refused was logged and counted where it was found out.
            let Ok(accepted) = accepted else { return };
            let Ok(_permit) = links.try_acquire_owned() else {
                admission.refuse("link_full");
                return;
            };
            let peer = accepted.admitted.peer;
            if let Err(error) = server.serve(accepted.stream, remote, peer, stop).await {
                debug!(%peer, %remote, %error, "a link broke");
            }
        });
    }
}
