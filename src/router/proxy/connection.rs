//! One client's connection: requests one after another or side by side, rest between them, and its end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::client_io::ClientIo;
use super::pace::{Streams, attend};
use super::serve::{Answers, Client, Listener, moment_after};
use super::visit::{Answering, Doing, Visit};
use super::websocket;

/// For a TLS handshake, for the first bytes, and for the head of each request.
pub(super) const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// A client that asks for nothing for so long is told to go.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// After this long without a request a connection of HTTP/1.1 gives its buffers back.
const AWAKE_FOR: Duration = Duration::from_secs(1);

/// For a client's next request once the node takes no new connections: with its answer it is told to go.
pub(super) const GRACE: Duration = Duration::from_millis(300);

/// For clients that speak HTTP/2 and were told to go, after the last of their streams.
const PARTING: Duration = Duration::from_secs(2);

/// For the last bytes of a connection at its end.
const FLUSH_WITHIN: Duration = Duration::from_millis(100);

/// Between two looks at a connection: otherwise, with a request under way, and the same of one that is to end.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_AT_BUSY: Duration = Duration::from_secs(5);
const LOOK_AT_CLOSING: Duration = Duration::from_millis(20);
const LOOK_AT_LAST: Duration = Duration::from_millis(200);

/// Streams of one HTTP/2 client, its window for one, and for all; equal windows can deadlock.
const STREAMS: u32 = 128;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// A connection of HTTP/1.1 or 2, and what it needs to be served.
pub(super) struct Talk<A> {
    pub(super) listener: Arc<Listener<A>>,
    pub(super) client: Client,
    pub(super) stop: CancellationToken,
}

/// What becomes of a connection of HTTP/1.1 on which nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// It gives its buffers back until it is used again.
    Sleep,
    /// A head takes too long.
    TimeOut,
    /// It ends.
    Close,
}

impl<A> Clone for Talk<A> {
    fn clone(&self) -> Self {
        Self { listener: self.listener.clone(), client: self.client.clone(), stop: self.stop.clone() }
    }
}

impl<A: Answers> Talk<A> {
    /// Serves HTTP/1.1, until one side ends it or it has become a tunnel.
    pub(super) async fn http1<S>(self, mut io: ClientIo<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Boxed, so that a connection at rest does not keep room for what it does when it is awake.
        while let Some(resting) = Box::pin(self.awake(io)).await {
            io = resting;
            let limit = if io.has_read_ahead() { HEAD_WITHIN } else { IDLE_FOR };
            let woken = tokio::select! {
                woken = timeout(limit, io.wake()) => woken,
                () = moment_after(&self.stop) => return,
            };
            if !matches!(woken, Ok(Ok(true))) {
                return;
            }
        }
    }

