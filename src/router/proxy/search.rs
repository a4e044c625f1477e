//! The search for an answer: instances are tried one after the other, and beside each other when one is silent.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use tokio::time::{Sleep, sleep_until};

use super::Shared;
use super::attempt::{Answer, Attempt, Failed, Stage, Step};
use super::backend::locked;
use super::body::ProxyBody;
use super::exit::Outbound;
use super::ongoing::Ongoing;
use super::reply::{self, Failure};
use super::socket::Presence;
use super::trace;
use super::upload::{Progress, Upload};
use crate::metrics::ServiceLabels;
use crate::router::{Ask, MAX_ATTEMPTS, Phase, Reason, Retry, Tried};
use crate::time::{Duration, Instant};

/// How much longer than its own connecting an exit may take to accept a request.
const ACCEPT_MARGIN: Duration = Duration::from_secs(1);

/// When no link stands for so long, another instance is tried as well: nothing was sent yet.
const OPENING_PATIENCE: Duration = Duration::from_millis(300);

/// Between two looks at whether a client is still there whose body is held back.
const DOUBT_INTERVAL: Duration = Duration::from_millis(40);

/// What is known of a request while its instance is looked for.
pub(super) struct Search<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) ask: Ask<'a>,
    pub(super) explain: bool,
    pub(super) outbound: Outbound,
    pub(super) upload: Upload,
    pub(super) progress: Progress,
    pub(super) presence: Presence,
    pub(super) started: Instant,
    pub(super) repeatable: bool,
    pub(super) grpc: bool,
    pub(super) trace: Option<trace::Parent>,
}

/// An answer, and what is to be told about the way to it.
pub(super) struct Found {
    pub(super) answer: Answer,
    pub(super) ongoing: Ongoing,
    pub(super) explanation: Option<String>,
    pub(super) attempts: usize,
}

/// The attempts for one request.
#[derive(Default)]
struct Tries<'a> {
    running: Vec<Try<'a>>,
    /// In vain.
    tried: Vec<Tried>,
    begun: usize,
    hedged: bool,
    /// When the client was last doubted.
    doubted: Instant,
    /// What became of one that may have been started: it must not be told as one that was not.
    sent: Option<Failure>,
}

/// An attempt under way.
struct Try<'a> {
    ongoing: Ongoing,
    explanation: Option<String>,
    stage: Arc<Stage>,
    /// The step that was seen last, and since when it lasts.
    step: Step,
    since: Instant,
    is_silent: bool,
    work: BoxFuture<'a, Result<Answer, Failed>>,
}

/// What can happen while attempts are under way.
enum Event {
    /// An attempt is over.
    Done(usize, Result<Answer, Failed>),
    /// An attempt has taken too long.
    Overdue(usize),
    /// Nothing is heard of an attempt's node.
    Silent(usize),
    /// The first instance takes longer than its route likes.
    Slow,
    /// The client's body is held back, and with it the news that the client has left.
    HeldBack,
    /// The request's own time is over.
    OutOfTime,
}

