//! The listeners: accept, bound and greet connections, and answer what comes over them.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use http::header::{ALLOW, CONNECTION, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access_log::Entry;
use super::body::{ProxyBody, Watched};
use super::client_io::{ClientIo, Spoken};
use super::edge::EdgeSecrets;
use super::entry::Entered;
use super::headers::{self, Sender};
use super::reply::Failure;
use super::target::{BadTarget, Target, classify, host_of};
use super::{Active, Proxy};
use crate::node::clock::unix_now;

/// The read-only part of the admin API that the edge listener answers.
pub type AdminReads = axum::Router;

/// For a TLS handshake, for the first bytes, and for the head of each request.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// After a failed accept (out of descriptors), before the next one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The most headers of a request; the parser of HTTP/1.1 has the same limit.
const MAX_FIELDS: usize = 100;

/// Streams of one HTTP/2 client, its window for one, and for all; equal windows can deadlock.
const STREAMS: u32 = 128;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Who may speak on a listener, and what it answers.
#[derive(Debug, Clone)]
enum Kind {
    /// Local callers.
    Ingress,
    /// Edges, whose requests are signed.
    Edge { secrets: EdgeSecrets, admin: Option<AdminReads> },
}

/// One listener.
#[derive(Debug, Clone)]
struct Front {
    proxy: Proxy,
    kind: Kind,
    is_tls: bool,
}

impl Proxy {
    /// Serves local callers until `stop`, and then until their connections have finished what they have.
    pub async fn serve_ingress(
        self,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        stop: CancellationToken,
    ) {
        let front = Front { proxy: self, kind: Kind::Ingress, is_tls: tls.is_some() };
        front.serve(listener, tls, stop).await;
    }

    /// Serves edges until `stop`, and then until their connections have finished what they have. `admin` answers
    /// `GET /api/admin/workers` and `/services`.
    pub async fn serve_edge(
        self,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        secrets: EdgeSecrets,
        admin: Option<AdminReads>,
        stop: CancellationToken,
    ) {
        let front = Front { proxy: self, kind: Kind::Edge { secrets, admin }, is_tls: tls.is_some() };
        front.serve(listener, tls, stop).await;
    }
}

