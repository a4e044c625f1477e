//! What goes on on one client's connection: requests under way, and for how long there was none.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::body::{BoxError, ProxyBody};
use crate::time::Duration;

/// So many requests may a client give up within [`RESETS_WITHIN`], on one connection.
const MAX_RESETS: u32 = 200;
const RESETS_WITHIN: Duration = Duration::from_secs(10);

/// One connection, from its first byte to its last.
#[derive(Debug)]
pub(super) struct Visit {
    begun: Instant,
    open: AtomicU32,
    /// When the last request ended, in nanoseconds after `begun`.
    rested: AtomicU64,
    /// The last request had a body, of which some may still come.
    bodied: AtomicBool,
    heard: AtomicBool,
    stuck: AtomicBool,
    resets: AtomicU32,
    resets_since: AtomicU64,
    flooded: Notify,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// A request is under way.
    Work,
    /// The client does not take the rest of an answer, for so long.
    Stuck(Duration),
    /// Part of a request's head has come; the last request ended so long ago.
    Head(Duration),
    /// Nothing, for so long.
    Rest(Duration),
}

impl Visit {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            open: AtomicU32::new(0),
            rested: AtomicU64::new(0),
            bodied: AtomicBool::new(false),
            heard: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            resets: AtomicU32::new(0),
            resets_since: AtomicU64::new(0),
            flooded: Notify::new(),
        })
    }

    /// A request has come.
    pub(super) fn begin(self: &Arc<Self>, has_body: bool) -> Turn {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.bodied.store(has_body, Ordering::Relaxed);
        Turn { visit: self.clone(), is_whole: false }
    }

    /// Bytes have come.
    pub(super) fn heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// The client takes bytes, or does not.
    pub(super) fn set_stuck(&self, stuck: bool) {
        let was_stuck = self.stuck.swap(stuck, Ordering::Relaxed);
        if was_stuck && !stuck {
            // Whoever takes the rest of an answer slowly is not at rest.
            self.rested.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Whether nothing of the last request can still be on its way.
    pub(super) fn is_clean(&self) -> bool {
        !self.bodied.load(Ordering::Relaxed)
    }

    pub(super) fn doing(&self) -> Doing {
        if self.open.load(Ordering::Relaxed) > 0 {
            return Doing::Work;
        }
        let rested = Duration::from_nanos(self.rested.load(Ordering::Relaxed));
        let since = self.begun.elapsed().saturating_sub(rested);
        if self.stuck.load(Ordering::Relaxed) {
            Doing::Stuck(since)
        } else if self.heard.load(Ordering::Relaxed) {
            Doing::Head(since)
        } else {
            Doing::Rest(since)
        }
    }

    /// Ends when the client gives up so many requests that it can only mean harm (CVE-2023-44487).
    pub(super) async fn floods(&self) {
        self.flooded.notified().await;
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn end(&self, is_whole: bool) {
        let now = self.now();
        if !is_whole {
            self.given_up(now);
        }
        self.heard.store(false, Ordering::Relaxed);
        self.rested.store(now, Ordering::Relaxed);
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    fn given_up(&self, now: u64) {
        let since = Duration::from_nanos(now.saturating_sub(self.resets_since.load(Ordering::Relaxed)));
        if since > RESETS_WITHIN {
            self.resets_since.store(now, Ordering::Relaxed);
            self.resets.store(0, Ordering::Relaxed);
        }
        if self.resets.fetch_add(1, Ordering::Relaxed) >= MAX_RESETS {
            self.flooded.notify_one();
        }
    }
}

/// One request under way.
#[derive(Debug)]
pub(crate) struct Turn {
    visit: Arc<Visit>,
    is_whole: bool,
}

impl Turn {
    /// The answer of this request: it is under way until the answer's body has ended.
    pub(super) fn answered(mut self, body: ProxyBody) -> Answering {
        self.is_whole |= body.is_end_stream();
        Answering { body, turn: self }
    }

    /// The answer needs no body.
    pub(super) fn bodiless(&mut self) {
        self.is_whole = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.visit.end(self.is_whole);
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Answering {
    body: ProxyBody,
    turn: Turn,
}

impl Body for Answering {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(frame) = &polled {
            // What broke was not the client's doing.
            let is_last = frame.as_ref().is_none_or(|frame| frame.as_ref().map_or(true, Frame::is_trailers));
            self.turn.is_whole |= is_last || self.body.is_end_stream();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
