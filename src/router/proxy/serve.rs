//! The listeners: accept connections, bound their number, and find out what they speak.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Proxy;
use super::client_io::{ClientIo, Spoken, refusal};
use super::connection::{GRACE, HEAD_WITHIN, Talk};
use super::edge::EdgeSecrets;
use super::front::{AdminReads, Front, Kind};
use super::places::{Place, Places, Room};
use super::socket::{ClientSocket, Presence};
use crate::metrics::KindLabels;

/// After a failed accept (out of descriptors), before the next one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// For a client that is sent away to take notice.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);

impl Proxy {
    /// Serves local callers until `stop`, and then until their connections have finished what they have.
    pub async fn serve_ingress(
        self,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        stop: CancellationToken,
    ) {
        let front =
            Front { proxy: self, kind: Kind::Ingress, is_tls: tls.is_some(), presence: Presence::default() };
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
        let front = Front {
            proxy: self,
            kind: Kind::Edge { secrets, admin },
            is_tls: tls.is_some(),
            presence: Presence::default(),
        };
        front.serve(listener, tls, stop).await;
    }
}

impl Front {
    async fn serve(self, listener: TcpListener, tls: Option<TlsAcceptor>, stop: CancellationToken) {
        let shared = self.proxy.shared.clone();
        let limits = &shared.config;
        let (max, per_client) = (limits.max_connections, limits.max_connections_per_client);
        let listening = Listening {
            front: self,
            places: Places::new(max, per_client, shared.drain.clients.clone()),
            tasks: TaskTracker::new(),
            tls,
            stop,
        };
        listening.run(listener).await;
    }

    /// Counts something that was refused before it was a request.
    pub(super) fn count_refused(&self, kind: &'static str) {
        self.proxy.shared.metrics.refused.get_or_create(&KindLabels { kind }).inc();
    }

    async fn connection(
        mut self,
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
        tls: Option<TlsAcceptor>,
        stop: CancellationToken,
    ) {
        let _open = self.proxy.shared.metrics.connected(self.kind.listener());
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection without TCP_NODELAY");
        }
        self.presence = Presence::default();
        let stream = ClientSocket::new(stream, self.presence.clone());
        let Some(tls) = tls else { return self.greet(ClientIo::new(stream, place), peer, stop).await };
        match timeout(HEAD_WITHIN, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.greet(ClientIo::new(stream, place), peer, stop).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    async fn greet<S>(self, mut io: ClientIo<S>, peer: SocketAddr, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let greeted = tokio::select! {
            greeted = timeout(HEAD_WITHIN, io.greet()) => greeted,
            () = moment_after(&stop) => return,
        };
        match greeted {
            Ok(Ok(Some(spoken))) => {
                let talk = Talk { front: self, peer, stop };
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
struct Listening {
    front: Front,
    places: Places,
    tasks: TaskTracker,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
}

impl Listening {
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
                let front = self.front.clone();
                self.tasks.spawn(front.connection(stream, peer, place, tls, self.stop.clone()));
            }
            Err(room) => {
                tracing::debug!(%peer, "a client has too many connections");
                self.front.count_refused("client_connections");
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
