//! The check of gRPC services: one call of `grpc.health.v1.Health/Check`, the protocol that gRPC servers have in common.

use http::{HeaderMap, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use prost::Message;

use super::{MAX_BODY_LEN, USER_AGENT, answered, failed};
use crate::config::ServiceConfig;
use crate::manifest::Health;
use crate::probe::Outcome;

const METHOD: &str = "/grpc.health.v1.Health/Check";

/// In front of each message: whether it is compressed, and its length in four bytes.
const PREFIX_LEN: usize = 5;

#[derive(Clone, PartialEq, Message)]
pub(super) struct CheckRequest {
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

#[derive(Clone, PartialEq, Message)]
struct CheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The call that asks for the service that `health` names; empty is the server as a whole.
pub(super) fn request(service: &ServiceConfig) -> Result<Request<Full<Bytes>>, http::Error> {
    let uri: Uri = format!("{}{METHOD}", service.url.as_str().trim_end_matches('/')).parse()?;
    let message = CheckRequest { service: service.health.clone() }.encode_to_vec();
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    body.extend(message);
    Request::builder()
        .method(Method::POST)
        .uri(uri)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, USER_AGENT)
        .header("grpc-timeout", format!("{}m", service.timeout.as_millis()))
        .body(Full::new(Bytes::from(body)))
}

/// What the answer says: only SERVING is healthy.
pub(super) async fn outcome(response: Response<Incoming>) -> Outcome {
    let (head, body) = response.into_parts();
    if head.status != http::StatusCode::OK {
        return failed(format!("no answer of gRPC, but {}", head.status));
    }
    // An answer without a message has what would be its trailers in its head.
    if let Some(refusal) = refusal(&head.headers) {
        return failed(refusal);
    }
    let Ok(collected) = Limited::new(body, MAX_BODY_LEN).collect().await else {
        return failed("the answer broke off, or is too long".to_owned());
    };
    let trailers = collected.trailers().cloned().unwrap_or_default();
    if let Some(refusal) = refusal(&trailers) {
        return failed(refusal);
    }
    if !head.headers.contains_key("grpc-status") && !trailers.contains_key("grpc-status") {
        return failed("no answer of gRPC: it has no grpc-status".to_owned());
    }
    match message(&collected.to_bytes()).map(|response| response.status) {
        Some(1) => answered(Health::Healthy, "SERVING".to_owned()),
        Some(2) => failed("NOT_SERVING".to_owned()),
        Some(3) => failed("SERVICE_UNKNOWN".to_owned()),
        Some(status) => failed(format!("the health status is unknown ({status})")),
        None => failed("the answer has no message that can be read".to_owned()),
    }
}

/// Why the call failed; `None` when it did not, or when that is not known yet.
fn refusal(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let status = text("grpc-status")?;
    match status {
        "0" => None,
        "5" => Some("NOT_FOUND: the server does not know the service that `health` names".to_owned()),
        "12" => Some("UNIMPLEMENTED: the server has no grpc.health.v1.Health".to_owned()),
        status => Some(format!("grpc-status {status}: {}", text("grpc-message").unwrap_or_default())),
    }
}

fn message(body: &[u8]) -> Option<CheckResponse> {
    let (prefix, rest) = body.split_at_checked(PREFIX_LEN)?;
    let (compressed, length) = prefix.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    let message = rest.get(..usize::try_from(length).ok()?)?;
    (*compressed == 0).then(|| CheckResponse::decode(message).ok()).flatten()
}
