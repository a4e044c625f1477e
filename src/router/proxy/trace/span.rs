//! The spans of one request, with the attributes of OpenTelemetry's conventions for HTTP, and a few of the mesh's.

use http::header::{HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use opentelemetry::trace::{Span as _, SpanContext, SpanKind, Status, TraceId, Tracer as _};
use opentelemetry::{KeyValue, StringValue};
use opentelemetry_sdk::trace::Span;

use super::{Tracing, below, context};
use crate::router::proxy::body::{End, ProxyBody, Watched};
use crate::router::proxy::headers;
use crate::router::{Outcome, Pick};
use crate::time::Duration;

/// How a request came to this node.
#[derive(Debug, Clone, Copy)]
pub(in crate::router::proxy) enum Way<'a> {
    /// From a client.
    Entered { client: std::net::IpAddr, scheme: &'static str },
    /// From a member.
    Forwarded { worker: &'a str },
}

impl Tracing {
    /// Begins the span of a request for `service` whose head has come. From here on the headers name this span.
    pub(in crate::router::proxy) fn begin<B>(
        &self,
        request: &mut http::Request<B>,
        service: &str,
        way: Way<'_>,
    ) -> RequestSpan {
        let sender = context::extract(request.headers());
        if sender.is_none() {
            context::remove(request.headers_mut());
        }
        let method = known(request.method());
        let builder = self
            .tracer
            .span_builder(format!("{} {service}", method.unwrap_or("HTTP")))
            .with_kind(SpanKind::Server);
        let mut span = self.tracer.build_with_context(builder, &below(sender));
        if span.is_recording() {
            span.set_attributes(of_request(request, service));
            match way {
                Way::Entered { client, scheme } => {
                    span.set_attribute(KeyValue::new("client.address", client.to_string()));
                    span.set_attribute(KeyValue::new("url.scheme", scheme));
                }
                Way::Forwarded { worker } => {
                    span.set_attribute(KeyValue::new("mesh.worker", worker.to_owned()));
                }
            }
        }
        context::inject(request.headers_mut(), span.span_context());
        RequestSpan { span: Box::new(span), answered: false }
    }
}

/// A request, from its head to its answer's end. Dropped before an answer, it was cancelled.
#[derive(Debug)]
pub(in crate::router::proxy) struct RequestSpan {
    // Boxed, as it would make the futures of all requests larger, traced or not.
    span: Box<Span>,
    answered: bool,
}

impl RequestSpan {
    /// What the spans of its attempts begin from.
    pub(in crate::router::proxy) fn parent(&self, tracing: &Tracing) -> Parent {
        Parent { tracing: tracing.clone(), context: self.span.span_context().clone() }
    }

    /// The head of its answer is there.
    pub(in crate::router::proxy) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.answered = true;
        if !self.span.is_recording() {
            return;
        }
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        self.span.set_attribute(code(status));
        if let Some(worker) = text(headers::WORKER) {
            self.span.set_attribute(KeyValue::new("mesh.worker", worker.to_owned()));
        }
        if let Some(attempts) = text(headers::ATTEMPTS).and_then(|attempts| attempts.parse::<i64>().ok()) {
            self.span.set_attribute(KeyValue::new("mesh.attempts", attempts));
        }
        let reason = text(headers::ERROR);
        // gRPC is told of failures with status 200.
        if status.is_server_error() || status.is_success() && reason.is_some() {
            fail(&mut self.span, reason.unwrap_or(status.as_str()).to_owned());
        }
    }

    /// Ends with the answer's body; the answer says to which trace it belongs.
    pub(in crate::router::proxy) fn until_the_end(
        mut self,
        mut response: Response<ProxyBody>,
    ) -> Response<ProxyBody> {
        self.answered(response.status(), response.headers());
        response.extensions_mut().insert::<TraceId>(self.span.span_context().trace_id());
        let on_end = move |end, bytes: u64| {
            let size = i64::try_from(bytes).unwrap_or(i64::MAX);
            self.span.set_attribute(KeyValue::new("http.response.body.size", size));
            match end {
                End::Complete => {}
                End::Broken => fail(&mut self.span, "broken"),
                End::TimedOut => fail(&mut self.span, "timeout"),
                End::Abandoned => fail(&mut self.span, "cancelled"),
            }
            self.span.end();
        };
        response.map(|body| Watched::new(body, Duration::ZERO, None, on_end).boxed_unsync())
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        if !self.answered {
            fail(&mut self.span, "cancelled");
        }
    }
}

/// The request's own span, as its attempts see it.
#[derive(Debug, Clone)]
pub(in crate::router::proxy) struct Parent {
    tracing: Tracing,
    context: SpanContext,
}

impl Parent {
    /// Begins the span of the attempt with this number, and makes it the sender of `head`.
    pub(in crate::router::proxy) fn attempt(
        &self,
        pick: &Pick,
        number: usize,
        head: &mut Parts,
    ) -> AttemptSpan {
        let service = pick.endpoint.service.as_str();
        let tracer = &self.tracing.tracer;
        let name = format!("{} {service}", known(&head.method).unwrap_or("HTTP"));
        let builder = tracer.span_builder(name).with_kind(SpanKind::Client);
        let mut span = tracer.build_with_context(builder, &below(Some(self.context.clone())));
        if span.is_recording() {
            span.set_attributes(of_attempt(pick, number, head));
        }
        context::inject(&mut head.headers, span.span_context());
        AttemptSpan { span: Box::new(span) }
    }
}

/// One attempt at one instance, until its answer has ended.
#[derive(Debug)]
pub(in crate::router::proxy) struct AttemptSpan {
    span: Box<Span>,
}

impl AttemptSpan {
    /// The head of an answer came.
    pub(in crate::router::proxy) fn answered(&mut self, status: StatusCode) {
        self.span.set_attribute(code(status));
        if status.is_client_error() || status.is_server_error() {
            fail(&mut self.span, status.as_str().to_owned());
        }
    }

    /// It is over.
    pub(in crate::router::proxy) fn ended(&mut self, outcome: Outcome) {
        let reason = match outcome {
            Outcome::Answered { .. } => None,
            Outcome::Refused(_) => Some("refused"),
            Outcome::ConnectFailed => Some("connect_failed"),
            Outcome::Broken => Some("broken"),
            Outcome::Timeout => Some("timeout"),
            Outcome::Cancelled => Some("cancelled"),
            Outcome::Silent => Some("silent"),
        };
        if let Some(reason) = reason {
            fail(&mut self.span, reason);
        }
        self.span.end();
    }
}

fn of_request<B>(request: &http::Request<B>, service: &str) -> Vec<KeyValue> {
    let mut attributes = of_method(request.method());
    attributes.extend([
        KeyValue::new("url.path", request.uri().path().to_owned()),
        KeyValue::new("network.protocol.name", "http"),
        KeyValue::new("network.protocol.version", version(request.version())),
        KeyValue::new("mesh.service", service.to_owned()),
    ]);
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(host) = request.uri().host().or_else(|| text(HOST)) {
        attributes.push(KeyValue::new("server.address", host.to_owned()));
    }
    if let Some(agent) = text(USER_AGENT) {
        attributes.push(KeyValue::new("user_agent.original", agent.to_owned()));
    }
    attributes
}

/// Neither here nor above with the query, which may hold secrets.
fn of_attempt(pick: &Pick, number: usize, head: &Parts) -> Vec<KeyValue> {
    let host = head.uri.host().unwrap_or_default();
    let mut attributes = of_method(&head.method);
    attributes.extend([
        KeyValue::new("url.full", format!("http://{host}{}", head.uri.path())),
        KeyValue::new("server.address", host.to_owned()),
        KeyValue::new("mesh.service", pick.endpoint.service.as_str().to_owned()),
        KeyValue::new("mesh.worker", pick.worker.to_string()),
        KeyValue::new("mesh.attempt", i64::try_from(number).unwrap_or(i64::MAX)),
    ]);
    if let Some(addr) = pick.addr.filter(|_| !pick.local) {
        attributes.push(KeyValue::new("network.peer.address", addr.ip().to_string()));
        attributes.push(KeyValue::new("network.peer.port", i64::from(addr.port())));
    }
    if number > 1 {
        let before = i64::try_from(number - 1).unwrap_or(i64::MAX);
        attributes.push(KeyValue::new("http.request.resend_count", before));
    }
    attributes
}

fn of_method(method: &Method) -> Vec<KeyValue> {
    let mut attributes = Vec::with_capacity(12);
    attributes.push(KeyValue::new("http.request.method", known(method).unwrap_or("_OTHER")));
    if known(method).is_none() {
        attributes.push(KeyValue::new("http.request.method_original", method.to_string()));
    }
    attributes
}

/// Methods that clients make up would be as many names of spans.
fn known(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str())
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

fn code(status: StatusCode) -> KeyValue {
    KeyValue::new("http.response.status_code", i64::from(status.as_u16()))
}

fn fail(span: &mut Span, reason: impl Into<StringValue>) {
    span.set_attribute(KeyValue::new("error.type", reason.into()));
    span.set_status(Status::error(""));
}