impl Search<'_> {
    /// Finds an answer, or the response that says why there is none.
    pub(super) async fn run(&self) -> Result<Found, Box<Response<ProxyBody>>> {
        let mut tries = Tries { doubted: self.started, ..Tries::default() };
        let mut alarm = pin!(None);
        let hedge_after = locked(&self.shared.router).hedge_after(self.ask.service);
        let hedge_after = hedge_after.filter(|_| self.repeatable && self.upload.is_replayable());
        self.begin(&mut tries)?;
        loop {
            let event = poll_fn(|cx| self.poll(&mut tries, hedge_after, alarm.as_mut(), cx)).await;
            let hedges = matches!(event, Event::Slow);
            let goes_on = match event {
                Event::Done(index, Ok(answer)) => {
                    let Try { ongoing, explanation, .. } = tries.running.swap_remove(index);
                    return Ok(Found { answer, ongoing, explanation, attempts: tries.begun });
                }
                Event::Done(index, Err(failed)) => self.failed(&mut tries, index, failed)?,
                Event::Overdue(index) => {
                    let failed = tries.running[index].step.overdue();
                    self.failed(&mut tries, index, failed)?
                }
                Event::Silent(index) => {
                    tries.running[index].is_silent = true;
                    tries.running[index].ongoing.fell_silent();
                    self.may_go_on(&tries, tries.running[index].step)
                }
                Event::Slow => {
                    tries.hedged = true;
                    self.may_hedge(&tries)
                }
                Event::HeldBack => {
                    self.presence.doubt();
                    tries.doubted = self.shared.clock.now();
                    false
                }
                Event::OutOfTime => return Err(self.refuse(Failed::timed_out().failure)),
            };
            if goes_on && (hedges || !tries.is_hopeful()) {
                self.begin(&mut tries)?;
            }
        }
    }

    /// Begins an attempt at an instance that has none. When there is no such instance, those under way have to do.
    fn begin<'s>(&'s self, tries: &mut Tries<'s>) -> Result<(), Box<Response<ProxyBody>>> {
        let now = self.shared.clock.now();
        let picked = {
            let mut router = locked(&self.shared.router);
            let avoided = tries.avoided();
            router.pick(&self.ask, &avoided, now).map(|pick| {
                let explanation = self.explain.then(|| router.explain(&self.ask, &avoided, &pick, now));
                router.begin(&pick, now);
                (pick, explanation)
            })
        };
        let (pick, explanation) = match picked {
            Ok(picked) => picked,
            Err(_) if !tries.running.is_empty() => return Ok(()),
            Err(unavailable) => {
                let sent = tries.sent.take().map(|failure| self.refuse(failure));
                return Err(sent.unwrap_or_else(|| Box::new(reply::unavailable(&unavailable, self.grpc))));
            }
        };
        if tries.begun > 0 && !tries.hedged {
            self.shared.metrics.retries.get_or_create(&self.labels()).inc();
        }
        let stage = Arc::<Stage>::default();
        tries.begun += 1;
        let mut outbound = Cow::Borrowed(&self.outbound);
        let span = self.trace.as_ref();
        let span = span.map(|trace| trace.attempt(&pick, tries.begun, &mut outbound.to_mut().head));
        let attempt = Attempt::new(self.shared, outbound, &self.upload, &pick, stage.clone());
        let mut ongoing = Ongoing::new(self.shared.clone(), pick, now);
        ongoing.span = span;
        tries.running.push(Try {
            ongoing,
            explanation,
            step: stage.step(),
            stage,
            since: now,
            is_silent: false,
            work: attempt.run().boxed(),
        });
        Ok(())
    }

    /// Takes in a failure. Whether another attempt may follow; an error when no answer can come any more.
    fn failed(
        &self,
        tries: &mut Tries<'_>,
        index: usize,
        failed: Failed,
    ) -> Result<bool, Box<Response<ProxyBody>>> {
        let over = tries.running.swap_remove(index);
        let worker = over.ongoing.pick().worker;
        over.ongoing.finish(failed.outcome);
        if let Some(fault) = self.progress.client_fault() {
            return Err(self.refuse(fault));
        }
        tries.tried.push(Tried { worker, reason: failed.reason });
        let granted = tries.begun < MAX_ATTEMPTS && self.grants(failed.phase);
        // The body may be with another attempt, which then is the one that decides.
        let is_answering = |other: &Try<'_>| other.stage.step() == Step::Answering;
        let is_lost = !self.upload.is_whole() && !tries.running.iter().any(is_answering);
        if !granted && (tries.running.is_empty() || is_lost) {
            let sent = tries.sent.take().filter(|_| failed.failure.retry);
            return Err(self.refuse(sent.unwrap_or(failed.failure)));
        }
        if !failed.failure.retry {
            tries.sent = Some(failed.failure);
        }
        Ok(granted)
    }

    fn grants(&self, phase: Phase) -> bool {
        match Retry::after(phase, self.repeatable, self.upload.is_whole()) {
            Retry::Free => true,
            Retry::Budgeted => {
                locked(&self.shared.router).may_retry(self.ask.service, self.shared.clock.now())
            }
            Retry::No => false,
        }
    }

    /// Whether another attempt may begin beside one of which nothing is heard.
    fn may_go_on(&self, tries: &Tries<'_>, step: Step) -> bool {
        tries.begun < MAX_ATTEMPTS && !tries.is_hopeful() && self.grants(step.phase())
    }

    fn may_hedge(&self, tries: &Tries<'_>) -> bool {
        let granted = tries.begun == 1
            && locked(&self.shared.router).may_hedge(self.ask.service, self.shared.clock.now());
        if granted {
            self.shared.metrics.hedges.get_or_create(&self.labels()).inc();
        }
        granted
    }

    fn labels(&self) -> ServiceLabels {
        ServiceLabels { service: self.ask.service.to_owned() }
    }

    fn refuse(&self, failure: Failure) -> Box<Response<ProxyBody>> {
        Box::new(failure.into_response(self.grpc))
    }

    fn poll(
        &self,
        tries: &mut Tries<'_>,
        hedge_after: Option<Duration>,
        alarm: Pin<&mut Option<Sleep>>,
        cx: &mut Context<'_>,
    ) -> Poll<Event> {
        for (index, tried) in tries.running.iter_mut().enumerate() {
            if let Poll::Ready(done) = tried.work.poll_unpin(cx) {
                return Poll::Ready(Event::Done(index, done));
            }
            tried.note_step(self);
        }
        let silent = tries.running.iter().position(|tried| !tried.is_silent && tried.stage.is_silent());
        if let Some(index) = silent {
            return Poll::Ready(Event::Silent(index));
        }
        let hedge_after = hedge_after.filter(|_| tries.begun == 1 && !tries.hedged);
        self.poll_alarm(tries, hedge_after, alarm, cx)
    }

    /// One timer serves for all limits, and most requests are answered before it is ever set again.
    fn poll_alarm(
        &self,
        tries: &Tries<'_>,
        hedge_after: Option<Duration>,
        mut alarm: Pin<&mut Option<Sleep>>,
        cx: &mut Context<'_>,
    ) -> Poll<Event> {
        loop {
            let hedge = hedge_after.map(|after| (self.started + after, Event::Slow));
            let limits =
                tries.running.iter().enumerate().flat_map(|(index, tried)| tried.limits(index, self));
            let held =
                self.progress.is_held_back().then(|| (tries.doubted + DOUBT_INTERVAL, Event::HeldBack));
            let Some((due, event)) = limits.chain(hedge).chain(held).min_by_key(|(due, _)| *due) else {
                return Poll::Pending;
            };
            let at = self.shared.clock.at(due).into();
            match alarm.as_mut().as_pin_mut() {
                None => alarm.set(Some(sleep_until(at))),
                Some(alarm) if at < alarm.deadline() => alarm.reset(at),
                Some(_) => {}
            }
            let Some(mut set) = alarm.as_mut().as_pin_mut() else { return Poll::Pending };
            ready!(set.as_mut().poll(cx));
            if at <= set.deadline() {
                return Poll::Ready(event);
            }
            set.reset(at);
        }
    }
}

