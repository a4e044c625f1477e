//! Header rules of a proxy: what ends at this hop, what a client may say, and what the ingress says instead.

use std::net::IpAddr;

use http::header::{CONNECTION, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, TE, UPGRADE, VIA};
use http::{Method, Request};

/// The service that a request is for.
pub(crate) const SERVICE: HeaderName = HeaderName::from_static("x-mesh-service");
/// The version that a caller wants.
pub(crate) const VERSION: HeaderName = HeaderName::from_static("x-mesh-version");
/// The worker that a caller wants; in answers, the worker that served.
pub(crate) const WORKER: HeaderName = HeaderName::from_static("x-mesh-worker");
/// Asks for the reasons of the pick; in answers, the reasons.
pub(super) const EXPLAIN: HeaderName = HeaderName::from_static("x-mesh-explain");
/// How many instances were tried.
pub(crate) const ATTEMPTS: HeaderName = HeaderName::from_static("x-mesh-attempts");
/// Why the mesh itself answered.
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-mesh-error");
/// The request was surely not started.
pub(crate) const RETRY: HeaderName = HeaderName::from_static("x-mesh-retry");
/// How many nodes an edge tried.
pub(crate) const TRIES: HeaderName = HeaderName::from_static("x-mesh-tries");
/// An edge's signature.
pub(crate) const EDGE: HeaderName = HeaderName::from_static("x-mesh-edge");
/// Counts the links that a request has crossed; on links only.
pub(super) const HOP: HeaderName = HeaderName::from_static("x-mesh-hop");
/// What the exit's node has to do right now; on links only.
pub(super) const LOAD: HeaderName = HeaderName::from_static("x-mesh-load");
/// The protocol that a tunnel carries; on links only, where HTTP/2 has no `Upgrade`.
pub(super) const TUNNEL: HeaderName = HeaderName::from_static("x-mesh-tunnel");

/// The client's address.
pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The host that the client asked.
pub(super) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// The scheme that the client used.
pub(super) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Removes what concerns one connection only (RFC 9110, 7.6.1), from every `Connection` line.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    strip(headers, is_of_hop);
}

