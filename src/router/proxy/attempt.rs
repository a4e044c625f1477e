//! One attempt: gives a request to one instance, here or over a link, and says how far it came when it failed.

use std::future::Future;

use http::header::{EXPECT, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::time::{sleep_until, timeout};

use super::body::ProxyBody;
use super::exit::{Broken, Outbound};
use super::reply::Failure;
use super::upload::{Progress, Upload};
use super::{Shared, headers, inbound, stream};
use crate::clock::Clock;
use crate::mesh::LinkFailure;
use crate::router::{ExitLoad, Outcome, Phase, Pick, Reason, Refusal};
use crate::time::{Duration, Instant, earliest};

/// How much longer than its own connecting an exit may take to accept a request.
const ACCEPT_MARGIN: Duration = Duration::from_secs(1);

/// One attempt at one instance.
pub(super) struct Attempt<'a> {
    pub(super) shared: &'a Shared,
    pub(super) pick: &'a Pick,
    pub(super) outbound: &'a Outbound,
    pub(super) upload: &'a mut Upload,
    pub(super) progress: &'a Progress,
    pub(super) deadline: Option<Instant>,
}

/// An instance's answer.
pub(super) struct Answer {
    pub(super) response: Response<ProxyBody>,
    pub(super) load: Option<ExitLoad>,
}

/// An attempt that brought no answer.
#[derive(Debug)]
pub(super) struct Failed {
    /// How far it came.
    pub(super) phase: Phase,
    /// Why, for those who ask what became of the instances.
    pub(super) reason: Reason,
    /// What the router learns from it.
    pub(super) outcome: Outcome,
    /// What the client is told when this was the last attempt.
    pub(super) failure: Failure,
}

impl Attempt<'_> {
    /// Makes the attempt. Dropping the future cancels it at the instance.
    pub(super) async fn run(self) -> Result<Answer, Failed> {
        if self.pick.local { self.here().await } else { self.over_link().await }
    }

    async fn here(self) -> Result<Answer, Failed> {
        let admitted = self.shared.exit.admit(&self.pick.endpoint.service).await.map_err(Failed::refused)?;
        let body = self.upload.body();
        let sent = admitted.send(self.outbound, body);
        let limits = Limits::of(self.shared, self.pick, self.progress, self.deadline);
        let response = limits.hold(sent).await?.map_err(|broken| Failed::broken(&broken))?;
        Ok(Answer { response, load: None })
    }

    async fn over_link(self) -> Result<Answer, Failed> {
        let addr = self.pick.addr.ok_or_else(|| Failed::refused(Reason::NoRoute))?;
        let limit = self.pick.timeouts.connect;
        let link = within(limit, self.shared.links.open(self.pick.worker, addr)).await;
        let mut link = link.unwrap_or(Err(LinkFailure::TimedOut)).map_err(Failed::no_link)?;
        let limits = Limits::of(self.shared, self.pick, self.progress, self.deadline);
        let waits = self.upload.waits();
        let head = self.head_for_link(waits);
        let mut opened = stream::open(&mut link, head, self.upload.exists())
            .map_err(|_| Failed::no_link(LinkFailure::Unreachable))?;
        let mut body = None;
        if waits {
            let limit = if limit.is_zero() { limit } else { limit + ACCEPT_MARGIN };
            match within(limit, opened.accepted()).await {
                Some(Ok(true)) => body = self.upload.body(),
                Some(Ok(false)) => {}
                Some(Err(_)) => return Err(Failed::no_link(LinkFailure::Unreachable)),
                None => return Err(Failed::refused(Reason::Timeout)),
            }
        } else {
            body = self.upload.body();
        }
        let response = limits.hold(opened.exchange(body)).await?.map_err(|error| {
            if stream::surely_unseen(&error) {
                Failed::no_link(LinkFailure::Unreachable)
            } else {
                Failed::broken(&Broken::from(error))
            }
        })?;
        from_exit(response)
    }

    fn head_for_link(&self, waits: bool) -> Request<()> {
        let mut head = self.outbound.head.clone();
        head.version = http::Version::HTTP_2;
        headers::set(&mut head.headers, headers::SERVICE, self.pick.endpoint.service.as_str());
        head.headers.insert(headers::HOP, HeaderValue::from_static("1"));
        if waits {
            head.headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        }
        if self.outbound.tunnel.is_some() {
            head.headers.insert(headers::TUNNEL, HeaderValue::from_static("websocket"));
        }
        Request::from_parts(head, ())
    }
}

/// How long an answer's head may take.
struct Limits<'a> {
    clock: Clock,
    first_byte: Duration,
    deadline: Option<Instant>,
    progress: &'a Progress,
}

