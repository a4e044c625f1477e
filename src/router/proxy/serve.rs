//! The listeners: accept connections, bound their number, and find out what they speak.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::body::Incoming;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Proxy;
use super::body::ProxyBody;
use super::client_io::{ClientIo, Spoken, refusal};
use super::connection::{GRACE, HEAD_WITHIN, Talk};
use super::drain::Drain;
use super::edge::EdgeSecrets;
use super::front::{AdminReads, Front, Kind};
use super::places::{Place, Places, Room};
use super::socket::{ClientSocket, Presence};
use crate::clock::Clock;
use crate::metrics::{KindLabels, Metrics};

/// After a failed accept (out of descriptors), before the next one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who vanished without a word, with a WebSocket or a stream of events open, is let go after a minute and a half.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);

/// For a client that is sent away to take notice.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

/// Who answers the requests of a listener.
pub(crate) trait Answers: Send + Sync + 'static {
    /// Answers one request, whatever it is.
    fn answer(
        &self,
        request: Request<Incoming>,
        client: &Client,
    ) -> impl Future<Output = Response<ProxyBody>> + Send;
}

/// One listener.
#[derive(Debug)]
pub(crate) struct Listener<A> {
    pub(crate) answers: A,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) drain: Arc<Drain>,
    /// Where its connections are counted, and its name there.
    pub(crate) counted: Option<(Metrics, &'static str)>,
}

/// Limits of a listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The largest head of a request, in bytes.
    pub(crate) max_header: usize,
    /// Connections at the same time.
    pub(crate) max_connections: usize,
    /// Of one client.
    pub(crate) max_connections_per_client: usize,
}

/// The client of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) peer: SocketAddr,
    pub(crate) presence: Presence,
}

impl Client {
    /// Its address.
    pub(crate) const fn ip(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }
}

impl Proxy {
    /// Serves local callers until `stop`, and then until their connections have finished what they have.
    pub async fn serve_ingress(
        self,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        stop: CancellationToken,
    ) {
        self.serve(Kind::Ingress, listener, tls, stop).await;
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
        self.serve(Kind::Edge { secrets, admin }, listener, tls, stop).await;
    }

    async fn serve(
        self,
        kind: Kind,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        stop: CancellationToken,
    ) {
        let shared = self.shared.clone();
        let config = &shared.config;
        let listening = Listener {
            limits: Limits {
                max_header: config.max_header,
                max_connections: config.max_connections,
                max_connections_per_client: config.max_connections_per_client,
            },
            clock: shared.clock,
            drain: shared.drain.clone(),
            counted: Some((shared.metrics.clone(), kind.listener())),
            answers: Front { proxy: self, kind, is_tls: tls.is_some() },
        };
        listening.serve(listener, tls, stop).await;
    }
}

impl<A: Answers> Listener<A> {
    /// Serves clients until `stop`, and then until their connections have finished what they have.
    pub(crate) async fn serve(self, socket: TcpListener, tls: Option<TlsAcceptor>, stop: CancellationToken) {
        let Limits { max_connections, max_connections_per_client, .. } = self.limits;
        let places = Places::new(max_connections, max_connections_per_client, self.drain.clients.clone());
        let listening = Listening { listener: Arc::new(self), places, tasks: TaskTracker::new(), tls, stop };
        listening.run(socket).await;
    }

    /// Counts something that was refused before it was a request.
    pub(super) fn count_refused(&self, kind: &'static str) {
        if let Some((metrics, _)) = &self.counted {
            metrics.refused.get_or_create(&KindLabels { kind }).inc();
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
        tls: Option<TlsAcceptor>,
        stop: CancellationToken,
    ) {
        let _open = self.counted.as_ref().map(|(metrics, name)| metrics.connected(name));
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY");
        }
        if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE) {
            tracing::debug!(%error, "a connection without keep-alive");
        }
        let client = Client { peer, presence: Presence::default() };
        let stream = ClientSocket::new(stream, client.presence.clone());
        let Some(tls) = tls else { return self.greet(ClientIo::new(stream, place), client, stop).await };
        match timeout(HEAD_WITHIN, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.greet(ClientIo::new(stream, place), client, stop).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    async fn greet<S>(self: Arc<Self>, mut io: ClientIo<S>, client: Client, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = client.peer;
        let greeted = tokio::select! {
            greeted = timeout(HEAD_WITHIN, io.greet()) => greeted,
            () = moment_after(&stop) => return,
        };
        match greeted {
            Ok(Ok(Some(spoken))) => {
                let talk = Talk { listener: self, client, stop };
                match spoken {
                    Spoken::Http1 => talk.http1(io).await,
                    Spoken::Http2 => Box::pin(talk.http2(io)).await,
                }
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a client's connection broke"),
            Err(_) => tracing::debug!(%peer, "a client said nothing"),
        }
    }
}

/// A listener at work.
struct Listening<A> {
    listener: Arc<Listener<A>>,
    places: Places,
    tasks: TaskTracker,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
}

impl<A: Answers> Listening<A> {
    async fn run(self, listener: TcpListener) {
        while let Some(room) = self.stop.run_until_cancelled(self.places.room()).await.flatten() {
            let Some(accepted) = self.stop.run_until_cancelled(listener.accept()).await else { break };
            match accepted {
                Ok((stream, peer)) => self.take(stream, peer, room),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        if let Err(error) = self.take_last(listener) {
            tracing::debug!(%error, "the last connections were not accepted");
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Clients whose connections stand already would take a closed listener for a connection that broke.
    fn take_last(&self, listener: TcpListener) -> std::io::Result<()> {
        let listener = listener.into_std()?;
        while let Some(room) = self.places.room().now_or_never().flatten() {
            match listener.accept() {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(true)?;
                    self.take(TcpStream::from_std(stream)?, peer, room);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr, room: Room) {
        let tls = self.tls.clone();
        match self.places.take(peer.ip(), room) {
            Ok(place) => {
                let listener = self.listener.clone();
                self.tasks.spawn(listener.connection(stream, peer, place, tls, self.stop.clone()));
            }
            Err(room) => {
                tracing::debug!(%peer, "a client has too many connections");
                self.listener.count_refused("client_connections");
                self.tasks.spawn(refuse(stream, tls.is_some(), room));
            }
        }
    }
}

/// A client that connected just before the listener closed is still heard.
pub(super) async fn moment_after(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(GRACE).await;
}

/// Sends a client away. It holds its room meanwhile, so that there cannot be more of them than of others.
async fn refuse(mut stream: TcpStream, is_tls: bool, _room: Room) {
    if is_tls {
        return;
    }
    let told = async {
        stream.write_all(refusal("429 Too Many Requests", "too_many_connections").as_bytes()).await?;
        stream.shutdown().await?;
        // Closed with bytes unread, the connection would be reset, and the answer might be lost.
        let mut unread = [0; 512];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = timeout(REFUSED_WITHIN, told).await;
}
