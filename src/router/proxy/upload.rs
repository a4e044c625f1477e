//! A client's body on its way in: limited, timed, and kept for another try only when it is small.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::access_log::Received;
use super::body::{BoxError, End, ProxyBody, Watched, full};
use super::reply::Failure;
use crate::clock::Clock;
use crate::time::{Duration, Instant};

/// The largest body that is kept for another try.
pub(super) const REPLAY_MAX: u64 = 64 * 1024;

/// What all kept bodies together may take.
pub(super) const REPLAY_TOTAL: usize = 64 * 1024 * 1024;

/// How long a client may pause within its body.
const CLIENT_IDLE: Duration = Duration::from_secs(60);

/// A client's body.
pub(super) enum Upload {
    /// There is none.
    Nothing,
    /// It is at hand, and can be sent as often as needed.
    Kept {
        bytes: Bytes,
        /// Its share of what all kept bodies may take.
        _room: OwnedSemaphorePermit,
    },
    /// It can be sent once, and is not read before somebody wants it.
    Stream(Option<ProxyBody>),
}

/// What became of a client's body so far; shared with the body while it is under way.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    clock: Clock,
    last: Arc<AtomicU64>,
    fault: Arc<AtomicU8>,
    received: Option<Received>,
}

const FINE: u8 = 0;
const TOO_LARGE: u8 = 1;
const STALLED: u8 = 2;
const BROKEN: u8 = 3;

impl Progress {
    pub(super) fn new(clock: Clock, received: Option<Received>) -> Self {
        let last = Arc::new(AtomicU64::new(clock.now().as_nanos()));
        Self { clock, last, fault: Arc::default(), received }
    }

    fn moved(&self) {
        self.last.store(self.clock.now().as_nanos(), Ordering::Relaxed);
    }

    /// When the client's body last moved; the request's start when it has not yet.
    pub(super) fn last(&self) -> Instant {
        Instant::from_nanos(self.last.load(Ordering::Relaxed))
    }

    /// What the client did wrong, if it is to blame.
    pub(super) fn client_fault(&self) -> Option<Failure> {
        match self.fault.load(Ordering::Relaxed) {
            TOO_LARGE => Some(too_large()),
            STALLED => {
                Some(Failure::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request's body stalled"))
            }
            BROKEN => Some(Failure::bad_request("the request's body broke off")),
            _ => None,
        }
    }
}

pub(super) fn too_large() -> Failure {
    Failure::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        "the request's body is larger than --max-body allows",
    )
}

impl Upload {
    /// Takes a client's body: keeps it when it is small and may be needed again, else leaves it unread.
    pub(super) async fn take(
        body: Incoming,
        repeatable: bool,
        max: Option<u64>,
        replays: &Arc<Semaphore>,
        progress: &Progress,
    ) -> Result<Self, Failure> {
        if body.is_end_stream() {
            return Ok(Self::Nothing);
        }
        let size = body.size_hint();
        if max.is_some_and(|max| size.lower() > max) {
            return Err(too_large());
        }
        let small = size.exact().filter(|size| *size <= REPLAY_MAX && repeatable);
        let body = limited(body, max, progress.clone());
        let permit = small.and_then(|size| {
            replays.clone().try_acquire_many_owned(u32::try_from(size).unwrap_or(u32::MAX)).ok()
        });
        let Some(permit) = permit else { return Ok(Self::Stream(Some(body))) };
        match body.collect().await {
            Ok(kept) => Ok(Self::Kept { bytes: kept.to_bytes(), _room: permit }),
            Err(_) => Err(progress
                .client_fault()
                .unwrap_or_else(|| Failure::bad_request("the request's body broke off"))),
        }
    }

    /// Whether a body follows the head.
    pub(super) const fn exists(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// Whether the body may be asked for only once an instance is ready to take it.
    pub(super) const fn waits(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Whether another try has the body that the first one had.
    pub(super) const fn is_whole(&self) -> bool {
        !matches!(self, Self::Stream(None))
    }

    /// The body for one try.
    pub(super) fn body(&mut self) -> Option<ProxyBody> {
        match self {
            Self::Nothing => None,
            Self::Kept { bytes, .. } => Some(full(bytes.clone())),
            Self::Stream(body) => body.take(),
        }
    }
}

fn limited(body: Incoming, max: Option<u64>, progress: Progress) -> ProxyBody {
    let noted = progress.clone();
    let counted = Counted { inner: body, left: max, progress };
    let on_end = move |end, _| {
        let fault = match end {
            End::TimedOut => STALLED,
            End::Broken => BROKEN,
            End::Complete | End::Abandoned => return,
        };
        // A body that was too large also ends as broken; the first finding stands.
        let _ = noted.fault.compare_exchange(FINE, fault, Ordering::Relaxed, Ordering::Relaxed);
    };
    Watched::new(counted.boxed_unsync(), CLIENT_IDLE, None, on_end).boxed_unsync()
}

struct Counted {
    inner: Incoming,
    left: Option<u64>,
    progress: Progress,
}

#[derive(Debug, thiserror::Error)]
#[error("the body is too large")]
struct TooLarge;

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.progress.moved();
        if let (Some(Ok(piece)), Some(received)) = (&frame, &self.progress.received) {
            received.add(piece.data_ref().map_or(0, Bytes::len));
        }
        if let Some(Ok(piece)) = &frame
            && let (Some(data), Some(left)) = (piece.data_ref(), self.left)
        {
            let Some(left) = left.checked_sub(data.len() as u64) else {
                self.progress.fault.store(TOO_LARGE, Ordering::Relaxed);
                return Poll::Ready(Some(Err(TooLarge.into())));
            };
            self.left = Some(left);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
