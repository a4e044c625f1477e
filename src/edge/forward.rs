//! Answers what clients ask: forwards it to a node, or says why not.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::Edge;
use super::attempt::{Answer, Source};
use super::outbound::Outbound;
use super::reply;
use super::rule::{KEEP, is_repeatable};
use super::search::{Found, Search};
use crate::router::proxy::body::{End, ProxyBody, Watched};
use crate::router::proxy::drain::Active;
use crate::router::proxy::entry::switch;
use crate::router::proxy::front::{check, no_connect, nothing_here};
use crate::router::proxy::headers::{self, Sender};
use crate::router::proxy::http1::{AnswerBody, Http1};
use crate::router::proxy::pace::Paced;
use crate::router::proxy::reply::Failure;
use crate::router::proxy::resources;
use crate::router::proxy::serve::{Answers, Client};
use crate::router::proxy::target::host_of;
use crate::router::proxy::tunnel::{ClientTunnel, TunnelBody, client_side};
use crate::router::proxy::upload::{Progress, Upload};
use crate::router::proxy::way::Toward;
use crate::time::Duration;

/// A client that takes nothing of its answer for so long is let go.
const CLIENT_IDLE: Duration = Duration::from_secs(60);

/// The least speed of a request's body, in bytes a second.
const MIN_BODY_RATE: u64 = 100;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A node of the mesh.
    Node,
    /// A node, if the client shows the token.
    Admin,
    /// The edge itself.
    Health,
    /// Nothing that is here.
    Nothing,
}

impl Way {
    fn of<B>(request: &Request<B>) -> Self {
        if request.headers().contains_key(headers::SERVICE) {
            return Self::Node;
        }
        match request.uri().path() {
            "/health" => Self::Health,
            "/api/services" => Self::Node,
            "/api/admin/workers" | "/api/admin/services" => Self::Admin,
            path if path.starts_with("/api/service/") => Self::Node,
            _ => Self::Nothing,
        }
    }
}

impl Answers for Arc<Edge> {
    async fn answer(&self, request: Request<Incoming>, client: &Client) -> Response<ProxyBody> {
        let active = Active::begin(&self.drain);
        let version = request.version();
        let answered = self.checked(request, client, active).await;
        let mut response = answered.unwrap_or_else(|failure| reply::failed(failure, version));
        // Whatever an edge answers shows by this that it is none of a node.
        response.headers_mut().entry(headers::TRIES).or_insert(HeaderValue::from_static("0"));
        response
    }
}

impl Edge {
    async fn checked(
        self: &Arc<Self>,
        mut request: Request<Incoming>,
        client: &Client,
        active: Active,
    ) -> Result<Response<ProxyBody>, Failure> {
        check(&request, self.max_header)?;
        let (method, version) = (request.method(), request.version());
        if method == Method::CONNECT {
            return Ok(reply::readable(no_connect(version)));
        }
        let host = host_of(&request).map_err(Failure::bad_request)?;
        let way = Way::of(&request);
        if way != Way::Health && request.headers().contains_key(headers::EDGE) {
            return Err(reply::looped());
        }
        match way {
            Way::Node => {}
            Way::Health => {
                return Ok(reply::readable(resources::health(
                    method,
                    self.is_draining.load(Ordering::Relaxed),
                )));
            }
            Way::Nothing => return Err(nothing_here()),
            Way::Admin => {
                let Some(token) = &self.token else { return Err(nothing_here()) };
                if !matches!(*method, Method::GET | Method::HEAD) {
                    return Ok(reply::readable(resources::only_reading()));
                }
                let shown = request.headers_mut().remove(AUTHORIZATION);
                if !shown.is_some_and(|shown| token.matches(shown.as_bytes())) {
                    return Ok(reply::unauthorized(version));
                }
            }
        }
        self.was_used.store(true, Ordering::Relaxed);
        self.forward(request, &host, client, active).await
    }

