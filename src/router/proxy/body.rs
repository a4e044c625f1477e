//! Bodies in transit: one boxed type for all of them, and limits on how long the next piece may take.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use tokio::time::{Sleep, sleep};

use crate::time::Duration;

/// Why a body broke.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body on its way through.
pub(crate) type ProxyBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body without bytes.
pub(crate) fn empty() -> ProxyBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is at hand.
pub(crate) fn full(bytes: impl Into<Bytes>) -> ProxyBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it went through.
    Complete,
    /// Its source broke off.
    Broken,
    /// The next piece took too long.
    TimedOut,
    /// Whoever read it went away.
    Abandoned,
}

/// The next piece of a body did not come in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body stalled")]
pub(crate) struct Stalled;

/// A body with limits on its pauses and its whole, which tells how it ended, and after how many bytes.
pub(crate) struct Watched<B, F: FnOnce(End, u64)> {
    inner: B,
    idle: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    armed: bool,
    total: Option<Pin<Box<Sleep>>>,
    sent: u64,
    on_end: Option<F>,
}

impl<B, F> Watched<B, F>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
    F: FnOnce(End, u64),
{
    /// Watches `inner`; an `idle` of zero is no limit on pauses, a `total` of `None` none on the whole.
    pub(crate) fn new(inner: B, idle: Duration, total: Option<Duration>, on_end: F) -> Self {
        let total = total.map(|limit| Box::pin(sleep(limit)));
        let mut watched =
            Self { inner, idle, waiting: None, armed: false, total, sent: 0, on_end: Some(on_end) };
        if watched.inner.is_end_stream() {
            watched.end(End::Complete);
        }
        watched
    }

    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(total) = &mut self.total
            && total.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(());
        }
        if self.idle.is_zero() {
            return Poll::Pending;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(self.idle)));
        if !std::mem::replace(&mut self.armed, true) {
            waiting.as_mut().set(sleep(self.idle));
        }
        waiting.as_mut().poll(cx)
    }
}

impl<B, F: FnOnce(End, u64)> Watched<B, F> {
    fn end(&mut self, end: End) {
        if let Some(on_end) = self.on_end.take() {
            on_end(end, self.sent);
        }
    }
}

impl<B, F> Body for Watched<B, F>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
    F: FnOnce(End, u64) + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            ready!(self.poll_limits(cx));
            self.end(End::TimedOut);
            return Poll::Ready(Some(Err(Stalled.into())));
        };
        self.armed = false;
        match &frame {
            Some(Ok(piece)) => {
                self.sent += piece.data_ref().map_or(0, |data| data.len() as u64);
                if piece.is_trailers() || self.inner.is_end_stream() {
                    self.end(End::Complete);
                }
            }
            Some(Err(_)) => self.end(End::Broken),
            None => self.end(End::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B, F: FnOnce(End, u64)> Drop for Watched<B, F> {
    fn drop(&mut self) {
        self.end(End::Abandoned);
    }
}

impl<B, F: FnOnce(End, u64)> fmt::Debug for Watched<B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("sent", &self.sent).finish_non_exhaustive()
    }
}
