//! Gives up answers that their clients do not take: such a body is not polled, so its own timers do not help it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::time::{Sleep, sleep_until};

use super::body::BoxError;
use crate::clock::Clock;
use crate::time::{Duration, Instant, earliest};

tokio::task_local! {
    /// Of the answer that this task writes; hyper offers no other way from a body to the task of its stream.
    static PACE: Arc<Pace>;
}

/// Nothing waits for the client.
const NEVER: u64 = u64::MAX;

/// By when the client must have taken what it was given, in nanoseconds since the clock's origin.
#[derive(Debug)]
struct Pace {
    due: AtomicU64,
}

/// Runs a task that writes one answer at a time. `None` when a client did not take its answer in time: then `writing`
/// is dropped, and with it the answer and all that it holds.
pub(super) async fn attend<F: Future>(clock: Clock, writing: F) -> Option<F::Output> {
    let pace = Arc::new(Pace { due: AtomicU64::new(NEVER) });
    let mut writing = pin!(PACE.scope(pace.clone(), writing));
    let mut alarm = None;
    poll_fn(|cx| match writing.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => pace.poll_overdue(clock, &mut alarm, cx).map(|()| None),
    })
    .await
}

impl Pace {
    /// Most answers end before their task has to wait for the client, and never get an alarm.
    fn poll_overdue(
        &self,
        clock: Clock,
        alarm: &mut Option<Pin<Box<Sleep>>>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let due = self.due.load(Ordering::Relaxed);
        if due == NEVER {
            return Poll::Pending;
        }
        let due = clock.at(Instant::from_nanos(due)).into();
        let alarm = alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < alarm.deadline() {
            alarm.as_mut().reset(due);
        }
        // An alarm that is too early is left alone until it rings, because every piece moves what is due.
        loop {
            ready!(alarm.as_mut().poll(cx));
            if due <= alarm.deadline() {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(due);
        }
    }
}

/// Spawns the streams of a client's HTTP/2 connection, each of which is reset when its answer is not taken.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    pub(super) clock: Clock,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let clock = self.clock;
        tokio::spawn(async move {
            if attend(clock, stream).await.is_none() {
                tracing::debug!("a client did not take its answer; the stream is reset");
            }
        });
    }
}

/// The body of an answer whose client must take each piece in time, and the whole before a deadline.
#[derive(Debug)]
pub(crate) struct Paced<B> {
    body: B,
    clock: Clock,
    idle: Duration,
    deadline: Option<Instant>,
    pace: Option<Arc<Pace>>,
}

impl<B> Paced<B> {
    /// Has to be called in the task that writes the answer. An `idle` of zero is no limit.
    pub(crate) fn new(body: B, clock: Clock, idle: Duration, deadline: Option<Instant>) -> Self {
        let unlimited = idle.is_zero() && deadline.is_none();
        let pace = if unlimited { None } else { PACE.try_with(Arc::clone).ok() };
        let paced = Self { body, clock, idle, deadline, pace };
        paced.given();
        paced
    }

    /// The client is to take something.
    fn given(&self) {
        let Some(pace) = &self.pace else { return };
        let idle = (!self.idle.is_zero()).then(|| self.clock.now() + self.idle);
        let due = earliest(idle, self.deadline).map_or(NEVER, Instant::as_nanos);
        pace.due.store(due, Ordering::Relaxed);
    }

    /// The client has room; what it waits for is the service's to give.
    fn taken(&self) {
        if let Some(pace) = &self.pace {
            pace.due.store(NEVER, Ordering::Relaxed);
        }
    }
}

impl<B> Drop for Paced<B> {
    fn drop(&mut self) {
        self.taken();
    }
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.given();
        } else {
            self.taken();
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