    async fn forward(
        self: &Arc<Self>,
        mut request: Request<Incoming>,
        host: &Authority,
        client: &Client,
        active: Active,
    ) -> Result<Response<ProxyBody>, Failure> {
        let version = request.version();
        let is_tunnel = headers::asks_for_websocket(&request);
        let on_upgrade = is_tunnel.then(|| hyper::upgrade::on(&mut request));
        let (mut head, body) = request.into_parts();
        let tunnel = on_upgrade.map(|on_upgrade| {
            let turn = head.extensions.remove();
            client_side(on_upgrade, turn, self.drain.parting.clone())
        });
        let outbound = self.outbound(head, body, host, client, is_tunnel).await?;
        let mut search = Search::new(self, &outbound, &client.presence);
        let found = search.run().await;
        let tried = search.tried();
        let mut response = match found {
            Ok(Found::Answer(answer)) => {
                outbound.progress.answered();
                self.deliver(*answer, tunnel, active).await?
            }
            Ok(Found::Final(response)) => response,
            Err(failure) if outbound.is_grpc => reply::failed_stream(failure),
            Err(failure) => reply::failed(failure, version),
        };
        response.headers_mut().insert(headers::TRIES, tried);
        Ok(response)
    }

    async fn outbound(
        &self,
        head: Parts,
        body: Incoming,
        host: &Authority,
        client: &Client,
        is_tunnel: bool,
    ) -> Result<Outbound, Failure> {
        let Parts { method, uri, mut headers, .. } = head;
        let is_grpc = headers::is_grpc(&headers);
        // Streams of gRPC may be silent for as long as both ends like.
        let min_rate = if is_grpc { 0 } else { MIN_BODY_RATE };
        let progress = Progress::new(self.clock, self.clock.now(), min_rate, None);
        let upload = if is_tunnel || body.is_end_stream() {
            Upload::Nothing
        } else {
            Box::pin(Upload::take(body, KEEP, None, &self.kept, &progress)).await?
        };
        let scheme = if self.is_tls { "https" } else { "http" };
        headers::to_node(&mut headers, &Sender { ip: client.ip(), scheme }, host.as_str());
        let target = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let is_repeatable = is_repeatable(&method);
        Ok(Outbound { method, target, headers, upload, progress, is_tunnel, is_repeatable, is_grpc })
    }

    /// Makes the client's answer out of the node's.
    async fn deliver(
        &self,
        answer: Answer,
        tunnel: Option<Tunnel>,
        active: Active,
    ) -> Result<Response<ProxyBody>, Failure> {
        let Answer { head, source } = answer;
        let clock = self.clock;
        let on_end = move |_, _| drop(active);
        let mut response = match (source, tunnel) {
            (Source::Http1 { body, connection, .. }, Some(tunnel)) => {
                let response = Response::from_parts(head, body);
                return Box::pin(self.switched(response, connection, tunnel, on_end)).await;
            }
            (Source::Http1 { body, connection, connections }, None) => {
                let give_back = move |connection| connections.put_back(connection);
                let body = Paced::new(AnswerBody::new(body, connection, give_back), clock, CLIENT_IDLE, None);
                Response::from_parts(head, Watched::new(body, Duration::ZERO, None, on_end).boxed_unsync())
            }
            (Source::Http2(body), _) => {
                let body = Paced::new(body, clock, CLIENT_IDLE, None);
                Response::from_parts(head, Watched::new(body, Duration::ZERO, None, on_end).boxed_unsync())
            }
        };
        headers::strip_hop_by_hop(response.headers_mut());
        Ok(response)
    }

    /// The answer to a client that asked for a WebSocket.
    async fn switched(
        &self,
        mut response: Response<Incoming>,
        mut connection: Http1,
        (sends, answers): Tunnel,
        on_end: impl FnOnce(End, u64) + Send + Unpin + 'static,
    ) -> Result<Response<ProxyBody>, Failure> {
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let is_websocket = headers::wants_websocket(response.headers());
        headers::strip_hop_by_hop(response.headers_mut());
        if !switches {
            let close = move |connection: Http1| drop((connection, on_end));
            return Ok(response.map(|body| AnswerBody::new(body, connection, close).boxed_unsync()));
        }
        if !is_websocket {
            return Err(reply::broken());
        }
        let upgraded = connection.upgrade(&mut response).await.map_err(|_| reply::broken())?;
        let parting = self.drain.parting.clone();
        let body = TunnelBody::new(upgraded, sends.boxed_unsync(), Toward::Service, parting);
        let body = Watched::new(body, Duration::ZERO, None, on_end).boxed_unsync();
        Ok(switch(response.map(|_| body), answers))
    }
}

type Tunnel = (ClientTunnel, oneshot::Sender<ProxyBody>);
