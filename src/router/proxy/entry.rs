//! The entry: picks an instance for a client's request, tries it, goes to another one when that is safe.

use http::header::{CONNECTION, HeaderValue, RETRY_AFTER, UPGRADE};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::attempt::{Answer, Attempt, Failed};
use super::backend::locked;
use super::body::{End, ProxyBody, Watched, empty};
use super::exit::{Outbound, absolute, is_repeatable};
use super::headers::{self, Sender};
use super::ongoing::Ongoing;
use super::pace::Paced;
use super::reply::{self, Failure};
use super::target::{ServiceTarget, single};
use super::trace;
use super::tunnel::client_side;
use super::upload::{Progress, Upload};
use super::{Active, Proxy, Shared};
use crate::metrics::{RequestLabels, ServiceLabels};
use crate::router::{Ask, MAX_ATTEMPTS, Need, Outcome, Pick, Retry, Tried};
use crate::time::{Duration, Instant};

/// A client's request for a service.
pub(super) struct Entered {
    pub(super) request: Request<Incoming>,
    pub(super) target: ServiceTarget,
    pub(super) host: Authority,
    pub(super) sender: Sender,
}

/// What is known of a request while its instance is looked for.
struct Search<'a> {
    shared: &'a std::sync::Arc<Shared>,
    ask: Ask<'a>,
    explain: bool,
    outbound: Outbound,
    upload: Upload,
    progress: Progress,
    started: Instant,
    grpc: bool,
    trace: Option<trace::Parent>,
}

/// An answer, and what is to be told about the way to it.
struct Found {
    answer: Answer,
    pick: Pick,
    ongoing: Ongoing,
    explanation: Option<String>,
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
        let Entered { mut request, target, host, sender } = entered;
        let shared = &self.shared;
        let started = shared.clock.now();
        if headers::has_been_at(request.headers(), &shared.pseudonym) {
            return Err(Failure::new(
                StatusCode::LOOP_DETECTED,
                "loop",
                "the request came back to this node",
            ));
        }
        let affinity_header = locked(&shared.router)
            .route(target.name.as_str())
            .map(|route| route.affinity_header.clone())
            .filter(|name| !name.is_empty());
        let wishes = request.headers().clone();
        let ask = ask_of(&wishes, target.name.as_str(), affinity_header.as_deref(), grpc)?;
        let tunnel = headers::wants_websocket(request.headers());
        let on_upgrade = tunnel.then(|| hyper::upgrade::on(&mut request));
        let progress = Progress::new(shared.clock, request.extensions_mut().remove());
        let (mut head, body) = request.into_parts();
        let (upload, answers) = match on_upgrade {
            Some(on_upgrade) => {
                let (sends, answers) = client_side(on_upgrade, shared.drain.parting.clone());
                (Upload::Stream(Some(sends.boxed_unsync())), Some(answers))
            }
            None => {
                let max = shared.config.max_body;
                let repeatable = is_repeatable(&head.method, &head.headers);
                (Upload::take(body, repeatable, max, &shared.replays, &progress).await?, None)
            }
        };
        headers::to_upstream(&mut head.headers, &sender, host.as_str(), target.prefix);
        shared.via.add_to(&mut head.headers, head.version);
        let path = PathAndQuery::try_from(target.path).map_err(Failure::bad_request)?;
        head.uri = absolute(host, path).map_err(Failure::bad_request)?;
        let trace = head.extensions.remove();
        head.extensions.clear();
        let tunnel = tunnel.then(|| shared.drain.parting.clone());
        let outbound = Outbound { head, tunnel };
        let explain = wishes.contains_key(headers::EXPLAIN);
        let search = Search { shared, ask, explain, outbound, upload, progress, started, grpc, trace };
        search.run(answers).await
    }
}

/// What the client's headers ask for.
fn ask_of<'a>(
    wishes: &'a HeaderMap,
    service: &'a str,
    affinity_header: Option<&str>,
    grpc: bool,
) -> Result<Ask<'a>, Failure> {
    let version = single(wishes, &headers::VERSION, "x-mesh-version").map_err(Failure::bad_request)?;
    let worker = single(wishes, &headers::WORKER, "x-mesh-worker").map_err(Failure::bad_request)?;
    Ok(Ask {
        service,
        version: version.map(str::parse).transpose().map_err(Failure::bad_request)?,
        worker: worker.map(str::parse).transpose().map_err(Failure::bad_request)?,
        need: if grpc { Need::Http2 } else { Need::Any },
        affinity: affinity_header.and_then(|name| wishes.get(name)?.to_str().ok()),
    })
}

