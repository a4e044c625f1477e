//! The exit: gives a request to a service of this node, on a connection that is live before the body is asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::backend::{Backends, ConnectFailure, Connection, Http1, Origin, locked};
use super::body::{End, ProxyBody, Watched, empty};
use super::tunnel::TunnelBody;
use super::way::Toward;
use super::{headers, stream};
use crate::clock::Clock;
use crate::config::ServiceConfig;
use crate::id::ServiceName;
use crate::manifest::HostPolicy;
use crate::router::Reason;
use crate::time::Duration;

/// The services of this node by name.
pub type Services = Arc<BTreeMap<ServiceName, ServiceConfig>>;

/// The way to the services of this node.
#[derive(Debug)]
pub(super) struct Exit {
    services: watch::Receiver<Services>,
    backends: Arc<Backends>,
    busy: Arc<Mutex<BTreeMap<ServiceName, u32>>>,
    refused: mpsc::Sender<ServiceName>,
}

/// A request on its way to a service. Its URI is absolute, its headers are those of the client's that travel on.
#[derive(Debug, Clone)]
pub(super) struct Outbound {
    /// Method, URI and headers.
    pub(super) head: Parts,
    /// The request asks for a WebSocket, which is told to end when this is cancelled.
    pub(super) tunnel: Option<CancellationToken>,
}

/// The service broke before it answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The HTTP/1.1 connection.
    #[error("{0}")]
    Http1(#[from] hyper::Error),
    /// The HTTP/2 connection.
    #[error("{0}")]
    Http2(#[from] h2::Error),
    /// The connection that had to replace a stale one.
    #[error("{0}")]
    Connect(#[from] ConnectFailure),
    /// The request cannot be written for this service.
    #[error("the request cannot be given to this service")]
    Unfit,
    /// It switched protocols without being asked.
    #[error("the service switched protocols unasked")]
    Switched,
    /// It broke at the node where it runs, which told so.
    #[error("it broke off")]
    AtExit,
}

impl Exit {
    pub(super) fn new(
        services: watch::Receiver<Services>,
        refused: mpsc::Sender<ServiceName>,
        clock: Clock,
    ) -> Result<Self, rustls::Error> {
        Ok(Self { services, backends: Backends::new(clock)?, busy: Arc::default(), refused })
    }

    /// Reserves a place at the service and connects to it, or says why the request is surely not started.
    pub(super) async fn admit(&self, name: &ServiceName) -> Result<Admitted, Reason> {
        let services = self.services.borrow().clone();
        let config = services.get(name).ok_or(Reason::NoRoute)?;
        let slot = self.reserve(name, config.max_in_flight).ok_or(Reason::Saturated)?;
        let origin = Origin::of(config);
        let connect_within = config.timeouts.connect;
        match self.backends.connect(&origin, connect_within).await {
            Ok(connection) => Ok(Admitted {
                connection,
                slot,
                origin,
                connect_within,
                host: config.host,
                base: config.url.path().trim_end_matches('/').to_owned(),
                backends: self.backends.clone(),
            }),
            Err(failure) => {
                tracing::debug!(service = %name, %failure, "a service of this node cannot be reached");
                Err(self.report(name, &failure))
            }
        }
    }

    fn report(&self, name: &ServiceName, failure: &ConnectFailure) -> Reason {
        match failure {
            ConnectFailure::Refused => {
                // A full queue means that the node hears of refusals already.
                let _ = self.refused.try_send(name.clone());
                Reason::ConnectFailed
            }
            ConnectFailure::TimedOut => Reason::Timeout,
            ConnectFailure::Failed(_) => Reason::ConnectFailed,
        }
    }

    fn reserve(&self, name: &ServiceName, max: u32) -> Option<Slot> {
        let mut busy = locked(&self.busy);
        let count = busy.entry(name.clone()).or_default();
        if max > 0 && *count >= max {
            return None;
        }
        *count += 1;
        Some(Slot { busy: self.busy.clone(), name: name.clone() })
    }

    /// Requests that the service works on.
    pub(super) fn in_flight(&self, name: &ServiceName) -> u32 {
        locked(&self.busy).get(name).copied().unwrap_or(0)
    }
}

/// One of the requests that a service works on.
#[derive(Debug)]
struct Slot {
    busy: Arc<Mutex<BTreeMap<ServiceName, u32>>>,
    name: ServiceName,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(count) = locked(&self.busy).get_mut(&self.name) {
            *count = count.saturating_sub(1);
        }
    }
}

/// A place at a service, and a live connection to it.
pub(super) struct Admitted {
    connection: Connection,
    slot: Slot,
    origin: Origin,
    connect_within: Duration,
    host: HostPolicy,
    base: String,
    backends: Arc<Backends>,
}

impl Admitted {
    /// Gives the request to the service, and returns its answer with the headers that travel on.
    pub(super) async fn send(
        self,
        outbound: Outbound,
        body: Option<ProxyBody>,
    ) -> Result<Response<ProxyBody>, Broken> {
        let Self { connection, slot, origin, connect_within, host, base, backends } = self;
        let Outbound { mut head, tunnel } = outbound;
        let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let path: PathAndQuery = format!("{base}{path}").parse().map_err(|_| Broken::Unfit)?;
        let authority = match host {
            HostPolicy::Preserve => head.uri.authority().cloned(),
            HostPolicy::Backend => origin.authority().parse().ok(),
        };
        let authority: Authority = authority.ok_or(Broken::Unfit)?;
        let ends = Ends { slot, origin, connect_within, backends };
        let response = match connection {
            Connection::Http1(connection) => {
                head.uri = Uri::from(path);
                head.version = Version::HTTP_11;
                let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Broken::Unfit)?;
                head.headers.insert(HOST, host);
                if tunnel.is_some() {
                    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                    head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                }
                ends.send_http1(connection, head, body, tunnel).await?
            }
            Connection::Http2(_) if tunnel.is_some() => return Err(Broken::Unfit),
            Connection::Http2(mut sender) => {
                head.uri = absolute(authority, path)?;
                head.version = Version::HTTP_2;
                let opened = stream::open(&mut sender, Request::from_parts(head, ()), body.is_some())?;
                let response = opened.exchange(body).await?;
                let slot = ends.slot;
                response.map(|body| {
                    Watched::new(body, Duration::ZERO, None, move |_, _| drop(slot)).boxed_unsync()
                })
            }
        };
        Ok(cleaned(response))
    }
}

