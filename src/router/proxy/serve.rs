//! The listeners: accept connections, bound their number, and find out what they speak.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Proxy;
use super::body::Watched;
use super::client_io::{ClientIo, Spoken};
use super::edge::EdgeSecrets;
use super::front::{AdminReads, Front, Kind};
use super::pace::{Streams, attend};

/// For a TLS handshake, for the first bytes, and for the head of each request.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// A client that speaks HTTP/2 and asks for nothing for so long is told to go; over HTTP/1.1 it is [`HEAD_WITHIN`].
const IDLE_FOR: Duration = Duration::from_secs(60);

/// After a failed accept (out of descriptors), before the next one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Streams of one HTTP/2 client, its window for one, and for all; equal windows can deadlock.
const STREAMS: u32 = 128;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

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
        let connections = Arc::new(Semaphore::new(self.proxy.shared.config.max_connections));
        loop {
            let room = connections.clone().acquire_owned();
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
        let _open = self.proxy.shared.metrics.connected(self.kind.listener());
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
        let (clock, max_header) = (self.proxy.shared.clock, self.proxy.shared.config.max_header);
        let service = service_fn(move |request| self.clone().answer(request, peer));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_header_size(max_header)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let ended = attend(clock, async {
            let mut connection = pin!(connection);
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        });
        match ended.await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%peer, %error, "a client's connection ended"),
            None => tracing::debug!(%peer, "a client did not take its answer; its connection is closed"),
        }
    }

    async fn http2<S>(self, io: ClientIo<S>, peer: SocketAddr, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let max_header = u32::try_from(self.proxy.shared.config.max_header).unwrap_or(u32::MAX);
        let streams = Streams { clock: self.proxy.shared.clock };
        let open = watch::Sender::new(0_usize);
        let idle = idle(open.subscribe());
        let service = service_fn(move |request| {
            let (stream, answer) = (OpenStream::begin(&open), self.clone().answer(request, peer));
            async move {
                let response = answer.await?;
                let on_end = move |_, _| drop(stream);
                let watched = |body| Watched::new(body, Duration::ZERO, None, on_end).boxed_unsync();
                Ok::<_, Infallible>(response.map(watched))
            }
        });
        let connection = http2::Builder::new(streams)
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
            () = async { tokio::select! { () = stop.cancelled() => {}, () = idle => {} } } => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a client's connection ended");
        }
    }
}

/// One of the streams that are open on a connection.
struct OpenStream(watch::Sender<usize>);

impl OpenStream {
    fn begin(open: &watch::Sender<usize>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(open.clone())
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open = open.saturating_sub(1));
    }
}

/// Ends when no stream was open for [`IDLE_FOR`].
async fn idle(mut open: watch::Receiver<usize>) {
    loop {
        if open.wait_for(|open| *open == 0).await.is_err() {
            return std::future::pending().await;
        }
        tokio::select! {
            changed = open.changed() => if changed.is_err() { return std::future::pending().await },
            () = sleep(IDLE_FOR) => return,
        }
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
