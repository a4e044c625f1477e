//! A link that this node dialled: an HTTP/2 client, and the task that keeps it going and notices its end.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::trace;

use super::cork::{Cork, Corked, corked};
use super::http2::{self, CLOSING_TIMEOUT};
use super::keyring::KeyId;
use super::metered::Traffic;
use crate::time::Duration;

/// Between two looks at a link.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// A link on which nothing at all is heard for so long, with a ping under way, is dead.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(6);

/// An HTTP/2 connection to one peer. Dropping it lets its streams end, then closes it.
#[derive(Debug)]
pub(super) struct Link {
    sender: SendRequest<Bytes>,
    ended: Arc<AtomicBool>,
    key: KeyId,
    last_used: Mutex<Instant>,
    /// It carried a request of a client.
    is_kept: AtomicBool,
}

impl Link {
    /// Speaks HTTP/2 on a stream to an admitted peer.
    pub(super) async fn establish<S>(
        stream: S,
        traffic: Traffic,
        key: KeyId,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, h2::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (stream, cork) = corked(stream);
        let (sender, connection) = http2::client().handshake(stream).await?;
        let ended = Arc::new(AtomicBool::new(false));
        let link = Arc::new(Self {
            sender,
            ended: ended.clone(),
            key,
            last_used: Mutex::new(Instant::now()),
            is_kept: AtomicBool::new(false),
        });
        let watched = Arc::downgrade(&link);
        tasks.spawn(async move {
            drive(connection, cork, traffic, watched, stop).await;
            ended.store(true, Ordering::Release);
        });
        Ok(link)
    }

    /// A handle for one request; an error means that the peer goes away or has gone.
    pub(super) async fn ready(&self) -> Result<SendRequest<Bytes>, h2::Error> {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.sender.clone().ready().await
    }

    /// The cluster key under which it was admitted.
    pub(super) const fn key(&self) -> KeyId {
        self.key
    }

    pub(super) fn stands(&self) -> bool {
        !self.ended.load(Ordering::Acquire)
    }

    /// Whoever sends requests of clients will probably send more of them.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Relaxed)
    }

    pub(super) fn last_used(&self) -> Instant {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn drive<S>(
    mut connection: Connection<Corked<S>, Bytes>,
    mut cork: Cork<S>,
    traffic: Traffic,
    link: Weak<Link>,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let pings = connection.ping_pong();
    let mut connection = pin!(connection);
    let mut connection = poll_fn(|cx| cork.poll(cx, |cx| connection.as_mut().poll(cx)));
    tokio::select! {
        result = &mut connection => trace!(?result, "a link ended"),
        () = fall_silent(pings, traffic, link) => trace!("a link fell silent"),
        () = stop.cancelled() => {
            if timeout(CLOSING_TIMEOUT, connection).await.is_err() {
                trace!("a link was cut, because its streams did not end");
            }
        }
    }
}

/// Ends when a link that gets new requests is dead. Without it, a peer that lost its power would hold up every
/// request until the kernel gives up, after many minutes.
async fn fall_silent(pings: Option<PingPong>, traffic: Traffic, link: Weak<Link>) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    let mut looked_at = Instant::now();
    loop {
        sleep(PING_INTERVAL).await;
        let since = std::mem::replace(&mut looked_at, Instant::now());
        // Idle links are left alone: pings on all of them would cost more than membership does.
        let Some(link) = link.upgrade() else { return std::future::pending().await };
        if link.last_used() < since {
            continue;
        }
        drop(link);
        let mut before = traffic.received();
        let mut pong = pin!(pings.ping(Ping::opaque()));
        loop {
            match timeout(SILENCE_TIMEOUT, &mut pong).await {
                Ok(Ok(_)) => break,
                Ok(Err(_)) => return std::future::pending().await,
                // Behind a long queue of data the pong may be late; then the data is heard.
                Err(_) if traffic.received() != before => before = traffic.received(),
                Err(_) => return,
            }
        }
    }
}
