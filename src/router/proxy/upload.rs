//! A client's body on its way in: limited, timed, and kept for another try only when it is small.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::access_log::Received;
use super::backend::locked;
use super::body::{BoxError, End, ProxyBody, Watched, empty, full};
use super::rate::Rate;
use super::reply::Failure;
use super::resumed::Resumed;
use crate::clock::Clock;
use crate::time::{Duration, Instant};

/// The largest body that is kept for another try.
pub(super) const REPLAY_MAX: u64 = 64 * 1024;

/// What all kept bodies together may take.
pub(crate) const REPLAY_TOTAL: usize = 64 * 1024 * 1024;

/// How long a client may pause within its body.
const CLIENT_IDLE: Duration = Duration::from_secs(60);

/// A client's body.
pub(crate) enum Upload {
    /// There is none.
    Nothing,
    /// It is at hand, and can be sent as often as needed.
    Kept {
        bytes: Bytes,
        /// Its share of what all kept bodies may take.
        _room: Option<OwnedSemaphorePermit>,
    },
    /// It can be sent once, and is not read before somebody wants it.
    Stream(Mutex<Option<ProxyBody>>),
}

/// What became of a client's body so far; shared with the body while it is under way.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    clock: Clock,
    state: Arc<State>,
    log: Option<Received>,
}

#[derive(Debug)]
struct State {
    last: AtomicU64,
    fault: AtomicU8,
    /// Nobody reads the client's body, though it goes on.
    is_held_back: AtomicBool,
    received: AtomicU64,
    answered: AtomicBool,
    min_rate: u64,
}

/// Another attempt has the body.
#[derive(Debug)]
pub(crate) struct Taken;

const FINE: u8 = 0;
const TOO_LARGE: u8 = 1;
const STALLED: u8 = 2;
const BROKEN: u8 = 3;

impl Progress {
    /// Of a request that began at `started`, and whose body comes with at least so many bytes a second; `log` counts its
    /// bytes too.
    pub(crate) fn new(clock: Clock, started: Instant, min_rate: u64, log: Option<Received>) -> Self {
        let state = State {
            last: AtomicU64::new(started.as_nanos()),
            fault: AtomicU8::new(FINE),
            is_held_back: AtomicBool::new(false),
            received: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            min_rate,
        };
        Self { clock, state: Arc::new(state), log }
    }

    fn moved(&self) {
        self.state.last.store(self.clock.now().as_nanos(), Ordering::Relaxed);
    }

    /// When the client's body last moved; the request's start when it has not yet.
    pub(super) fn last(&self) -> Instant {
        Instant::from_nanos(self.state.last.load(Ordering::Relaxed))
    }

    /// Whether the client may have more to say than anybody reads.
    pub(crate) fn is_held_back(&self) -> bool {
        self.state.is_held_back.load(Ordering::Relaxed)
    }

    fn hold_back(&self, is_held_back: bool) {
        self.state.is_held_back.store(is_held_back, Ordering::Relaxed);
    }

    /// The service has begun to answer: how fast the rest comes is between the two.
    pub(crate) fn answered(&self) {
        self.state.answered.store(true, Ordering::Relaxed);
    }

    /// The bytes of the client's body that came in so far.
    pub(super) fn received(&self) -> u64 {
        self.state.received.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: usize) {
        self.state.received.fetch_add(bytes as u64, Ordering::Relaxed);
        if let Some(log) = &self.log {
            log.add(bytes);
        }
    }

