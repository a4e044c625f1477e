//! The entry: picks an instance for a client's request, tries it, goes to another one when that is safe.

use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, RETRY_AFTER, UPGRADE};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::attempt::Answer;
use super::backend::locked;
use super::body::{End, ProxyBody, Watched, empty};
use super::drain::Active;
use super::exit::{Outbound, absolute, is_repeatable};
use super::headers::{self, Sender};
use super::pace::Paced;
use super::reply::Failure;
use super::search::{Found, Search};
use super::socket::Presence;
use super::target::{ServiceTarget, single};
use super::tunnel::client_side;
use super::upload::{Progress, REPLAY_MAX, Upload};
use super::{Proxy, Shared};
use crate::id::NodeId;
use crate::metrics::RequestLabels;
use crate::router::{Ask, Need, Outcome, Selector};
use crate::time::{Duration, Instant};

/// A client's request for a service.
pub(super) struct Entered {
    pub(super) request: Request<Incoming>,
    pub(super) target: ServiceTarget,
    pub(super) host: Authority,
    pub(super) sender: Sender,
    pub(super) presence: Presence,
}

impl Proxy {
    /// Answers a request for a service.
    pub(super) async fn enter_service(&self, mut entered: Entered) -> Response<ProxyBody> {
        let grpc = headers::is_grpc(entered.request.headers());
        let service = entered.target.name.clone();
        let span = self.begin_span(&mut entered);
        let result = self.try_service(entered, grpc).await;
        let response = result.unwrap_or_else(|failure| failure.into_response(grpc));
        if !response.headers().contains_key(headers::WORKER) {
            self.count_own_answer(service.as_str(), response.status());
        }
        match span {
            Some(span) => span.until_the_end(response),
            None => response,
        }
    }

    /// Counts an answer of the mesh's own. Names that nobody offers share a label: clients make them up.
    fn count_own_answer(&self, service: &str, status: StatusCode) {
        let offered = locked(&self.shared.router).route(service).is_some();
        let service = if offered { service.to_owned() } else { String::new() };
        let labels = RequestLabels { service, worker: String::new(), code: status.as_u16() };
        self.shared.metrics.requests.get_or_create(&labels).inc();
    }

    async fn try_service(&self, entered: Entered, grpc: bool) -> Result<Response<ProxyBody>, Failure> {
        let Entered { mut request, target, host, sender, presence } = entered;
        let shared = &self.shared;
        let started = shared.clock.now();
        if headers::has_been_at(request.headers(), &shared.pseudonym) {
            return Err(Failure::new(
                StatusCode::LOOP_DETECTED,
                "loop",
                "the request came back to this node",
            ));
        }
        let route = locked(&shared.router).route(target.name.as_str());
        let affinity_header = route.as_ref().map_or("", |route| route.affinity_header.as_str());
        let wishes = Wishes::of(request.headers(), affinity_header)?;
        let tunnel = headers::asks_for_websocket(&request);
        let on_upgrade = tunnel.then(|| hyper::upgrade::on(&mut request));
        let progress = {
            // Streams of gRPC may be silent for as long as both ends like.
            let min_rate = if grpc { 0 } else { shared.config.min_body_rate };
            Progress::new(shared.clock, started, min_rate, request.extensions_mut().remove())
        };
        let (mut head, body) = request.into_parts();
        let repeatable = is_repeatable(&head.method, &head.headers);
        let (upload, answers) = match on_upgrade {
            Some(on_upgrade) => {
                let turn = head.extensions.remove();
                let (sends, answers) = client_side(on_upgrade, turn, shared.drain.parting.clone());
                (Upload::stream(sends.boxed_unsync()), Some(answers))
            }
            None => {
                let max = shared.config.max_body;
                let is_empty = body.is_end_stream();
                let upload = if is_empty {
                    Upload::of_nothing(repeatable)
                } else {
                    let keep = if repeatable { REPLAY_MAX } else { 0 };
                    Box::pin(Upload::take(body, keep, max, &shared.replays, &progress)).await?
                };
                if is_empty && upload.exists() {
                    // Nothing follows, but only once the exit has taken the request.
                    head.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
                }
                (upload, None)
            }
        };
        headers::to_upstream(&mut head.headers, &sender, host.as_str(), target.prefix);
        shared.via.add_to(&mut head.headers, head.version);
        let path = PathAndQuery::try_from(target.path).map_err(Failure::bad_request)?;
        head.uri = absolute(host, path).map_err(Failure::bad_request)?;
        let trace = head.extensions.remove();
        head.extensions.clear();
        let search = Search {
            shared,
            ask: wishes.ask(target.name.as_str(), grpc),
            explain: wishes.explain,
            outbound: Outbound { head, tunnel: tunnel.then(|| shared.drain.parting.clone()) },
            upload,
            progress,
            presence,
            started,
            repeatable,
            grpc,
            trace,
        };
        Ok(match search.run().await {
            Ok(found) => {
                search.progress.answered();
                deliver(shared, started, found, search.progress, answers)
            }
            Err(response) => *response,
        })
    }
}