impl Front {
    async fn serve(self, listener: TcpListener, tls: Option<TlsAcceptor>, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        loop {
            let room = self.proxy.shared.connections.clone().acquire_owned();
            let accepted = async { (room.await, listener.accept().await) };
            let (room, accepted) = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = accepted => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (front, tls, stop) = (self.clone(), tls.clone(), stop.clone());
                    tasks.spawn(async move {
                        front.connection(stream, peer, tls, stop).await;
                        drop(room);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        tasks.close();
        tasks.wait().await;
    }

    async fn connection(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<TlsAcceptor>,
        stop: CancellationToken,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY");
        }
        let Some(tls) = tls else { return self.greet(stream, peer, stop).await };
        match timeout(HEAD_WITHIN, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.greet(stream, peer, stop).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    async fn greet<S>(self, stream: S, peer: SocketAddr, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let greeted = tokio::select! {
            greeted = timeout(HEAD_WITHIN, ClientIo::greet(stream)) => greeted,
            () = stop.cancelled() => return,
        };
        match greeted {
            Ok(Ok(Some((Spoken::Http1, io)))) => self.http1(io, peer, stop).await,
            Ok(Ok(Some((Spoken::Http2, io)))) => self.http2(io, peer, stop).await,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a client's connection broke"),
            Err(_) => tracing::debug!(%peer, "a client said nothing"),
        }
    }

    async fn http1<S>(self, io: ClientIo<S>, peer: SocketAddr, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let max_header = self.proxy.shared.config.max_header;
        let service = service_fn(move |request| self.clone().answer(request, peer));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_header_size(max_header)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a client's connection ended");
        }
    }

    async fn http2<S>(self, io: ClientIo<S>, peer: SocketAddr, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let max_header = u32::try_from(self.proxy.shared.config.max_header).unwrap_or(u32::MAX);
        let service = service_fn(move |request| self.clone().answer(request, peer));
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(max_header)
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(Duration::from_secs(30))
            .serve_connection(TokioIo::new(io), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a client's connection ended");
        }
    }

    async fn answer(
        self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<ProxyBody>, Infallible> {
        let active = Active::begin(&self.proxy.shared);
        let shared = self.proxy.shared.clone();
        let client = peer.ip().to_canonical();
        let log = shared.access_log.as_ref().map(|log| Entry::begin(log, shared.clock, client, &request));
        let version = request.version();
        let response = self.checked(request, client).await.unwrap_or_else(|failure| {
            let malformed = failure.status == StatusCode::BAD_REQUEST && version < Version::HTTP_2;
            let mut response = failure.into_response(false);
            if malformed {
                // Others on the way may have read it differently, so nothing that follows can be trusted.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        });
        Ok(tracked(response, log, active))
    }

    /// Answers a request whose head is within its limits and, on the edge listener, signed.
    async fn checked(
        &self,
        request: Request<Incoming>,
        client: IpAddr,
    ) -> Result<Response<ProxyBody>, Failure> {
        let proxy = &self.proxy;
        check_head(request.headers(), request.uri(), proxy.shared.config.max_header)?;
        check_framing(request.headers())?;
        let host = host_of(&request).map_err(Failure::bad_request)?;
        let target = match classify(&request, &host, &proxy.shared.config.mesh_domain) {
            Ok(target) => target,
            Err(BadTarget::Connect) => return Ok(no_connect()),
            Err(bad) => return Err(Failure::bad_request(bad)),
        };
        let sender = match &self.kind {
            _ if target == Target::Health => return Ok(proxy.health(&request)),
            Kind::Ingress => Sender { ip: client, scheme: if self.is_tls { "https" } else { "http" } },
            Kind::Edge { secrets, .. } => {
                let ip = secrets.verify(&request, host.as_str(), unix_now().as_secs())?;
                Sender { ip, scheme: self.scheme_of_edge(request.headers()) }
            }
        };
        Ok(match target {
            Target::Service(target) => proxy.enter_service(Entered { request, target, host, sender }).await,
            Target::Services => proxy.services(&request),
            Target::Summary => proxy.summary(&request),
            Target::Health => proxy.health(&request),
            Target::Admin => self.admin(request).await?,
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
        if !readable || !matches!(*request.method(), http::Method::GET | http::Method::HEAD) {
            return Err(nothing_here());
        }
        let answered = TowerToHyperService::new(admin.clone()).call(request).await;
        let response = answered.unwrap_or_else(|never| match never {});
        Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
}

/// The parser has limits of its own; these also hold for HTTP/2.
fn check_head(headers: &HeaderMap, uri: &http::Uri, max: usize) -> Result<(), Failure> {
    let fields: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let target = uri.path_and_query().map_or(0, |path| path.as_str().len());
    if headers.len() > MAX_FIELDS || fields + target > max {
        let message = format!("the request's head has more than {MAX_FIELDS} fields or {max} bytes");
        return Err(Failure::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "header_too_large", message));
    }
    Ok(())
}

/// The only transfer coding that means the same to everyone is `chunked`, once.
fn check_framing(headers: &HeaderMap) -> Result<(), Failure> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err(Failure::bad_request("the only Transfer-Encoding that is accepted is chunked")),
    }
}

fn nothing_here() -> Failure {
    let message =
        "nothing is served at this path; services are at /api/service/{name}/, the list at /api/services";
    Failure::new(StatusCode::NOT_FOUND, "not_found", message)
}

fn no_connect() -> Response<ProxyBody> {
    let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method", BadTarget::Connect.to_string());
    let mut response = failure.into_response(false);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    response
}

/// Counts the request as under way until its answer's body has ended.
fn tracked(response: Response<ProxyBody>, mut log: Option<Entry>, active: Active) -> Response<ProxyBody> {
    if let Some(entry) = &mut log {
        entry.answered(response.status(), response.headers());
    }
    let on_end = move |_, bytes| {
        if let Some(mut entry) = log {
            entry.ended(bytes);
        }
        drop(active);
    };
    response.map(|body| Watched::new(body, Duration::ZERO, None, on_end).boxed_unsync())
}