impl Search<'_> {
    async fn run(
        mut self,
        tunnel: Option<oneshot::Sender<ProxyBody>>,
    ) -> Result<Response<ProxyBody>, Failure> {
        let mut tried = Vec::new();
        let mut sent: Option<Failure> = None;
        loop {
            let (pick, explanation) = match self.pick(&tried) {
                Ok(picked) => picked,
                // An attempt that may have been started must not be told as one that was not.
                Err(response) => return sent.map_or(Ok(*response), Err),
            };
            let mut ongoing = Ongoing::new(self.shared.clone(), pick.clone());
            ongoing.span = self
                .trace
                .as_ref()
                .map(|trace| trace.attempt(&pick, tried.len() + 1, &mut self.outbound.head));
            match self.attempt(&pick).await {
                Ok(answer) => {
                    let found = Found { answer, pick, ongoing, explanation };
                    return Ok(self.deliver(found, tried.len() + 1, tunnel));
                }
                Err(failed) => {
                    ongoing.finish(failed.outcome);
                    if let Some(fault) = self.progress.client_fault() {
                        return Err(fault);
                    }
                    tried.push(Tried { worker: pick.worker, reason: failed.reason });
                    if !self.goes_on(&failed, tried.len()) {
                        return Err(failed.failure);
                    }
                    if !failed.failure.retry {
                        sent = Some(failed.failure);
                    }
                }
            }
        }
    }

    fn pick(&self, tried: &[Tried]) -> Result<(Pick, Option<String>), Box<Response<ProxyBody>>> {
        let now = self.shared.clock.now();
        let mut router = locked(&self.shared.router);
        let pick = router
            .pick(&self.ask, tried, now)
            .map_err(|unavailable| Box::new(reply::unavailable(&unavailable, self.grpc)))?;
        let explanation = self.explain.then(|| router.explain(&self.ask, tried, &pick, now));
        router.begin(&pick, now);
        Ok((pick, explanation))
    }

    async fn attempt(&mut self, pick: &Pick) -> Result<Answer, Failed> {
        let total = pick.timeouts.total;
        let attempt = Attempt {
            shared: self.shared,
            pick,
            outbound: &self.outbound,
            upload: &mut self.upload,
            progress: &self.progress,
            deadline: (!total.is_zero()).then(|| self.started + total),
        };
        attempt.run().await
    }

    fn goes_on(&self, failed: &Failed, attempts: usize) -> bool {
        if attempts >= MAX_ATTEMPTS {
            return false;
        }
        let head = &self.outbound.head;
        let repeatable = is_repeatable(&head.method, &head.headers);
        let service = self.ask.service;
        let granted = match Retry::after(failed.phase, repeatable, self.upload.is_whole()) {
            Retry::Free => true,
            Retry::Budgeted => locked(&self.shared.router).may_retry(service, self.shared.clock.now()),
            Retry::No => false,
        };
        if granted {
            let labels = ServiceLabels { service: service.to_owned() };
            self.shared.metrics.retries.get_or_create(&labels).inc();
        }
        granted
    }

    /// Makes the client's answer out of the instance's.
    fn deliver(
        &self,
        found: Found,
        attempts: usize,
        tunnel: Option<oneshot::Sender<ProxyBody>>,
    ) -> Response<ProxyBody> {
        let Found { answer: Answer { mut response, load }, pick, mut ongoing, explanation } = found;
        let now = self.shared.clock.now();
        let (status, first_byte) = (response.status(), now.since(self.started));
        ongoing.answered(status, first_byte, retry_after(response.headers()), load);
        let worker = ongoing.worker();
        let headers = response.headers_mut();
        headers::set(headers, headers::WORKER, worker);
        headers.insert(headers::ATTEMPTS, HeaderValue::from(attempts));
        if let Some(explanation) = explanation {
            headers::set(headers, headers::EXPLAIN, &explanation);
        }
        let total = pick.timeouts.total;
        let deadline = (!total.is_zero()).then(|| self.started + total);
        let left = deadline.map(|deadline| deadline.since(now));
        let switched = status == StatusCode::SWITCHING_PROTOCOLS;
        let idle = if switched { Duration::ZERO } else { pick.timeouts.idle };
        // A tunnel outlives the answer that opened it.
        let tunnelling = switched.then(|| Active::begin(self.shared));
        let on_end = move |end, _| {
            drop(tunnelling);
            ongoing.finish(match end {
                End::Complete => Outcome::Answered { status: status.as_u16(), first_byte },
                End::Broken => Outcome::Broken,
                End::TimedOut => Outcome::Timeout,
                End::Abandoned => Outcome::Cancelled,
            });
        };
        let clock = self.shared.clock;
        let response = response.map(|body| {
            let watched = Watched::new(body, idle, left, on_end);
            Paced::new(watched, clock, idle, deadline.filter(|_| !switched)).boxed_unsync()
        });
        match tunnel {
            Some(answers) if switched => switch(response, answers),
            _ => response,
        }
    }
}

/// Lets the instance's side of a tunnel flow to the client once the client's connection has switched.
fn switch(response: Response<ProxyBody>, answers: oneshot::Sender<ProxyBody>) -> Response<ProxyBody> {
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
