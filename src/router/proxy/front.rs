//! What a listener answers: requests for services, its own resources, and refusals.

use std::time::Duration;

use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, COOKIE, HeaderValue, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::Proxy;
use super::access_log::Entry;
use super::body::{ProxyBody, Watched};
use super::drain::Active;
use super::edge::EdgeSecrets;
use super::entry::Entered;
use super::headers::{self, Sender};
use super::reply::Failure;
use super::serve::{Answers, Client};
use super::target::{Target, classify, host_of, parse_authority, single};
use crate::clock::unix_now;

/// The read-only part of the admin API that the edge listener answers.
pub type AdminReads = axum::Router;

/// The most headers of a request; the parser of HTTP/1.1 has the same limit.
const MAX_FIELDS: usize = 100;

/// Who may speak on a listener, and what it answers.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Local callers.
    Ingress,
    /// Edges, whose requests are signed.
    Edge { secrets: EdgeSecrets, admin: Option<AdminReads> },
}

impl Kind {
    /// The listener's name in the metrics.
    pub(super) const fn listener(&self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Edge { .. } => "edge",
        }
    }
}

/// What one listener of a node answers.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) proxy: Proxy,
    pub(super) kind: Kind,
    pub(super) is_tls: bool,
}

impl Answers for Front {
    async fn answer(&self, mut request: Request<Incoming>, client: &Client) -> Response<ProxyBody> {
        let shared = &self.proxy.shared;
        let active = Active::begin(&shared.drain);
        let ip = client.ip();
        let log = shared.access_log.as_ref();
        let mut log = log.map(|log| Entry::begin(log, shared.clock, ip, &mut request));
        let version = request.version();
        let answered = self.checked(request, client, &mut log).await;
        let response = answered.unwrap_or_else(|failure| refused(failure, version));
        tracked(response, log, active)
    }
}

/// The host that an edge's client asked, believed like the scheme. Services are told of it, and not of the tunnel's name.
fn host_of_edge(headers: &HeaderMap) -> Option<Authority> {
    let host = single(headers, &headers::FORWARDED_HOST, "x-forwarded-host").ok().flatten()?;
    parse_authority(host)
}

/// The answer to a request that is refused as a whole.
pub(crate) fn refused(failure: Failure, version: Version) -> Response<ProxyBody> {
    let malformed = failure.status == StatusCode::BAD_REQUEST && version < Version::HTTP_2;
    let mut response = failure.into_response(false);
    if malformed {
        // Others on the way may have read it differently, so nothing that follows can be trusted.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl Front {
    /// Answers a request whose head is within its limits and, on the edge listener, signed.
    async fn checked(
        &self,
        request: Request<Incoming>,
        client: &Client,
        log: &mut Option<Entry>,
    ) -> Result<Response<ProxyBody>, Failure> {
        let proxy = &self.proxy;
        check(&request, proxy.shared.config.max_header)?;
        if request.method() == Method::CONNECT {
            return Ok(no_connect(request.version()));
        }
        let mut host = host_of(&request).map_err(Failure::bad_request)?;
        let target =
            classify(&request, &host, &proxy.shared.config.mesh_domain).map_err(Failure::bad_request)?;
        let sender = match &self.kind {
            _ if target == Target::Health => return Ok(proxy.health(&request)),
            Kind::Ingress => Sender { ip: client.ip(), scheme: if self.is_tls { "https" } else { "http" } },
            Kind::Edge { secrets, .. } => {
                let ip = secrets.verify(&request, host.as_str(), unix_now().as_secs())?;
                if let Some(entry) = log.as_mut() {
                    entry.sent_by(ip);
                }
                let headers = request.headers();
                host = host_of_edge(headers).unwrap_or(host);
                Sender { ip, scheme: self.scheme_of_edge(headers) }
            }
        };
        if let (Some(entry), Target::Service(target)) = (log, &target) {
            entry.sent_to(&target.name);
        }
        Ok(match target {
            Target::Service(target) => {
                let presence = client.presence.clone();
                proxy.enter_service(Entered { request, target, host, sender, presence }).await
            }
            Target::Services => proxy.services(&request),
            Target::Summary => proxy.summary(&request),
            Target::Health => proxy.health(&request),
            Target::Admin => Box::pin(self.admin(request)).await?,
            Target::Nothing => return Err(nothing_here()),
        })
    }

    /// Edges end the client's TLS themselves, and hold a secret: what they say of the scheme is believed.
    fn scheme_of_edge(&self, headers: &HeaderMap) -> &'static str {
        match headers.get(headers::FORWARDED_PROTO).map(HeaderValue::as_bytes) {
            Some(b"https") => "https",
            Some(b"http") => "http",
            _ if self.is_tls => "https",
            _ => "http",
        }
    }

    async fn admin(&self, request: Request<Incoming>) -> Result<Response<ProxyBody>, Failure> {
        let Kind::Edge { admin: Some(admin), .. } = &self.kind else { return Err(nothing_here()) };
        let readable = matches!(request.uri().path(), "/api/admin/workers" | "/api/admin/services");
        if !readable || !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(nothing_here());
        }
        let answered = TowerToHyperService::new(admin.clone()).call(request).await;
        let response = answered.unwrap_or_else(|never| match never {});
        Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
}