impl Tries<'_> {
    /// Nobody is asked twice, nor while it still works on the request.
    fn avoided(&self) -> Vec<Tried> {
        let running = self.running.iter();
        let running = running.map(|it| Tried { worker: it.ongoing.pick().worker, reason: Reason::Timeout });
        self.tried.iter().copied().chain(running).collect()
    }

    /// An attempt is under way that may well be answered.
    fn is_hopeful(&self) -> bool {
        self.running.iter().any(|tried| !tried.is_silent && tried.step != Step::Lost)
    }
}

impl Try<'_> {
    fn note_step(&mut self, search: &Search<'_>) {
        let step = self.stage.step();
        if step != self.step {
            (self.step, self.since) = (step, search.shared.clock.now());
        }
    }

    /// Until when what may happen.
    fn limits(&self, index: usize, search: &Search<'_>) -> impl Iterator<Item = (Instant, Event)> {
        let timeouts = self.ongoing.pick().timeouts;
        let limit = |duration: Duration| Some(duration).filter(|limit| !limit.is_zero());
        let of_step = match self.step {
            Step::Admitting | Step::Lost => None,
            Step::Opening => limit(timeouts.connect).map(|limit| self.since + limit),
            Step::Accepting => limit(timeouts.connect).map(|limit| self.since + limit + ACCEPT_MARGIN),
            // A long upload is not taken for a slow service: the time starts again whenever the client's body moves.
            Step::Answering => {
                limit(timeouts.first_byte).map(|limit| search.progress.last().max(self.since) + limit)
            }
        };
        let of_step = of_step.map(|due| (due, Event::Overdue(index)));
        let opening = (self.step == Step::Opening && !self.is_silent)
            .then(|| (self.since + OPENING_PATIENCE, Event::Silent(index)));
        let total = limit(timeouts.total).map(|limit| (search.started + limit, Event::OutOfTime));
        of_step.into_iter().chain(opening).chain(total)
    }
}
