//! Who may ask: keeps web pages of others, and callers without the token, away from the admin API.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::refusal::Refusal;
use super::token::Token;

/// Refuses what a browser sends on behalf of another site, and changes that are not meant as JSON.
///
/// A page may make a browser resolve the page's own name to a loopback address (DNS rebinding); such requests
/// carry that name as `Host`. Forms cannot send `application/json`.
pub(super) async fn same_site(State(own): State<IpAddr>, request: Request, next: Next) -> Response {
    let checked = check_host(&request, own).and_then(|host| {
        check_origin(request.headers(), &host)?;
        check_content_type(&request)
    });
    if let Err(refusal) = checked {
        return refusal.into_response();
    }
    let mut response = next.run(request).await;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Refuses who does not name the token, when there is one.
pub(super) async fn authorized(
    State(token): State<Arc<Option<Token>>>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(token) = token.as_ref() {
        let given = single(request.headers(), &AUTHORIZATION);
        if !given.is_some_and(|value| token.matches(value.as_bytes())) {
            let error = "a bearer token is needed; pass the node's with --admin-token-file";
            return Refusal::new(StatusCode::UNAUTHORIZED, error).into_response();
        }
    }
    next.run(request).await
}

fn check_host(request: &Request, own: IpAddr) -> Result<Authority, Refusal> {
    let named = single(request.headers(), &HOST).and_then(|value| value.to_str().ok()?.parse().ok());
    let Some(host) = named else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "exactly one valid Host header is needed"));
    };
    // A target in absolute form names a host too, and it is the one that counts (RFC 9112, 3.2.2).
    for authority in [Some(&host), request.uri().authority()].into_iter().flatten() {
        if !is_own(authority, own) {
            let error =
                format!("host '{}' is refused; accepted are localhost and this node's address", authority);
            return Err(Refusal::new(StatusCode::FORBIDDEN, error));
        }
    }
    Ok(host)
}

fn is_own(authority: &Authority, own: IpAddr) -> bool {
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        // Bound to every address, each literal that leads here is this node's: a name cannot pose as one.
        Ok(ip) => ip.is_loopback() || ip == own.to_canonical() || own.is_unspecified(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

fn check_origin(headers: &HeaderMap, host: &Authority) -> Result<(), Refusal> {
    if !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let origin = single(headers, &ORIGIN).and_then(|value| value.to_str().ok());
    let authority =
        origin.and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")));
    if authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_str())) {
        return Ok(());
    }
    let error = format!("pages of origin '{}' may not call this API", origin.unwrap_or("?"));
    Err(Refusal::new(StatusCode::FORBIDDEN, error))
}

fn check_content_type(request: &Request) -> Result<(), Refusal> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    let given = single(request.headers(), &CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = given.and_then(|given| given.split(';').next()).map(str::trim);
    if media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let error = "changes need the header 'content-type: application/json'";
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
}

/// The header's value, when it is there exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}