/// The absolute URI by which requests travel inside the mesh.
pub(super) fn absolute(authority: Authority, path: PathAndQuery) -> Result<Uri, Broken> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|_| Broken::Unfit)
}

/// Only the mesh speaks `x-mesh-*`, and what concerned the connection to the service ends here.
fn cleaned(mut response: Response<ProxyBody>) -> Response<ProxyBody> {
    headers::strip_hop_by_hop(response.headers_mut());
    headers::strip_mesh(response.headers_mut());
    response
}

/// What is given back when the answer has ended.
struct Ends {
    slot: Slot,
    origin: Origin,
    connect_within: Duration,
    backends: Arc<Backends>,
}

impl Ends {
    async fn send_http1(
        self,
        mut connection: Http1,
        head: Parts,
        body: Option<ProxyBody>,
        tunnel: Option<CancellationToken>,
    ) -> Result<Response<ProxyBody>, Broken> {
        // A tunnel's bytes follow the switch, they are no body of the request.
        let (body, into_tunnel) = match tunnel {
            Some(parting) => (None, body.map(|body| (body, parting))),
            None => (body, None),
        };
        let spare =
            (connection.reused && body.is_none() && is_idempotent(&head.method)).then(|| head.clone());
        let request = Request::from_parts(head, body.unwrap_or_else(empty));
        let mut response = match connection.sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut failure) => {
                let unsent = failure.take_message();
                let again = unsent.or_else(|| spare.map(|head| Request::from_parts(head, empty())));
                let Some(request) = again.filter(|_| connection.reused) else {
                    return Err(failure.into_error().into());
                };
                // The service closed the kept connection at the moment of its reuse: a fresh one tells the truth.
                match self.backends.connect_anew(&self.origin, self.connect_within).await? {
                    Connection::Http1(fresh) => connection = fresh,
                    Connection::Http2(_) => return Err(Broken::Unfit),
                }
                connection.sender.send_request(request).await?
            }
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let switched = headers::wants_websocket(response.headers());
            let (incoming, parting) = into_tunnel.filter(|_| switched).ok_or(Broken::Switched)?;
            let upgraded = hyper::upgrade::on(&mut response).await?;
            let held = (self.slot, connection);
            let tunnel = TunnelBody::new(upgraded, incoming, Toward::Service, parting).boxed_unsync();
            let body = Watched::new(tunnel, Duration::ZERO, None, move |_, _| drop(held)).boxed_unsync();
            return Ok(response.map(|_| body));
        }
        Ok(response.map(|body| self.returning(connection, body.map_err(Into::into).boxed_unsync())))
    }

    /// Gives the connection back when the answer ends well, and closes it when it does not.
    fn returning(self, connection: Http1, body: ProxyBody) -> ProxyBody {
        let Self { slot, origin, backends, .. } = self;
        let on_end = move |end, _| {
            drop(slot);
            if end == End::Complete {
                backends.put_back(origin, connection);
            }
        };
        Watched::new(body, Duration::ZERO, None, on_end).boxed_unsync()
    }
}

/// Whether a request may be repeated although an instance may have begun to work on it: by its method, or because its
/// client says that it is recognised by its key.
pub(super) fn is_repeatable(method: &Method, headers: &HeaderMap) -> bool {
    is_idempotent(method) || headers.contains_key("idempotency-key")
}

/// Whether doing it twice is as good as once (RFC 9110, 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}
