//! An attempt under way, as the router and the metrics count it.

use std::sync::Arc;

use http::StatusCode;

use super::Shared;
use super::backend::locked;
use super::trace::AttemptSpan;
use crate::metrics::RequestMetrics;
use crate::router::{ExitLoad, Outcome, Pick};
use crate::time::{Duration, Instant};

/// An attempt that the router counts. Dropped without a word, it was cancelled by the client.
#[derive(Debug)]
pub(super) struct Ongoing {
    shared: Arc<Shared>,
    pick: Pick,
    begun: Instant,
    metrics: RequestMetrics,
    pub(super) span: Option<AttemptSpan>,
    /// What it was when nobody says how it ended.
    abandoned: Outcome,
    finished: bool,
}

impl Ongoing {
    /// The router has begun to count it, at `begun`.
    pub(super) fn new(shared: Arc<Shared>, pick: Pick, begun: Instant) -> Self {
        let metrics = shared.metrics.instance(&pick.endpoint.service, pick.worker);
        metrics.in_flight().inc();
        Self { shared, pick, begun, metrics, span: None, abandoned: Outcome::Cancelled, finished: false }
    }

    /// The head of an answer came.
    pub(super) fn answered(
        &mut self,
        status: StatusCode,
        first_byte: Duration,
        retry_after: Option<Duration>,
        load: Option<ExitLoad>,
    ) {
        self.metrics.observe(status.as_u16(), first_byte);
        if let Some(span) = &mut self.span {
            span.answered(status);
        }
        let now = self.shared.clock.now();
        let mut router = locked(&self.shared.router);
        if let Some(load) = load {
            router.report_load(&self.pick.endpoint, load, now);
        }
        // What went before at another instance is not this one's fault.
        let own = now.since(self.begun);
        let ejected = router.answered(&self.pick, status.as_u16(), own, retry_after, now);
        drop(router);
        self.note(ejected);
    }

    /// The instance that works on it.
    pub(super) const fn pick(&self) -> &Pick {
        &self.pick
    }

    /// The worker that works on it.
    pub(super) fn worker(&self) -> &str {
        &self.metrics.labels().worker
    }

    /// So many bytes went to the instance, and came back.
    pub(super) fn moved(&self, received: u64, sent: u64) {
        self.metrics.observe_bytes(received, sent);
    }

    /// Nothing is heard of its node; it may still answer.
    pub(super) const fn fell_silent(&mut self) {
        self.abandoned = Outcome::Silent;
    }

    /// It is over.
    pub(super) fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        self.metrics.in_flight().dec();
        if let Some(span) = &mut self.span {
            span.ended(outcome);
        }
        if matches!(outcome, Outcome::ConnectFailed | Outcome::Timeout | Outcome::Broken) {
            self.metrics.observe_failed_attempt();
        }
        let ejected = locked(&self.shared.router).finish(&self.pick, outcome, self.shared.clock.now());
        self.note(ejected);
    }

    fn note(&self, ejected: Option<Duration>) {
        if ejected.is_some() {
            self.shared.metrics.ejections.get_or_create(self.metrics.labels()).inc();
        }
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.end(self.abandoned);
    }
}
