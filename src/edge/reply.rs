//! Answers of the edge's own: in JSON, for front ends of any origin.

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode, Version};
use serde_json::json;

use crate::router::proxy::body::ProxyBody;
use crate::router::proxy::front::refused;
use crate::router::proxy::headers;
use crate::router::proxy::reply::{Failure, json_response};

/// When a client may come again, in seconds.
const RETRY_AFTER_S: u32 = 5;

/// Why no node could be given a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Neither the store nor the configuration names a node.
    NoSummary,
    /// None of them answers.
    NoNode,
    /// They do not believe the signature.
    Signature,
    /// They refuse the signature for its time.
    Clock,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NoSummary => "no_summary",
            Self::NoNode => "no_node",
            Self::Signature => "edge_signature",
            Self::Clock => "edge_clock",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::NoSummary => "no node of the mesh is known",
            Self::NoNode => "no node of the mesh answers",
            Self::Signature => "the nodes of the mesh do not accept this edge's signature",
            Self::Clock => "the nodes of the mesh do not accept this edge's clock",
        }
    }
}

/// What the client is told when no node could be given its request.
pub(super) struct Unavailable<'a> {
    pub(super) reason: Reason,
    pub(super) service: Option<&'a str>,
    pub(super) available_services: &'a [String],
    pub(super) tried: usize,
    /// The request was surely not started.
    pub(super) is_unstarted: bool,
    pub(super) is_grpc: bool,
}

/// 503, with what a node's own says.
pub(super) fn unavailable(why: &Unavailable<'_>) -> Response<ProxyBody> {
    let Unavailable { reason, service, available_services, tried, is_unstarted, is_grpc } = why;
    if *is_grpc {
        let failure = Failure::new(StatusCode::SERVICE_UNAVAILABLE, reason.as_str(), reason.sentence());
        return failed_stream(Failure { retry: *is_unstarted, ..failure });
    }
    let body = json!({
        "error": reason.sentence(),
        "reason": reason.as_str(),
        "service": service,
        "available_services": available_services,
        "instances": [],
        "suggestion": format!("try again in {RETRY_AFTER_S} s"),
        "retry_after": RETRY_AFTER_S,
        "tried": tried,
    });
    let mut response = json_response(StatusCode::SERVICE_UNAVAILABLE, body.to_string());
    let headers = response.headers_mut();
    headers.insert(headers::ERROR, HeaderValue::from_static(reason.as_str()));
    headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    if *is_unstarted {
        headers.insert(headers::RETRY, HeaderValue::from_static("1"));
    }
    readable(response)
}

/// The answer that tells of a failure.
pub(super) fn failed(failure: Failure, version: Version) -> Response<ProxyBody> {
    readable(refused(failure, version))
}

/// For scripts of any origin.
pub(super) fn readable(mut response: Response<ProxyBody>) -> Response<ProxyBody> {
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// 502.
pub(super) fn broken() -> Failure {
    let message = "the node broke off before it answered; whether the request was carried out is not known";
    Failure::new(StatusCode::BAD_GATEWAY, "broken", message)
}

/// 504.
pub(super) fn timed_out() -> Failure {
    let message = "the node fell silent; whether the request was carried out is not known";
    Failure::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message)
}

/// 508.
pub(super) fn looped() -> Failure {
    let message = "the request was an edge's already: x-mesh-edge is there; a node's public URL must not lead to an edge";
    Failure::new(StatusCode::LOOP_DETECTED, "loop", message)
}

/// 401.
pub(super) fn unauthorized(version: Version) -> Response<ProxyBody> {
    let message = "this path needs the admin token: Authorization: Bearer";
    let mut response = failed(Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", message), version);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// The answer that tells a client of gRPC of a failure.
pub(super) fn failed_stream(failure: Failure) -> Response<ProxyBody> {
    readable(failure.into_response(true))
}