    /// What the client did wrong, if it is to blame.
    pub(crate) fn client_fault(&self) -> Option<Failure> {
        match self.state.fault.load(Ordering::Relaxed) {
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
    /// Of a request without a body: what may be done only once is not even begun before the exit has taken it.
    pub(super) fn of_nothing(repeatable: bool) -> Self {
        if repeatable { Self::Nothing } else { Self::stream(empty()) }
    }

    /// Takes a client's body: keeps it when it has at most `keep` bytes and there is room, else leaves it to be
    /// streamed.
    pub(crate) async fn take(
        body: Incoming,
        keep: u64,
        max: Option<u64>,
        replays: &Arc<Semaphore>,
        progress: &Progress,
    ) -> Result<Self, Failure> {
        let size = body.size_hint();
        if max.is_some_and(|max| size.lower() > max) {
            return Err(too_large());
        }
        let is_small = size.exact().is_some_and(|size| size <= keep);
        let body = limited(body, max, progress.clone());
        if !is_small {
            return Ok(Self::stream(body));
        }
        Self::keep(body, replays).await.map_err(|_| {
            progress.client_fault().unwrap_or_else(|| Failure::bad_request("the request's body broke off"))
        })
    }

    /// Keeps a body, unless the room runs out under way: it is taken for what has come, and not for what was announced,
    /// or those who announce much and send little would have it all.
    async fn keep(mut body: ProxyBody, replays: &Arc<Semaphore>) -> Result<Self, BoxError> {
        let mut kept = BytesMut::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame?.into_data() else { continue };
            kept.extend_from_slice(&piece);
            let share = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            match (replays.clone().try_acquire_many_owned(share), &mut room) {
                (Ok(share), Some(room)) => room.merge(share),
                (Ok(share), None) => room = Some(share),
                (Err(_), _) => {
                    return Ok(Self::stream(Resumed::new(kept.freeze(), room, body).boxed_unsync()));
                }
            }
        }
        Ok(Self::Kept { bytes: kept.freeze(), _room: room })
    }

    /// A body that can be sent once.
    pub(crate) fn stream(body: ProxyBody) -> Self {
        Self::Stream(Mutex::new(Some(body)))
    }

    /// Whether a body follows the head.
    pub(crate) const fn exists(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// Whether the body may be asked for only once an instance is ready to take it.
    pub(super) const fn waits(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Whether another try has the body that the first one had.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Nothing | Self::Kept { .. } => true,
            Self::Stream(body) => locked(body).is_some(),
        }
    }

    /// Whether several tries can have it at the same time.
    pub(crate) const fn is_replayable(&self) -> bool {
        matches!(self, Self::Nothing | Self::Kept { .. })
    }

    /// The body for one try, if there is one.
    pub(crate) fn body(&self) -> Result<Option<ProxyBody>, Taken> {
        match self {
            Self::Nothing => Ok(None),
            Self::Kept { bytes, .. } => Ok(Some(full(bytes.clone()))),
            Self::Stream(body) => locked(body).take().map(Some).ok_or(Taken),
        }
    }

    /// Takes the body back of a try that did not begin to send it.
    pub(crate) fn put_back(&self, body: ProxyBody) {
        if let Self::Stream(slot) = self {
            *locked(slot) = Some(body);
        }
    }
}

fn limited(body: Incoming, max: Option<u64>, progress: Progress) -> ProxyBody {
    let noted = progress.clone();
    progress.hold_back(true);
    let rate = Rate::new(progress.state.min_rate);
    let counted = Counted { inner: body, left: max, rate, progress };
    let on_end = move |end, _| {
        let fault = match end {
            End::TimedOut => STALLED,
            End::Broken => BROKEN,
            End::Complete | End::Abandoned => return,
        };
        // A body that was too large also ends as broken; the first finding stands.
        let _ = noted.state.fault.compare_exchange(FINE, fault, Ordering::Relaxed, Ordering::Relaxed);
    };
    Watched::new(counted.boxed_unsync(), CLIENT_IDLE, None, on_end).boxed_unsync()
}

struct Counted {
    inner: Incoming,
    left: Option<u64>,
    rate: Rate,
    progress: Progress,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.progress.hold_back(false);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the body is too large")]
struct TooLarge;

#[derive(Debug, thiserror::Error)]
#[error("the body comes too slowly")]
struct TooSlow;

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        self.progress.hold_back(matches!(polled, Poll::Ready(Some(Ok(_)))));
        let Poll::Ready(frame) = polled else {
            if self.progress.state.answered.load(Ordering::Relaxed) {
                return Poll::Pending;
            }
            ready!(self.rate.poll_too_slow(cx));
            self.progress.state.fault.store(STALLED, Ordering::Relaxed);
            return Poll::Ready(Some(Err(TooSlow.into())));
        };
        self.progress.moved();
        if let Some(Ok(piece)) = &frame {
            let bytes = piece.data_ref().map_or(0, Bytes::len);
            self.rate.came(bytes);
            self.progress.count(bytes);
        }
        if let Some(Ok(piece)) = &frame
            && let (Some(data), Some(left)) = (piece.data_ref(), self.left)
        {
            let Some(left) = left.checked_sub(data.len() as u64) else {
                self.progress.state.fault.store(TOO_LARGE, Ordering::Relaxed);
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
