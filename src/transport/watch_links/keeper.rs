//! Keeping one watch link: dial, notice how it ends, report a loss, dial again.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, trace};

use super::super::Hint;
use super::super::admission::Dialled;
use super::super::backoff::{self, Backoff};
use super::super::http2::{self, CLOSING_TIMEOUT, CORE_PATH};
use super::super::keyring::KeyId;
use super::super::metered::Traffic;
use super::super::tls::close;
use super::Common;
use super::farewell::{End, Overheard, end_of_silence};
use super::unacknowledged::unacknowledged;
use crate::id::NodeId;
use crate::mesh::LinkFailure;
use crate::metrics::KindLabels;
use crate::time::Duration;

/// Whom a node watches changes with every member that joins; a handshake is worth its price once that has settled.
const SETTLE: Duration = Duration::from_millis(300);

/// A link that stood for so long is dialled again without the pauses of earlier failures.
const STEADY: Duration = Duration::from_secs(10);

/// A link on which a ping was not even acknowledged, and nothing else is heard for so long, leads nowhere.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(60);

/// Keeps one watch link until it is told to stop.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) to: NodeId,
    pub(super) addr: SocketAddr,
    pub(super) slot: Arc<Slot>,
    pub(super) common: Arc<Common>,
}

/// Where the link that stands can be found.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<Option<Arc<Standing>>>);

impl Slot {
    pub(super) fn standing(&self) -> Option<Arc<Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, standing: Option<Arc<Standing>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}

/// A watch link that stands.
#[derive(Debug)]
pub(super) struct Standing {
    /// None before the first question.
    sender: watch::Receiver<Option<SendRequest<Bytes>>>,
    key: KeyId,
    traffic: Traffic,
    local: SocketAddr,
    remote: SocketAddr,
    asked: Arc<Notify>,
    doubted: Arc<Notify>,
}

impl Standing {
    /// The cluster key under which it was admitted.
    pub(super) const fn key(&self) -> KeyId {
        self.key
    }

    pub(super) const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    pub(super) async fn ask(&self, body: Vec<u8>) -> Result<Vec<u8>, LinkFailure> {
        self.asked.notify_one();
        let mut offered = self.sender.clone();
        let offered = offered.wait_for(Option::is_some).await;
        let sender = offered.ok().and_then(|sender| sender.clone()).ok_or(LinkFailure::Unreachable)?;
        let sender = sender.ready().await.map_err(|_| LinkFailure::Unreachable)?;
        http2::post(sender, CORE_PATH, body).await
    }

    /// Why there is no answer, when `sent` bytes should have gone out: the process stands still if its kernel took them all.
    pub(super) fn unanswered(&self, sent: u64) -> LinkFailure {
        let is_out = self.traffic.sent() >= sent;
        match unacknowledged(self.local, self.remote) {
            Ok(0) if is_out => LinkFailure::Stalled,
            outcome => {
                trace!(?outcome, is_out, "a ping over a watch link got lost");
                self.doubted.notify_one();
                LinkFailure::TimedOut
            }
        }
    }
}

impl Keeper {
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut failures = Backoff::default();
        let mut next = Instant::now() + SETTLE.mul_f64(backoff::jitter());
        loop {
            tokio::select! {
                () = sleep_until(next) => {}
                () = stop.cancelled() => return,
            }
            let began = Instant::now();
            let failure = match self.keep_one(&stop).await {
                Ok(End::Closed) if stop.is_cancelled() => return,
                Ok(end) => {
                    self.tell(end).await;
                    LinkFailure::Unreachable
                }
                Err(failure) => failure,
            };
            if began.elapsed() >= STEADY {
                failures.clear();
            }
            failures.fail(self.addr, failure, Instant::now());
            next = failures.until().unwrap_or(next);
        }
    }

    /// Dials one link, and says how it ended.
    async fn keep_one(&self, stop: &CancellationToken) -> Result<End, LinkFailure> {
        // Boxed, because its memory is needed for a moment and that of the task for as long as the link stands.
        let dialling = Box::pin(async {
            let dialled = self.common.admission.dial_to_watch(self.addr, self.to).await;
            let dialled = dialled.map_err(|error| error.failure())?;
            let place = self.common.places.dialled(self.common.admission.metrics()).await;
            Ok((place.ok_or(LinkFailure::Unreachable)?, dialled))
        });
        let (_place, dialled) = tokio::select! {
            dialled = dialling => dialled?,
            () = stop.cancelled() => return Ok(End::Closed),
        };
        let Dialled { mut stream, traffic, admitted } = dialled;
        let tcp = stream.get_ref().0.get_ref();
        let local = tcp.local_addr().map_err(|_| LinkFailure::Unreachable)?;
        let remote = tcp.peer_addr().map_err(|_| LinkFailure::Unreachable)?;
        let (offer, sender) = watch::channel(None);
        let (asked, doubted) = (Arc::<Notify>::default(), Arc::<Notify>::default());
        let silence = fall_silent(doubted.clone(), traffic.clone());
        let key = admitted.key;
        let standing = Standing { sender, key, traffic, local, remote, asked: asked.clone(), doubted };
        self.slot.set(Some(Arc::new(standing)));
        let end = tokio::select! {
            end = end_of_silence(&mut stream) => end,
            () = asked.notified() => Box::pin(self.speak(stream, offer, silence, stop)).await,
            () = stop.cancelled() => {
                close(stream).await;
                End::Closed
            }
        };
        self.slot.set(None);
        Ok(end)
    }

    /// Speaks HTTP/2 from the first question on, until the link ends.
    async fn speak<S>(
        &self,
        stream: S,
        offer: watch::Sender<Option<SendRequest<Bytes>>>,
        silence: impl Future<Output = ()>,
        stop: &CancellationToken,
    ) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = Overheard::new(stream);
        let farewell = stream.farewell();
        let (sender, connection) = match http2::client().handshake(stream).await {
            Ok(connected) => connected,
            Err(error) => return farewell.end(Err(error)),
        };
        offer.send_replace(Some(sender));
        let mut connection = pin!(connection);
        tokio::select! {
            result = &mut connection => farewell.end(result),
            () = silence => End::Silent,
            () = stop.cancelled() => {
                // Without a handle to it, HTTP/2 says goodbye by itself.
                offer.send_replace(None);
                if timeout(CLOSING_TIMEOUT, connection).await.is_err() {
                    trace!(to = %self.to, "a watch link was cut, because it did not end");
                }
                End::Closed
            }
        }
    }

    async fn tell(&self, end: End) {
        debug!(to = %self.to, ?end, "a watch link ended");
        let kind = end.kind();
        self.common.admission.metrics().watch_links_ended.get_or_create(&KindLabels { kind }).inc();
        if end == End::Lost {
            // The loop ends before its links do.
            let _ = self.common.hints.send(Hint::LinkLost { peer: self.to }).await;
        }
    }
}

/// Ends when a link leads nowhere: a ping was lost on it, and nothing was heard since.
pub(super) async fn fall_silent(doubted: Arc<Notify>, traffic: Traffic) {
    loop {
        doubted.notified().await;
        let before = traffic.received();
        sleep(DEAD_AFTER).await;
        if traffic.received() == before {
            return;
        }
    }
}