/// Refuses a head that is too large, or leaves the end of the body to guessing.
pub(crate) fn check<B>(request: &Request<B>, max_header: usize) -> Result<(), Failure> {
    check_head(request.headers(), request.uri(), max_header)?;
    check_framing(request.headers())?;
    if headers::asks_for_websocket(request) && announces_body(request.headers()) {
        // What follows belongs to the tunnel; who reads the length would wait for it, or take it from the next request.
        return Err(Failure::bad_request("a request for a WebSocket has no body"));
    }
    Ok(())
}

fn announces_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

/// The parser has limits of its own; these also hold for HTTP/2.
fn check_head(headers: &HeaderMap, uri: &http::Uri, max: usize) -> Result<(), Failure> {
    let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    // HTTP/2 clients split their cookies into as many lines as they like.
    let count = headers.len().saturating_sub(headers.get_all(COOKIE).iter().count());
    let target = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if count > MAX_FIELDS || fields + target > max {
        let message = format!("the request's head has more than {MAX_FIELDS} fields or {max} bytes");
        return Err(Failure::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "header_too_large", message));
    }
    Ok(())
}

/// The only transfer coding that means the same to everyone is `chunked`, once; the only length is one.
fn check_framing(headers: &HeaderMap) -> Result<(), Failure> {
    // HTTP/1.1's parser makes one of equal ones, that of HTTP/2 passes them all.
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Failure::bad_request("Content-Length must be given once"));
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err(Failure::bad_request("the only Transfer-Encoding that is accepted is chunked")),
    }
}

/// 404.
pub(crate) fn nothing_here() -> Failure {
    let message =
        "nothing is served at this path; services are at /api/service/{name}/, the list at /api/services";
    Failure::new(StatusCode::NOT_FOUND, "not_found", message)
}

/// The answer to a CONNECT that asks for no WebSocket.
pub(crate) fn no_connect(version: Version) -> Response<ProxyBody> {
    let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method", "CONNECT is not served here");
    let mut response = failure.into_response(false);
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    if version < Version::HTTP_2 {
        // What follows may be a tunnel's bytes, sent before the tunnel was refused (RFC 9931).
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Counts the request as under way until its answer's body has ended.
fn tracked(response: Response<ProxyBody>, mut log: Option<Entry>, active: Active) -> Response<ProxyBody> {
    if let Some(entry) = &mut log {
        entry.answered(&response);
    }
    let on_end = move |end, bytes| {
        if let Some(mut entry) = log {
            entry.ended(end, bytes);
        }
        drop(active);
    };
    response.map(|body| Watched::new(body, Duration::ZERO, None, on_end).boxed_unsync())
}
