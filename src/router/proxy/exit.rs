//! The exit: gives a request to a service of this node, on a connection that is live before the body is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::backend::Backend;
use super::body::{ProxyBody, Watched, empty};
use super::dial::{ConnectFailure, Connection, Dialler};
use super::http1::{AnswerBody, Http1};
use super::slots::{Slot, Slots};
use super::tunnel::TunnelBody;
use super::way::Toward;
use super::{headers, stream};
use crate::clock::Clock;
use crate::config::ServiceConfig;
use crate::id::ServiceName;
use crate::metrics::Occupancy;
use crate::router::Reason;
use crate::time::Duration;

/// The services of this node by name.
pub type Services = Arc<BTreeMap<ServiceName, ServiceConfig>>;

/// Fresh connections that are tried for a request that the service has not seen.
const ANEW_MAX: u32 = 2;

/// A kept connection that its service had closed is found out so soon; what breaks later may have been worked on.
const STALE_WITHIN: Duration = Duration::from_millis(250);

/// The way to the services of this node.
#[derive(Debug)]
pub(super) struct Exit {
    backends: ArcSwap<BTreeMap<ServiceName, Arc<Backend>>>,
    dialler: Dialler,
    clock: Clock,
    /// What all services of this node together may work on.
    slots: Arc<Slots>,
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
    /// The same, and nothing of the request was written to the stale one.
    #[error("{0}")]
    Unwritten(ConnectFailure),
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
    /// No services yet; `max_in_flight` requests at the same time, 0 for no limit.
    pub(super) fn new(
        max_in_flight: u32,
        refused: mpsc::Sender<ServiceName>,
        clock: Clock,
    ) -> Result<Self, rustls::Error> {
        let slots = Slots::new(max_in_flight, 0);
        Ok(Self { backends: ArcSwap::default(), dialler: Dialler::new()?, clock, slots, refused })
    }

    /// Takes over what is configured now. Services that did not change keep their connections.
    pub(super) fn configure(&self, services: &BTreeMap<ServiceName, ServiceConfig>) {
        let before = self.backends.load();
        let backends = services.iter().map(|(name, config)| {
            let known = before.get(name);
            let unchanged = known.filter(|backend| backend.config == *config).cloned();
            let changed = || Backend::new(config, known.map(Arc::as_ref), self.dialler.clone(), self.clock);
            let backend = unchanged.unwrap_or_else(changed);
            (name.clone(), backend)
        });
        self.backends.store(Arc::new(backends.collect()));
    }

    /// Reserves a place at the service and connects to it, or says why the request is surely not started.
    pub(super) async fn admit(&self, name: &ServiceName) -> Result<Admitted, Reason> {
        let backend = self.backends.load().get(name).cloned().ok_or(Reason::NoRoute)?;
        // In this order, so that who waits for one service takes no place from the others.
        let of_service = backend.reserve().await.ok_or(Reason::Saturated)?;
        let of_node = self.slots.take(Duration::ZERO).await.ok_or(Reason::Saturated)?;
        match backend.connections.connect().await {
            Ok(connection) => Ok(Admitted { connection, places: [of_node, of_service], backend }),
            Err(failure) => {
                tracing::debug!(service = %name, %failure, "a service of this node cannot be reached");
                Err(self.report(name, &failure))
            }
        }
    }

    fn report(&self, name: &ServiceName, failure: &ConnectFailure) -> Reason {
        if matches!(failure, ConnectFailure::Refused) {
            // A full queue means that the node hears of refusals already.
            let _ = self.refused.try_send(name.clone());
        }
        failure.reason()
    }

    /// What each service has to do.
    pub(super) fn occupancy(&self) -> Vec<Occupancy> {
        let backends = self.backends.load();
        let occupancy = |(service, backend): (&ServiceName, &Arc<Backend>)| Occupancy {
            service: service.clone(),
            in_flight: backend.in_flight(),
            waiting: backend.waiting(),
        };
        backends.iter().map(occupancy).collect()
    }

    /// Requests that the service works on.
    pub(super) fn in_flight(&self, name: &ServiceName) -> u32 {
        self.backends.load().get(name).map_or(0, |backend| backend.in_flight())
    }
}

/// A place at a service, and a live connection to it.
pub(super) struct Admitted {
    connection: Connection,
    places: Places,
    backend: Arc<Backend>,
}

/// What a request occupies until its answer has ended: a place at this node, and one at the service.
type Places = [Slot; 2];