    /// Serves requests until there was none for a while; then the connection comes back, without what serving needs.
    async fn awake<S>(&self, io: ClientIo<S>) -> Option<ClientIo<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let listener = &self.listener;
        let visit = io.visit().clone();
        let service = service_fn(|request| self.clone().turn(request, visit.clone()));
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_header_size(listener.limits.max_header)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let mut connection = Box::new(connection);
        let next = tokio::select! {
            ended = attend(listener.clock, &mut *connection) => {
                match ended {
                    Some(Ok(())) => {}
                    Some(Err(error)) => tracing::debug!(peer = %self.client.peer, %error, "a client's connection ended"),
                    None => tracing::debug!(peer = %self.client.peer, "a client did not take its answer; its connection is closed"),
                }
                return None;
            }
            next = next(&visit, &self.stop) => next,
        };
        if next == Next::Close {
            std::pin::Pin::new(&mut *connection).graceful_shutdown();
            let _ = timeout(FLUSH_WITHIN, connection).await;
            return None;
        }
        let parts = connection.into_parts()?;
        let mut io = parts.io.into_inner();
        io.unread(parts.read_buf);
        if next == Next::TimeOut {
            tracing::debug!(peer = %self.client.peer, "the head of a request took too long");
            self.listener.count_refused("head_timeout");
            let _ = timeout(FLUSH_WITHIN, io.refuse("408 Request Timeout", "timeout")).await;
            return None;
        }
        Some(io)
    }

    /// Serves HTTP/2, until one side ends it.
    pub(super) async fn http2<S>(self, io: ClientIo<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let listener = &self.listener;
        let max_header = u32::try_from(listener.limits.max_header).unwrap_or(u32::MAX);
        let visit = io.visit().clone();
        let service = service_fn(|request| self.clone().turn(request, visit.clone()));
        let connection = http2::Builder::new(Streams { clock: listener.clock })
            .timer(TokioTimer::new())
            .max_header_list_size(max_header)
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .enable_connect_protocol()
            .keep_alive_interval(Duration::from_secs(30))
            .serve_connection(TokioIo::new(io), service);
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return self.note(ended),
            () = visit.floods() => {
                self.listener.count_refused("resets");
                tracing::debug!(peer = %self.client.peer, "a client gave up too many requests; its connection is closed");
                return;
            }
            () = self.stop.cancelled() => {}
            () = rested(&visit, IDLE_FOR) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = connection.as_mut() => self.note(ended),
            () = visit.floods() => {}
            () = rested(&visit, PARTING) => {}
        }
    }

    fn note(&self, ended: hyper::Result<()>) {
        if let Err(error) = ended {
            tracing::debug!(peer = %self.client.peer, %error, "a client's connection ended");
        }
    }

    /// Answers one request.
    async fn turn(
        self,
        mut request: Request<Incoming>,
        visit: Arc<Visit>,
    ) -> Result<Response<Answering>, Infallible> {
        let mut turn = visit.begin(!request.body().is_end_stream());
        if request.method() == Method::HEAD {
            turn.bodiless();
        }
        let is_http1 = request.version() < Version::HTTP_2;
        let is_extended_connect = websocket::is_extended_connect(&request);
        if is_extended_connect {
            let mut tunnel = visit.begin(false);
            tunnel.bodiless();
            request = websocket::as_upgrade(request);
            request.extensions_mut().insert(Arc::new(tunnel));
        }
        let mut response = self.listener.answers.answer(request, &self.client).await;
        if is_extended_connect {
            response = websocket::as_connected(response);
        } else if is_http1 && self.stop.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| turn.answered(body)))
    }
}

/// Ends when something has to be done about a connection of HTTP/1.1 on which nothing happens.
async fn next(visit: &Visit, stop: &CancellationToken) -> Next {
    let mut look = if stop.is_cancelled() { LOOK_AT_CLOSING } else { LOOK };
    let mut head_since = None;
    loop {
        let stopping = stop.is_cancelled();
        tokio::select! {
            () = sleep(look) => {}
            () = stop.cancelled(), if !stopping => {}
        }
        let doing = visit.doing();
        let head = matches!(doing, Doing::Head(_)).then(|| *head_since.get_or_insert_with(Instant::now));
        head_since = head;
        match doing {
            Doing::Head(_) if head.is_some_and(|since| since.elapsed() >= HEAD_WITHIN) => {
                return Next::TimeOut;
            }
            Doing::Head(_) if stop.is_cancelled() && head.is_some_and(|since| since.elapsed() >= GRACE) => {
                return Next::Close;
            }
            Doing::Rest(since) if stop.is_cancelled() && since >= GRACE => return Next::Close,
            Doing::Rest(since) | Doing::Stuck(since) if since >= IDLE_FOR => return Next::Close,
            Doing::Rest(since) if since >= AWAKE_FOR && visit.is_clean() => return Next::Sleep,
            Doing::Work | Doing::Stuck(_) | Doing::Head(_) | Doing::Rest(_) => {}
        }
        look = match doing {
            Doing::Work if stop.is_cancelled() => LOOK_AT_LAST,
            _ if stop.is_cancelled() => LOOK_AT_CLOSING,
            Doing::Work => LOOK_AT_BUSY,
            Doing::Stuck(_) | Doing::Head(_) | Doing::Rest(_) => LOOK,
        };
    }
}

/// Ends when no request was under way for so long, and all answers were taken.
async fn rested(visit: &Visit, limit: Duration) {
    loop {
        let wait = match visit.doing() {
            Doing::Work | Doing::Stuck(_) => limit,
            Doing::Head(since) | Doing::Rest(since) if since >= limit => return,
            Doing::Head(since) | Doing::Rest(since) => limit - since,
        };
        sleep(wait).await;
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