/// What the client's headers ask for.
struct Wishes {
    version: Option<Selector>,
    worker: Option<NodeId>,
    affinity: Option<HeaderValue>,
    explain: bool,
}

impl Wishes {
    fn of(headers: &HeaderMap, affinity_header: &str) -> Result<Self, Failure> {
        let version = single(headers, &headers::VERSION, "x-mesh-version").map_err(Failure::bad_request)?;
        let worker = single(headers, &headers::WORKER, "x-mesh-worker").map_err(Failure::bad_request)?;
        let affinity = (!affinity_header.is_empty()).then(|| headers.get(affinity_header).cloned());
        Ok(Self {
            version: version.map(str::parse).transpose().map_err(Failure::bad_request)?,
            worker: worker.map(str::parse).transpose().map_err(Failure::bad_request)?,
            affinity: affinity.flatten(),
            explain: headers.contains_key(headers::EXPLAIN),
        })
    }

    fn ask<'a>(&'a self, service: &'a str, grpc: bool) -> Ask<'a> {
        Ask {
            service,
            version: self.version.clone(),
            worker: self.worker,
            need: if grpc { Need::Http2 } else { Need::Any },
            affinity: self.affinity.as_ref().and_then(|value| value.to_str().ok()),
        }
    }
}

/// Makes the client's answer out of the instance's.
fn deliver(
    shared: &Arc<Shared>,
    started: Instant,
    found: Found,
    progress: Progress,
    tunnel: Option<oneshot::Sender<ProxyBody>>,
) -> Response<ProxyBody> {
    let Found { answer: Answer { mut response, load, place }, mut ongoing, explanation, attempts } = found;
    let now = shared.clock.now();
    let (status, first_byte) = (response.status(), now.since(started));
    ongoing.answered(status, first_byte, retry_after(response.headers()), load);
    let headers = response.headers_mut();
    headers::set(headers, headers::WORKER, ongoing.worker());
    headers.insert(headers::ATTEMPTS, HeaderValue::from(attempts));
    if let Some(explanation) = explanation {
        headers::set(headers, headers::EXPLAIN, explanation);
    }
    let timeouts = ongoing.pick().timeouts;
    let deadline = (!timeouts.total.is_zero()).then(|| started + timeouts.total);
    let left = deadline.map(|deadline| deadline.since(now));
    let switched = status == StatusCode::SWITCHING_PROTOCOLS;
    let idle = if switched { Duration::ZERO } else { timeouts.idle };
    // A tunnel outlives the answer that opened it.
    let tunnelling = switched.then(|| Active::begin(&shared.drain));
    let on_end = move |end, sent| {
        drop((tunnelling, place));
        ongoing.moved(progress.received(), sent);
        ongoing.finish(match end {
            End::Complete => Outcome::Answered { status: status.as_u16(), first_byte },
            End::Broken => Outcome::Broken,
            End::TimedOut => Outcome::Timeout,
            End::Abandoned => Outcome::Cancelled,
        });
    };
    let clock = shared.clock;
    let response = response.map(|body| {
        let watched = Watched::new(body, idle, left, on_end);
        Paced::new(watched, clock, idle, deadline.filter(|_| !switched)).boxed_unsync()
    });
    match tunnel {
        Some(answers) if switched => switch(response, answers),
        _ => response,
    }
}

/// Lets the instance's side of a tunnel flow to the client once the client's connection has switched.
pub(crate) fn switch(
    response: Response<ProxyBody>,
    answers: oneshot::Sender<ProxyBody>,
) -> Response<ProxyBody> {
    let (mut head, body) = response.into_parts();
    // Fails when the request was dropped, and then nobody reads this answer either.
    let _ = answers.send(body);
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    Response::from_parts(head, empty())
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