impl<'a> Limits<'a> {
    const fn of(shared: &Shared, pick: &Pick, progress: &'a Progress, deadline: Option<Instant>) -> Self {
        Self { clock: shared.clock, first_byte: pick.timeouts.first_byte, deadline, progress }
    }

    /// Waits for an answer's head. The clock for its first byte starts again whenever the client's body moves, so
    /// that a long upload is not taken for a slow service.
    async fn hold<T>(&self, answer: impl Future<Output = T>) -> Result<T, Failed> {
        let mut answer = std::pin::pin!(answer);
        let begun = self.clock.now();
        loop {
            let first_byte =
                (!self.first_byte.is_zero()).then(|| self.progress.last().max(begun) + self.first_byte);
            let Some(until) = earliest(first_byte, self.deadline) else { return Ok(answer.await) };
            tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer),
                () = sleep_until(self.clock.at(until).into()) => {}
            }
            let moved_since = first_byte
                .is_some_and(|first_byte| self.progress.last().max(begun) + self.first_byte > first_byte);
            let out_of_time = self.deadline.is_some_and(|deadline| self.clock.now() >= deadline);
            if out_of_time || !moved_since {
                return Err(Failed::timed_out());
            }
        }
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    if limit.is_zero() { Some(work.await) } else { timeout(limit, work).await.ok() }
}

/// Tells a service's answer from what the exit itself had to say.
fn from_exit(mut response: Response<ProxyBody>) -> Result<Answer, Failed> {
    let headers = response.headers_mut();
    let text = |headers: &HeaderMap, name| {
        headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok().map(str::to_owned))
    };
    let load = text(headers, headers::LOAD)
        .and_then(|load| load.parse().ok())
        .map(|in_flight| ExitLoad { in_flight });
    let error = text(headers, headers::ERROR);
    let unstarted = headers.contains_key(headers::RETRY);
    let tunnel = headers.contains_key(headers::TUNNEL);
    headers::strip_hop_by_hop(headers);
    headers::strip_mesh(headers);
    if unstarted {
        return Err(Failed::refused(error.as_deref().map_or(Reason::Saturated, reason_named)));
    }
    if let Some(error) = error {
        if response.status() == StatusCode::BAD_GATEWAY {
            return Err(Failed::broken(&Broken::AtExit));
        }
        headers::set(response.headers_mut(), headers::ERROR, error.as_str());
    }
    if tunnel {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    }
    Ok(Answer { response, load })
}

fn reason_named(name: &str) -> Reason {
    [Reason::Draining, Reason::Saturated, Reason::NoRoute, Reason::Timeout]
        .into_iter()
        .find(|reason| reason.as_str() == name)
        .unwrap_or(Reason::ConnectFailed)
}

impl Failed {
    /// Refused before it was started.
    fn refused(reason: Reason) -> Self {
        let outcome = match reason {
            Reason::Draining => Outcome::Refused(Refusal::Draining),
            Reason::Saturated => Outcome::Refused(Refusal::Saturated),
            Reason::NoRoute => Outcome::Refused(Refusal::NoRoute),
            Reason::VersionMismatch
            | Reason::ProtocolMismatch
            | Reason::Left
            | Reason::Dead
            | Reason::Unhealthy
            | Reason::Unknown
            | Reason::Ejected
            | Reason::Unroutable
            | Reason::Suspect
            | Reason::Degraded
            | Reason::ConnectFailed
            | Reason::Timeout => Outcome::ConnectFailed,
        };
        let message = format!("the last instance that was tried did not take the request: {reason}");
        let failure = Failure::unstarted(StatusCode::SERVICE_UNAVAILABLE, reason.as_str(), message);
        Self { phase: Phase::Refused, reason, outcome, failure }
    }

    fn no_link(failure: LinkFailure) -> Self {
        let reason = match failure {
            LinkFailure::TimedOut | LinkFailure::Stalled => Reason::Timeout,
            LinkFailure::Unreachable | LinkFailure::WrongPeer => Reason::ConnectFailed,
        };
        Self { phase: Phase::Unsent, outcome: Outcome::ConnectFailed, ..Self::refused(reason) }
    }

    fn broken(broken: &Broken) -> Self {
        let failure = inbound::broken_answer(broken);
        Self { phase: Phase::Sent, reason: Reason::ConnectFailed, outcome: Outcome::Broken, failure }
    }

    fn timed_out() -> Self {
        let message = "the service did not answer in time";
        let failure = Failure::new(StatusCode::GATEWAY_TIMEOUT, Reason::Timeout.as_str(), message);
        Self { phase: Phase::Sent, reason: Reason::Timeout, outcome: Outcome::Timeout, failure }
    }
}
