//! The ingress's own resources: what is on offer, the live summary, and whether this node serves.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::Proxy;
use super::backend::locked;
use super::body::{ProxyBody, empty};
use super::headers;
use super::reply::{Failure, json_response};

impl Proxy {
    /// `GET /api/services`, for front ends of any origin.
    pub(super) fn services<B>(&self, request: &Request<B>) -> Response<ProxyBody> {
        let mut response = if request.method() == Method::OPTIONS {
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        } else if reads(request) {
            let services = locked(&self.shared.router).services();
            let body = json!(services).to_string();
            tagged(request.headers(), &tag(body.as_bytes()), body)
        } else {
            only_reading()
        };
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("if-none-match"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("etag"));
        response
    }

    /// `GET /.mesh/summary`.
    pub(super) fn summary<B>(&self, request: &Request<B>) -> Response<ProxyBody> {
        if !reads(request) {
            return only_reading();
        }
        let summary = self.shared.summary.borrow().to_string();
        tagged(request.headers(), &summary_tag(&summary), summary)
    }

    /// `GET /health`.
    pub(super) fn health<B>(&self, request: &Request<B>) -> Response<ProxyBody> {
        health(request.method(), self.draining())
    }
}

/// Whether a program serves, which a node and an edge tell alike.
pub(crate) fn health(method: &Method, is_draining: bool) -> Response<ProxyBody> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return only_reading();
    }
    let (status, word) =
        if is_draining { (StatusCode::SERVICE_UNAVAILABLE, "draining") } else { (StatusCode::OK, "ok") };
    let mut response = json_response(status, json!({ "status": word }).to_string());
    if is_draining {
        response.headers_mut().insert(headers::ERROR, HeaderValue::from_static("draining"));
    }
    response
}

fn reads<B>(request: &Request<B>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

/// 405, for what can only be read.
pub(crate) fn only_reading() -> Response<ProxyBody> {
    let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method", "only GET and HEAD are served here");
    let mut response = failure.into_response(false);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn tag(content: &[u8]) -> String {
    format!("\"{}\"", &blake3::hash(content).to_hex()[..16])
}

/// The times in a summary go on when nothing changes, so the tag leaves them out; what is stored is told by term and seq.
fn summary_tag(summary: &str) -> String {
    let mut content: serde_json::Map<String, Value> = serde_json::from_str(summary).unwrap_or_default();
    for moment in ["observed_at", "at", "slot"] {
        content.remove(moment);
    }
    tag(Value::Object(content).to_string().as_bytes())
}

/// JSON with a tag of its content; 304 when the caller has it already.
fn tagged(asked: &HeaderMap, tag: &str, body: String) -> Response<ProxyBody> {
    let known = asked
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag || known.trim() == "*");
    let mut response = if known {
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        json_response(StatusCode::OK, body)
    };
    headers::set(response.headers_mut(), ETAG, tag);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
