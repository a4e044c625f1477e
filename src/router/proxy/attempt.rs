//! One attempt: gives a request to one instance, here or over a link, and says how far it came when it failed.

use std::borrow::Cow;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use http::header::{EXPECT, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body::Body as _;

use super::body::ProxyBody;
use super::exit::{Broken, Outbound};
use super::reply::Failure;
use super::upload::Upload;
use super::{Shared, headers, inbound, stream};
use crate::id::NodeId;
use crate::manifest::Service;
use crate::mesh::LinkFailure;
use crate::router::{ExitLoad, Outcome, Phase, Pick, Reason, Refusal};
use crate::transport::Place;

/// One attempt at one instance.
pub(super) struct Attempt<'a> {
    shared: &'a Shared,
    outbound: Cow<'a, Outbound>,
    upload: &'a Upload,
    service: Arc<Service>,
    worker: NodeId,
    addr: Option<SocketAddr>,
    local: bool,
    stage: Arc<Stage>,
}

/// An instance's answer.
pub(super) struct Answer {
    pub(super) response: Response<ProxyBody>,
    pub(super) load: Option<ExitLoad>,
    /// Where it comes from over a link; to be kept until the answer has ended.
    pub(super) place: Option<Place>,
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

/// How far an attempt has come; shared with whoever waits for it.
#[derive(Debug, Default)]
pub(super) struct Stage(AtomicU8);

/// The steps of an attempt, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A service of this node is connected to.
    Admitting,
    /// A link is looked for.
    Opening,
    /// The exit is asked whether it takes the request.
    Accepting,
    /// The request is with the instance.
    Answering,
    /// The request's body went elsewhere.
    Lost,
}

/// Set beside the step when the peer did not even answer a ping.
const SILENT: u8 = 0x80;

impl Stage {
    /// The step.
    pub(super) fn step(&self) -> Step {
        match self.0.load(Ordering::Relaxed) & !SILENT {
            0 => Step::Admitting,
            1 => Step::Opening,
            2 => Step::Accepting,
            3 => Step::Answering,
            _ => Step::Lost,
        }
    }

    /// The peer did not even answer a ping.
    pub(super) fn is_silent(&self) -> bool {
        self.0.load(Ordering::Relaxed) & SILENT != 0
    }

    fn enter(&self, step: Step) {
        self.0.store(step as u8, Ordering::Relaxed);
    }

    fn fall_silent(&self) {
        self.0.fetch_or(SILENT, Ordering::Relaxed);
    }
}

impl Step {
    /// What a failure at this step says of the request.
    pub(super) const fn phase(self) -> Phase {
        match self {
            Self::Admitting | Self::Opening | Self::Accepting | Self::Lost => Phase::Unsent,
            Self::Answering => Phase::Sent,
        }
    }

