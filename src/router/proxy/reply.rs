//! Answers that the mesh itself gives, in JSON or as gRPC's trailers-only form.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde_json::json;

use super::body::{ProxyBody, empty, full};
use super::headers;
use crate::router::{Reason, Unavailable};

/// Something went wrong that is the mesh's to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The status for HTTP callers.
    pub(crate) status: StatusCode,
    /// The value of `x-mesh-error`.
    pub(crate) reason: &'static str,
    /// A sentence for a human.
    pub(crate) message: String,
    /// The request was surely not started.
    pub(crate) retry: bool,
}

impl Failure {
    /// A failure after which the request must not be sent again blindly.
    pub(crate) fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into(), retry: false }
    }

    /// The same, of a request that was surely not started.
    pub(crate) fn unstarted(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { retry: true, ..Self::new(status, reason, message) }
    }

    /// 400.
    pub(crate) fn bad_request(message: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message.to_string())
    }

    /// The answer.
    pub(crate) fn into_response(self, grpc: bool) -> Response<ProxyBody> {
        if grpc {
            return self.into_grpc();
        }
        let body = json!({ "error": self.message, "reason": self.reason });
        let mut response = json_response(self.status, body.to_string());
        self.mark(&mut response);
        response
    }

    fn into_grpc(self) -> Response<ProxyBody> {
        let code = match self.status {
            StatusCode::BAD_REQUEST => 3,
            StatusCode::GATEWAY_TIMEOUT => 4,
            StatusCode::FORBIDDEN => 7,
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => 8,
            _ if self.reason == Reason::ProtocolMismatch.as_str() => 12,
            _ => 14,
        };
        let mut response = grpc_response(code, &self.message);
        self.mark(&mut response);
        response
    }

    fn mark(&self, response: &mut Response<ProxyBody>) {
        let headers = response.headers_mut();
        headers.insert(headers::ERROR, HeaderValue::from_static(self.reason));
        if self.retry {
            headers.insert(headers::RETRY, HeaderValue::from_static("1"));
        }
    }
}

/// The answer when no instance can take a request.
pub(crate) fn unavailable(why: &Unavailable, grpc: bool) -> Response<ProxyBody> {
    let reason = why.reason();
    let mut response = if grpc {
        let code = if reason == Reason::ProtocolMismatch { 12 } else { 14 };
        grpc_response(code, &format!("{}. {}", why.error, why.suggestion))
    } else {
        json_response(StatusCode::SERVICE_UNAVAILABLE, json!(why).to_string())
    };
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(why.retry_after));
    headers.insert(headers::ERROR, HeaderValue::from_static(reason.as_str()));
    headers.insert(headers::RETRY, HeaderValue::from_static("1"));
    response
}

/// An answer in JSON that nobody may keep.
pub(crate) fn json_response(status: StatusCode, body: String) -> Response<ProxyBody> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A gRPC answer that consists of its trailers only, which then travel as headers.
fn grpc_response(code: u16, message: &str) -> Response<ProxyBody> {
    let mut response = Response::new(empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(code));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(message)) {
        headers.insert("grpc-message", message);
    }
    response
}

fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
