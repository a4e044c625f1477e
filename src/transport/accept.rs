//! The listener for links: admits members, a bounded number at a time, and hands their streams on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::admission::Admission;
use super::hello::Admitted;
use super::serve::Server;
use super::tls::close;
use super::watch_links::Places;
use crate::time::Duration;

/// Connections that are not admitted yet. Beyond, the oldest makes room: members are admitted within milliseconds, so
/// that strangers who say nothing cannot keep them out.
pub(super) const MAX_PENDING: usize = 64;

/// Links that others dialled.
const MAX_LINKS: usize = 4096;

/// After a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// The listener for links.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) admission: Arc<Admission>,
    pub(super) server: Arc<Server>,
    pub(super) places: Arc<Places>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Acceptor {
    /// Accepts until the node ends.
    pub(super) async fn run(self, listener: TcpListener) {
        let links = Arc::new(Semaphore::new(MAX_LINKS));
        let mut pending = VecDeque::with_capacity(MAX_PENDING);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => break,
            };
            match accepted {
                Ok((tcp, remote)) => {
                    self.make_room(&mut pending);
                    pending.push_back(self.admit(tcp, remote, links.clone()));
                }
                Err(error) => {
                    warn!(%error, "cannot accept a link");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Gives up the connection that waits for its admission the longest, if too many do.
    fn make_room(&self, pending: &mut VecDeque<oneshot::Sender<Infallible>>) {
        if pending.len() >= MAX_PENDING {
            pending.retain(|waiting| !waiting.is_closed());
        }
        if pending.len() >= MAX_PENDING && pending.pop_front().is_some() {
            self.admission.refuse("link_pending_full");
        }
    }

    /// Admits and then serves in a task. It gives up when what this returns is dropped before the admission.
    fn admit(
        &self,
        tcp: TcpStream,
        remote: SocketAddr,
        links: Arc<Semaphore>,
    ) -> oneshot::Sender<Infallible> {
        let (waiting, given_up) = oneshot::channel();
        let (admission, server, stop) = (self.admission.clone(), self.server.clone(), self.stop.clone());
        let places = self.places.clone();
        self.tasks.spawn(async move {
            let accepted = tokio::select! {
                // Boxed, because its memory is needed for a moment and that of the task for as long as the link stands.
                accepted = Box::pin(admission.accept(tcp, remote)) => accepted,
                _ = given_up => return,
                () = stop.cancelled() => return,
            };
            // Why a peer is refused was logged and counted where it was found out.
            let Ok(accepted) = accepted else { return };
            let Ok(_permit) = links.try_acquire_owned() else {
                admission.refuse("link_full");
                return close(accepted.stream).await;
            };
            let (Admitted { peer, key, greeting, .. }, stream) = (accepted.admitted, accepted.stream);
            let (mut expired, stop) = (pin!(admission.keys().removed(key)), stop.child_token());
            // Whoever keeps the token of a watch link sees by it that the link has ended.
            let _ended = stop.clone().drop_guard();
            let mut place = None;
            if greeting.watch {
                place = places.accepted(peer, stop.clone(), admission.metrics()).await;
                if place.is_none() {
                    admission.refuse("watch_link_full");
                    return close(stream).await;
                }
                tokio::select! {
                    _ready_or_broken = stream.get_ref().0.get_ref().readable() => {}
                    () = &mut expired => return close(stream).await,
                    () = stop.cancelled() => return close(stream).await,
                }
            }
            if let Err(error) = Box::pin(server.serve(stream, remote, peer, expired, stop)).await {
                debug!(%peer, %remote, %error, "a link broke");
            }
            drop(place);
        });
        waiting
    }
}
