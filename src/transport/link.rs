//! A link that this node dialled: an HTTP/2 client, and the task that keeps it going and notices its end.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::trace;

use super::cork::{Cork, Corked, corked};
use super::http2::{self, CLOSING_TIMEOUT};
use super::keyring::KeyId;
use super::metered::Traffic;
use super::pulse::{Place, Pulse, Watch};
use super::reach::Reach;
use crate::id::NodeId;

/// An HTTP/2 connection to one peer. Dropping it lets its streams end, then closes it.
#[derive(Debug)]
pub(super) struct Link {
    sender: SendRequest<Bytes>,
    ended: Arc<AtomicBool>,
    key: KeyId,
    pulse: Arc<Pulse>,
    /// It carried a request of a client.
    is_kept: AtomicBool,
}

/// A way to a peer for one request.
#[derive(Debug)]
pub struct Lane {
    /// Takes the request.
    pub sender: SendRequest<Bytes>,
    /// Counts the request on its link for as long as it lives.
    pub place: Place,
}

/// Who is at the other end of a link, and how it was let in.
#[derive(Debug)]
pub(super) struct Far {
    pub(super) peer: NodeId,
    pub(super) key: KeyId,
    pub(super) traffic: Traffic,
    pub(super) reach: Arc<Reach>,
}

impl Link {
    /// Speaks HTTP/2 on a stream to an admitted peer.
    pub(super) async fn establish<S>(
        stream: S,
        far: Far,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, h2::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (stream, cork) = corked(stream);
        let (sender, connection) = http2::client().handshake(stream).await?;
        let (ended, pulse) = (Arc::new(AtomicBool::new(false)), Pulse::new());
        let is_kept = AtomicBool::new(false);
        let link = Self { sender, ended: ended.clone(), key: far.key, pulse: pulse.clone(), is_kept };
        let watch = Watch::new(far.peer, pulse, far.traffic, far.reach);
        tasks.spawn(async move {
            drive(connection, cork, watch, stop).await;
            ended.store(true, Ordering::Release);
        });
        Ok(Arc::new(link))
    }

    /// A handle for one request; an error means that the peer goes away or has gone.
    pub(super) async fn ready(&self) -> Result<SendRequest<Bytes>, h2::Error> {
        self.pulse.touch();
        self.sender.clone().ready().await
    }

    /// A place for one request.
    pub(super) fn place(&self) -> Place {
        Place::take(self.pulse.clone())
    }

    /// The cluster key under which it was admitted.
    pub(super) const fn key(&self) -> KeyId {
        self.key
    }

    pub(super) fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    pub(super) fn stands(&self) -> bool {
        !self.ended.load(Ordering::Acquire)
    }

    /// Whoever sends requests of clients will probably send more of them.
    pub(super) fn keep(&self) {
        if !self.is_kept() {
            self.is_kept.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Relaxed)
    }

    pub(super) fn last_used(&self) -> Instant {
        self.pulse.last_used()
    }
}

async fn drive<S>(
    mut connection: Connection<Corked<S>, Bytes>,
    mut cork: Cork<S>,
    watch: Watch,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let pings = connection.ping_pong();
    let (mut connection, mut watch) = (pin!(connection), pin!(watch.run(pings)));
    let watched = poll_fn(|cx| {
        if let Poll::Ready(result) = cork.poll(cx, |cx| connection.as_mut().poll(cx)) {
            trace!(?result, "a link ended");
            return Poll::Ready(());
        }
        if cork.has_yielded() {
            // What has arrived is read before the watch says that nothing did.
            return Poll::Pending;
        }
        watch.as_mut().poll(cx).map(|()| trace!("a link fell silent"))
    });
    tokio::select! {
        () = watched => return,
        () = stop.cancelled() => {}
    }
    let rest = poll_fn(|cx| cork.poll(cx, |cx| connection.as_mut().poll(cx)));
    if timeout(CLOSING_TIMEOUT, rest).await.is_err() {
        trace!("a link was cut, because its streams did not end");
    }
}