impl Admitted {
    /// Gives the request to the service, and returns its answer with the headers that travel on.
    pub(super) async fn send(
        self,
        outbound: &Outbound,
        body: Option<ProxyBody>,
    ) -> Result<Response<ProxyBody>, Broken> {
        let Self { connection, places, backend } = self;
        let is_tunnel = outbound.tunnel.is_some();
        let response = match connection {
            Connection::Http1(connection) => {
                let exchange = Exchange { connection, places, backend, outbound };
                match &outbound.tunnel {
                    Some(parting) => Box::pin(exchange.switch(body, parting.clone())).await?,
                    None => exchange.send(body).await?,
                }
            }
            Connection::Http2(_) if is_tunnel => return Err(Broken::Unfit),
            Connection::Http2(mut sender) => {
                let mut head = outbound.head.clone();
                head.uri = absolute(host(&backend, outbound)?, path(&backend, outbound)?)?;
                head.version = Version::HTTP_2;
                let opened = stream::open(&mut sender, Request::from_parts(head, ()), body.is_some())?;
                let response = opened.exchange(body).await?;
                response.map(|body| {
                    Watched::new(body, Duration::ZERO, None, move |_, _| drop(places)).boxed_unsync()
                })
            }
        };
        Ok(cleaned(response))
    }
}

fn path(backend: &Backend, outbound: &Outbound) -> Result<PathAndQuery, Broken> {
    let path = outbound.head.uri.path_and_query();
    if backend.base.is_empty() {
        return Ok(path.cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    let path = path.map_or("/", PathAndQuery::as_str);
    format!("{}{path}", backend.base).parse().map_err(|_| Broken::Unfit)
}

fn host(backend: &Backend, outbound: &Outbound) -> Result<Authority, Broken> {
    let host = backend.own_host.as_ref().or(outbound.head.uri.authority());
    host.cloned().ok_or(Broken::Unfit)
}

fn http1_head(backend: &Backend, outbound: &Outbound) -> Result<Parts, Broken> {
    let mut head = outbound.head.clone();
    head.uri = Uri::from(path(backend, outbound)?);
    head.version = Version::HTTP_11;
    let host = host(backend, outbound)?;
    head.headers.insert(HOST, HeaderValue::from_str(host.as_str()).map_err(|_| Broken::Unfit)?);
    if outbound.tunnel.is_some() {
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    Ok(head)
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

/// A request and its answer over HTTP/1.1.
struct Exchange<'a> {
    connection: Http1,
    places: Places,
    backend: Arc<Backend>,
    outbound: &'a Outbound,
}

impl Exchange<'_> {
    async fn send(mut self, body: Option<ProxyBody>) -> Result<Response<ProxyBody>, Broken> {
        let response = self.answer(body).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Broken::Switched);
        }
        let Self { connection, places, backend, .. } = self;
        let give_back = move |connection| {
            drop(places);
            backend.connections.put_back(connection);
        };
        Ok(response.map(|incoming| AnswerBody::new(incoming, connection, give_back).boxed_unsync()))
    }

    /// A tunnel's bytes follow the switch, they are no body of the request.
    async fn switch(
        mut self,
        into_tunnel: Option<ProxyBody>,
        parting: CancellationToken,
    ) -> Result<Response<ProxyBody>, Broken> {
        let mut response = self.answer(None).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let Self { connection, places, .. } = self;
            let close = move |connection: Http1| drop((connection, places));
            return Ok(response.map(|incoming| AnswerBody::new(incoming, connection, close).boxed_unsync()));
        }
        let switched = headers::wants_websocket(response.headers());
        let incoming = into_tunnel.filter(|_| switched).ok_or(Broken::Switched)?;
        let upgraded = self.connection.upgrade(&mut response).await?;
        let tunnel = TunnelBody::new(upgraded, incoming, Toward::Service, parting).boxed_unsync();
        // Of the connection, only what has become the tunnel is still needed.
        let places = self.places;
        let body = Watched::new(tunnel, Duration::ZERO, None, move |_, _| drop(places)).boxed_unsync();
        Ok(response.map(|_| body))
    }

    async fn answer(&mut self, body: Option<ProxyBody>) -> Result<Response<hyper::body::Incoming>, Broken> {
        let mut head = http1_head(&self.backend, self.outbound)?;
        if body.is_some() && !head.headers.contains_key(CONTENT_LENGTH) {
            // hyper would leave out the body of a GET or HEAD whose length nobody knows.
            head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let mut may_repeat = self.connection.reused && body.is_none() && is_idempotent(&head.method);
        let mut request = Request::from_parts(head, body.unwrap_or_else(empty));
        let (mut anew, begun) = (0, self.backend.connections.now());
        loop {
            let mut failure = match self.connection.exchange(request).await {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            // What was not written at all may be sent again in any case, even when a fresh connection was closed at once.
            let unsent = failure.take_message();
            let is_unsent = unsent.is_some();
            let next = match unsent {
                Some(unsent) if anew < ANEW_MAX => unsent,
                None if std::mem::take(&mut may_repeat)
                    && self.backend.connections.now().since(begun) < STALE_WITHIN =>
                {
                    Request::from_parts(http1_head(&self.backend, self.outbound)?, empty())
                }
                Some(_) | None => return Err(failure.into_error().into()),
            };
            anew += 1;
            // The service closed the kept connection at the moment of its reuse: a fresh one tells the truth.
            let fresh = self.backend.connections.connect_anew().await;
            match fresh.map_err(if is_unsent { Broken::Unwritten } else { Broken::Connect })? {
                Connection::Http1(fresh) => self.connection = fresh,
                Connection::Http2(_) => return Err(Broken::Unfit),
            }
            request = next;
        }
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
