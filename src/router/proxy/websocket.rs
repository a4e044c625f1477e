//! WebSockets of HTTP/2 clients (RFC 8441), which are asked for otherwise and are the same from then on.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, Response, StatusCode};
use hyper::ext::Protocol;

use super::body::ProxyBody;
use super::headers;
use super::reply::Failure;
use crate::entropy;

/// Whether this is an extended CONNECT for a WebSocket.
pub(super) fn is_extended_connect<B>(request: &Request<B>) -> bool {
    let protocol = request.extensions().get::<Protocol>();
    *request.method() == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// The request with which a client of HTTP/1.1 would have asked.
pub(super) fn as_upgrade<B>(mut request: Request<B>) -> Request<B> {
    *request.method_mut() = Method::GET;
    request.extensions_mut().remove::<Protocol>();
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers::set(headers, SEC_WEBSOCKET_KEY, STANDARD.encode(entropy::random::<16>()));
    headers.entry(SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
    request
}

/// The answer to it as a client of HTTP/2 expects it: the tunnel is open when the status is 200.
pub(super) fn as_connected(mut response: Response<ProxyBody>) -> Response<ProxyBody> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        *response.status_mut() = StatusCode::OK;
        for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
            response.headers_mut().remove(name);
        }
    } else if response.status().is_success() {
        let message = "the service answered instead of switching to a WebSocket";
        return Failure::new(StatusCode::BAD_GATEWAY, "broken", message).into_response(false);
    }
    response
}