/// Removes the headers that are `unwanted`, those that `Connection` nominates, and keeps what remains of `TE`.
fn strip(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| unwanted(name)).cloned().collect();
    if names.is_empty() {
        // Nearly always; and without `Connection` and `TE`, which nobody wants, there is nothing else to do.
        return;
    }
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        // Nearly every nomination is one of these, and names no header.
        .filter(|token| {
            !["keep-alive", "close", "upgrade"]
                .iter()
                .any(|usual| token.eq_ignore_ascii_case(usual.as_bytes()))
        })
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !is_protected(name) && !is_of_hop(name))
        .collect();
    for name in nominated {
        headers.remove(name);
    }
    let wants_trailers = headers
        .get_all(TE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"));
    for name in names {
        headers.remove(name);
    }
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Whether a header concerns one connection only.
fn is_of_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// Nominating these would let a client strip what others decide by.
fn is_protected(name: &HeaderName) -> bool {
    is_of_mesh(name) || matches!(name.as_str(), "host" | "authorization" | "content-length" | "te")
}

/// Whether the mesh alone speaks this header.
pub(super) fn is_of_mesh(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-mesh-")
}

/// Removes every header of the mesh, whoever sent it.
pub(super) fn strip_mesh(headers: &mut HeaderMap) {
    strip_where(headers, is_of_mesh);
}

fn strip_where(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| unwanted(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Who sent a request, as the ingress knows it.
#[derive(Debug, Clone)]
pub(crate) struct Sender {
    /// The client's address.
    pub(crate) ip: IpAddr,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
}

/// Turns a client's headers into those of the request that travels on. What the client says of itself is dropped.
pub(super) fn to_upstream(headers: &mut HeaderMap, sender: &Sender, host: &str, prefix: Option<String>) {
    strip(headers, |name| is_of_hop(name) || is_claim(name));
    forwarded(headers, sender, host);
    if let Some(prefix) = prefix {
        set(headers, FORWARDED_PREFIX, prefix);
    }
}

/// The same for an edge, which leaves to the node what the client wishes.
pub(crate) fn to_node(headers: &mut HeaderMap, sender: &Sender, host: &str) {
    strip(headers, |name| {
        is_of_hop(name) || is_claim(name) && !is_wish(name) || is_of_delivery_network(name)
    });
    trim(headers, &[SERVICE, VERSION, WORKER]);
    forwarded(headers, sender, host);
}

/// HTTP/1.1 takes blanks off the ends of a value and HTTP/2 does not: what is signed must be what arrives.
fn trim(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        if let http::header::Entry::Occupied(mut values) = headers.entry(name) {
            for value in values.iter_mut() {
                let trimmed = value.as_bytes().trim_ascii();
                if trimmed.len() < value.len()
                    && let Ok(trimmed) = HeaderValue::from_bytes(trimmed)
                {
                    *value = trimmed;
                }
            }
        }
    }
}

fn forwarded(headers: &mut HeaderMap, sender: &Sender, host: &str) {
    join_cookies(headers);
    set(headers, FORWARDED_FOR, sender.ip.to_string());
    let as_given = headers.get(HOST).filter(|given| given.as_bytes() == host.as_bytes()).cloned();
    match as_given {
        Some(host) => drop(headers.insert(FORWARDED_HOST, host)),
        None => set(headers, FORWARDED_HOST, host),
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(sender.scheme));
}

/// Whether a client may say this to the mesh.
fn is_wish(name: &HeaderName) -> bool {
    [SERVICE, VERSION, WORKER, EXPLAIN].contains(name)
}

/// Whether only a network in front of an edge could say this truthfully.
fn is_of_delivery_network(name: &HeaderName) -> bool {
    name.as_str().starts_with("cf-") || name == "true-client-ip"
}

/// Whether a client says by this header what only the ingress can say, or what ends at the ingress.
fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    match name.strip_prefix("x-") {
        Some(rest) => {
            rest.starts_with("mesh-")
                || rest.starts_with("envoy-")
                || rest.starts_with("forwarded-")
                || rest == "real-ip"
        }
        None => matches!(name, "forwarded" | "expect"),
    }
}

/// HTTP/2 may split cookies into lines, HTTP/1.1 may not (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

/// Sets a header to text that came out of a header, or was made here; anything else leaves it out.
pub(crate) fn set<V: TryInto<HeaderValue>>(headers: &mut HeaderMap, name: HeaderName, value: V) {
    if let Ok(value) = value.try_into() {
        headers.insert(name, value);
    }
}

/// What this node adds to the `Via` list of a request.
#[derive(Debug)]
pub(super) struct Via {
    http1: Option<HeaderValue>,
    http2: Option<HeaderValue>,
}

impl Via {
    /// The entries of the node with this pseudonym.
    pub(super) fn new(pseudonym: &str) -> Self {
        let entry = |protocol: &str| HeaderValue::try_from(format!("{protocol} {pseudonym}")).ok();
        Self { http1: entry("1.1"), http2: entry("2") }
    }

    /// Adds the entry for a request that came with this version.
    pub(super) fn add_to(&self, headers: &mut HeaderMap, version: http::Version) {
        let entry = if version == http::Version::HTTP_2 { &self.http2 } else { &self.http1 };
        if let Some(entry) = entry {
            headers.append(VIA, entry.clone());
        }
    }
}

/// Whether `Via` names `pseudonym`: the request has been here.
pub(super) fn has_been_at(headers: &HeaderMap, pseudonym: &str) -> bool {
    headers
        .get_all(VIA)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .filter_map(|entry| entry.trim_ascii().split(|b| *b == b' ').nth(1))
        .any(|by| by == pseudonym.as_bytes())
}

/// Whether a client asks for a WebSocket, which only a GET can (RFC 6455, 4.1).
pub(crate) fn asks_for_websocket<B>(request: &Request<B>) -> bool {
    *request.method() == Method::GET && wants_websocket(request.headers())
}

/// The protocol to which a client wants to switch, when it is one that the proxy tunnels.
pub(crate) fn wants_websocket(headers: &HeaderMap) -> bool {
    let names = |name: HeaderName, token: &[u8]| {
        headers
            .get_all(name)
            .iter()
            .flat_map(|value| value.as_bytes().split(|b| *b == b','))
            .any(|found| found.trim_ascii().eq_ignore_ascii_case(token))
    };
    names(CONNECTION, b"upgrade") && names(UPGRADE, b"websocket")
}

/// Whether the request is one of gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|kind| {
        kind == "application/grpc"
            || kind.starts_with("application/grpc+")
            || kind.starts_with("application/grpc;")
    })
}