    /// What an attempt is that has been at this step for too long.
    pub(super) fn overdue(self) -> Failed {
        match self {
            Self::Opening => Failed::no_link(LinkFailure::TimedOut),
            Self::Admitting | Self::Accepting | Self::Lost => Failed::refused(Reason::Timeout),
            Self::Answering => Failed::timed_out(),
        }
    }
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        outbound: Cow<'a, Outbound>,
        upload: &'a Upload,
        pick: &Pick,
        stage: Arc<Stage>,
    ) -> Self {
        let Pick { worker, addr, local, .. } = *pick;
        stage.enter(if local { Step::Admitting } else { Step::Opening });
        Self { shared, outbound, upload, service: pick.service.clone(), worker, addr, local, stage }
    }

    /// Makes the attempt. Dropping the future cancels it at the instance.
    pub(super) async fn run(self) -> Result<Answer, Failed> {
        if self.local { self.here().await } else { self.over_link().await }
    }

    async fn here(self) -> Result<Answer, Failed> {
        let admitted = self.shared.exit.admit(&self.service.name).await.map_err(Failed::refused)?;
        let Ok(body) = self.upload.body() else { return self.lose().await };
        self.stage.enter(Step::Answering);
        let body = body.filter(|body| !body.is_end_stream());
        let response =
            admitted.send(&self.outbound, body).await.map_err(|broken| Failed::at_service(&broken))?;
        Ok(Answer { response, load: None, place: None })
    }

    async fn over_link(self) -> Result<Answer, Failed> {
        let addr = self.addr.ok_or_else(|| Failed::refused(Reason::NoRoute))?;
        let lane = self.shared.links.open(self.worker, addr).await.map_err(Failed::no_link)?;
        let (mut sender, mut place) = (lane.sender, lane.place);
        let waits = self.upload.waits();
        let head = self.head_for_link(waits);
        let opened = stream::open(&mut sender, head, self.upload.exists())
            .map_err(|_| Failed::no_link(LinkFailure::Unreachable))?;
        self.stage.enter(if waits { Step::Accepting } else { Step::Answering });
        let response = self.noting_silence(&place, self.exchange(opened, waits)).await?;
        place.answered();
        from_exit(response, place)
    }

    /// Waits for the answer; the body goes out once the exit takes it.
    async fn exchange(&self, mut opened: stream::Opened, waits: bool) -> Result<Response<ProxyBody>, Failed> {
        let takes_it = if waits {
            opened.accepted().await.map_err(|_| Failed::no_link(LinkFailure::Unreachable))?
        } else {
            true
        };
        let body = if takes_it {
            let Ok(body) = self.upload.body() else {
                drop(opened);
                return self.lose().await;
            };
            self.stage.enter(Step::Answering);
            body
        } else {
            None
        };
        opened.exchange(body).await.map_err(|error| {
            if stream::surely_unseen(&error) {
                Failed::no_link(LinkFailure::Unreachable)
            } else {
                Failed::broken(&Broken::from(error))
            }
        })
    }

    /// Another attempt has the body. Nothing is to be told of this one any more.
    async fn lose<T>(&self) -> T {
        self.stage.enter(Step::Lost);
        pending().await
    }

    /// Does `work`, and notes once when the peer falls silent meanwhile; it may still come back.
    async fn noting_silence<T>(&self, place: &Place, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => done,
            () = place.silent() => {
                self.stage.fall_silent();
                work.await
            }
        }
    }

    fn head_for_link(&self, waits: bool) -> Request<()> {
        let mut head = self.outbound.head.clone();
        head.version = http::Version::HTTP_2;
        headers::set(&mut head.headers, headers::SERVICE, self.service.name.as_str());
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

/// Tells a service's answer from what the exit itself had to say.
fn from_exit(mut response: Response<ProxyBody>, place: Place) -> Result<Answer, Failed> {
    let headers = response.headers_mut();
    let load = headers.get(headers::LOAD).and_then(|load| load.to_str().ok()?.parse().ok());
    let load = load.map(|in_flight| ExitLoad { in_flight });
    let error = headers.get(headers::ERROR).cloned();
    let unstarted = headers.contains_key(headers::RETRY);
    let tunnel = headers.contains_key(headers::TUNNEL);
    headers::strip_hop_by_hop(headers);
    headers::strip_mesh(headers);
    if unstarted {
        let reason = error.as_ref().and_then(|error| error.to_str().ok()).map(reason_named);
        return Err(Failed::refused(reason.unwrap_or(Reason::Saturated)));
    }
    if let Some(error) = error {
        if response.status() == StatusCode::BAD_GATEWAY {
            return Err(Failed::broken(&Broken::AtExit));
        }
        response.headers_mut().insert(headers::ERROR, error);
    }
    if tunnel {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    }
    Ok(Answer { response, load, place: Some(place) })
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

    /// No way to the instance's node.
    fn no_link(failure: LinkFailure) -> Self {
        let reason = match failure {
            LinkFailure::TimedOut | LinkFailure::Stalled => Reason::Timeout,
            LinkFailure::Unreachable | LinkFailure::WrongPeer => Reason::ConnectFailed,
        };
        Self { phase: Phase::Unsent, outcome: Outcome::ConnectFailed, ..Self::refused(reason) }
    }

    fn at_service(broken: &Broken) -> Self {
        if let Broken::Unwritten(failure) = broken {
            return Self::refused(failure.reason());
        }
        Self::broken(broken)
    }

    fn broken(broken: &Broken) -> Self {
        let failure = inbound::broken_answer(broken);
        Self { phase: Phase::Sent, reason: Reason::ConnectFailed, outcome: Outcome::Broken, failure }
    }

    /// The instance has the request, and did not answer in time.
    pub(super) fn timed_out() -> Self {
        let message = "the service did not answer in time";
        let failure = Failure::new(StatusCode::GATEWAY_TIMEOUT, Reason::Timeout.as_str(), message);
        Self { phase: Phase::Sent, reason: Reason::Timeout, outcome: Outcome::Timeout, failure }
    }
}
