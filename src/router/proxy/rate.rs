//! The least speed at which a client must send a body that somebody waits for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::time::Duration;

/// What a client may be late before it has sent anything.
const GRACE: Duration = Duration::from_secs(10);

/// What it may be late after having sent a lot.
const MAX_CREDIT: Duration = Duration::from_secs(60);

/// How much a client is ahead of the least speed. Only time counts in which the next piece was waited for: a service
/// that reads slowly is no fault of the client's.
#[derive(Debug)]
pub(super) struct Rate {
    /// In bytes a second; 0 is no limit.
    least: u64,
    credit: Duration,
    waiting: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Rate {
    /// At least so many bytes a second; 0 is no limit.
    pub(super) const fn new(least: u64) -> Self {
        Self { least, credit: GRACE, waiting: None, alarm: None }
    }

    /// A piece of so many bytes has come.
    pub(super) fn came(&mut self, bytes: usize) {
        if self.least == 0 {
            return;
        }
        if let Some(since) = self.waiting.take() {
            self.credit = self.credit.saturating_sub(since.elapsed());
        }
        let earned = Duration::from_secs_f64(bytes as f64 / self.least as f64);
        self.credit = (self.credit + earned).min(MAX_CREDIT);
    }

    /// Nothing has come. Ready when the client is too slow.
    pub(super) fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.least == 0 {
            return Poll::Pending;
        }
        let due = *self.waiting.get_or_insert_with(Instant::now) + self.credit;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        // What is due only ever moves on, so an alarm that rings too early is set again, and none is set for each piece.
        loop {
            ready!(alarm.as_mut().poll(cx));
            if due <= alarm.deadline() {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(due);
        }
    }
}

#[cfg(test)]
#[path = "rate_tests.rs"]
mod tests;
