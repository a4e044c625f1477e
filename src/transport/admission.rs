//! Admission to a link, from either end: TCP, TLS, then the hello, all within three seconds.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_rustls::{client, server};
use tracing::{debug, warn};

use super::Hint;
use super::hello::{ADMISSION_TIMEOUT, Admitted, Greeting, HelloError, Introduction};
use super::keys::Keys;
use super::known_epochs::KnownEpochs;
use super::metered::{Metered, Traffic};
use super::tls::{Tls, Unproven, server_name};
use crate::id::NodeId;
use crate::mesh::LinkFailure;
use crate::metrics::{KindLabels, Metrics};
use crate::time::Duration;

/// A link whose host is gone is closed by the kernel after some minutes, even when nothing is sent.
/// Seldom, because watch links are idle all the time; the silence of a host is found by datagrams.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(300)).with_interval(Duration::from_secs(15));

/// Between two warnings about peers that are not admitted.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// What is needed to admit a peer, or to be admitted.
pub(super) struct Admission {
    local: NodeId,
    tls: Tls,
    introduction: Introduction,
    known_epochs: KnownEpochs,
    hints: mpsc::Sender<Hint>,
    metrics: Metrics,
    /// Links are dialled from here when `--bind` names one address.
    source: IpAddr,
    last_warning: Mutex<Option<Instant>>,
}

/// A stream to an admitted peer.
pub(super) struct Connected<S> {
    pub(super) stream: S,
    pub(super) traffic: Traffic,
    pub(super) admitted: Admitted,
}

pub(super) type Dialled = Connected<client::TlsStream<Metered<TcpStream>>>;
pub(super) type Accepted<S> = Connected<server::TlsStream<Metered<S>>>;

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdmissionError {
    /// Nobody there, or TLS failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// TLS proved no identity.
    #[error(transparent)]
    Unproven(#[from] Unproven),
    /// TLS proved another identity than the expected one.
    #[error("it is {0}")]
    WrongPeer(NodeId),
    /// One side refused the other's hello.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// Not within the time for TLS and hello.
    #[error("it did not answer in time")]
    TimedOut,
}

impl AdmissionError {
    /// What callers of links are told.
    pub(super) const fn failure(&self) -> LinkFailure {
        match self {
            Self::WrongPeer(_) | Self::Hello(HelloError::Itself) => LinkFailure::WrongPeer,
            Self::Io(_) | Self::Unproven(_) | Self::Hello(_) | Self::TimedOut => LinkFailure::Unreachable,
        }
    }

    /// The name in metrics.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Io(_) | Self::Unproven(_) | Self::WrongPeer(_) => "link_tls",
            Self::TimedOut => "link_slow",
            Self::Hello(HelloError::Key(_) | HelloError::Proof(_)) => "link_key",
            Self::Hello(HelloError::Cluster(_)) => "link_cluster",
            Self::Hello(HelloError::Itself) => "link_itself",
            Self::Hello(
                HelloError::Io(_) | HelloError::Malformed(_) | HelloError::Role(_) | HelloError::Cipher,
            ) => "link_hello",
        }
    }
}

impl Admission {
    pub(super) fn new(
        tls: Tls,
        introduction: Introduction,
        local: NodeId,
        source: IpAddr,
        metrics: Metrics,
        hints: mpsc::Sender<Hint>,
    ) -> Self {
        let (known_epochs, last_warning) = (KnownEpochs::default(), Mutex::default());
        Self { local, tls, introduction, known_epochs, hints, metrics, source, last_warning }
    }

    pub(super) const fn local(&self) -> NodeId {
        self.local
    }

    pub(super) const fn tls(&self) -> &Tls {
        &self.tls
    }

    pub(super) const fn keys(&self) -> &Keys {
        &self.introduction.keys
    }

    pub(super) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) const fn known_epochs(&self) -> &KnownEpochs {
        &self.known_epochs
    }

    /// A link to `addr`, where `expected` must be (`None`: any other member).
    pub(super) async fn dial(
        &self,
        addr: SocketAddr,
        expected: Option<NodeId>,
    ) -> Result<Dialled, AdmissionError> {
        self.dial_within(self.dial_unbounded(addr, expected, false), addr).await
    }

    /// A link to `expected` that the far side shall keep although nothing is said on it.
    pub(super) async fn dial_to_watch(
        &self,
        addr: SocketAddr,
        expected: NodeId,
    ) -> Result<Dialled, AdmissionError> {
        self.dial_within(self.dial_unbounded(addr, Some(expected), true), addr).await
    }

    async fn dial_within(
        &self,
        dialling: impl Future<Output = Result<Dialled, AdmissionError>>,
        addr: SocketAddr,
    ) -> Result<Dialled, AdmissionError> {
        let dialled = timeout(ADMISSION_TIMEOUT, dialling).await;
        let dialled = dialled.unwrap_or(Err(AdmissionError::TimedOut));
        match &dialled {
            Ok(link) => self.hint_admitted(&link.admitted),
            Err(error) => {
                debug!(%addr, %error, "no link");
                self.warn_hung_up(addr, error);
            }
        }
        dialled
    }

    async fn dial_unbounded(
        &self,
        addr: SocketAddr,
        expected: Option<NodeId>,
        watch: bool,
    ) -> Result<Dialled, AdmissionError> {
        let tcp = self.connect(addr).await?;
        let metered = Metered::new(tcp, &self.metrics);
        let traffic = metered.traffic();
        let mut stream = self.tls.connector().connect(server_name(), metered).await?;
        let channel = self.tls.channel(stream.get_ref().1)?;
        if let Some(expected) = expected.filter(|expected| *expected != channel.peer) {
            debug!(%addr, %expected, found = %channel.peer, "another node has that address");
            return Err(AdmissionError::WrongPeer(channel.peer));
        }
        let greeting = Greeting { known_epoch: self.known_epochs.of(&channel.peer), watch };
        let admitted = self.introduction.dial(&mut stream, &channel, greeting).await?;
        Ok(Connected { stream, traffic, admitted })
    }

    pub(super) async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if !self.source.is_unspecified() && self.source.is_ipv4() == addr.is_ipv4() {
            socket.bind(SocketAddr::new(self.source, 0))?;
        }
        let tcp = socket.connect(addr).await?;
        prepare(&tcp)?;
        Ok(tcp)
    }

    /// Admits whoever dialled `tcp`, or hangs up without a word.
    pub(super) async fn accept(
        &self,
        tcp: TcpStream,
        remote: SocketAddr,
    ) -> Result<Accepted<TcpStream>, AdmissionError> {
        prepare(&tcp)?;
        let reached_at = tcp.local_addr()?.ip().to_canonical();
        let accepted = self.accept_stream(tcp, remote).await?;
        self.hint(Hint::ReachedAt(reached_at));
        Ok(accepted)
    }

    pub(super) async fn accept_stream<S>(
        &self,
        stream: S,
        remote: SocketAddr,
    ) -> Result<Accepted<S>, AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepted = timeout(ADMISSION_TIMEOUT, self.accept_unbounded(stream)).await;
        let accepted = accepted.unwrap_or(Err(AdmissionError::TimedOut));
        match &accepted {
            Ok(link) => self.hint_admitted(&link.admitted),
            Err(error) => {
                debug!(%remote, %error, "a link was refused");
                self.refuse(error.kind());
                self.warn_refused(remote, error);
            }
        }
        accepted
    }

    async fn accept_unbounded<S>(&self, stream: S) -> Result<Accepted<S>, AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let metered = Metered::new(stream, &self.metrics);
        let traffic = metered.traffic();
        let mut stream = self.tls.acceptor().accept(metered).await?;
        let channel = self.tls.channel(stream.get_ref().1)?;
        let greeting = Greeting { known_epoch: self.known_epochs.of(&channel.peer), watch: false };
        let admitted = self.introduction.accept(&mut stream, &channel, greeting).await?;
        Ok(Connected { stream, traffic, admitted })
    }

    /// What hellos say from now on.
    pub(super) fn set_epoch(&self, epoch: u64) {
        self.introduction.epoch.store(epoch, Ordering::Relaxed);
    }

    /// Counts something that was received and refused.
    pub(super) fn refuse(&self, kind: &'static str) {
        self.metrics.refused.get_or_create(&KindLabels { kind }).inc();
    }

    fn hint_admitted(&self, admitted: &Admitted) {
        let Admitted { peer, boot_nonce, greeting: Greeting { known_epoch: known, .. }, .. } = *admitted;
        self.hint(Hint::Admitted { peer, boot_nonce });
        if known > self.introduction.epoch.load(Ordering::Relaxed) {
            self.hint(Hint::EpochBehind { known });
        }
    }

    fn hint(&self, hint: Hint) {
        // Hints repeat with every link, so one that finds the queue full may be lost.
        if self.hints.try_send(hint).is_err() {
            self.refuse("hint_queue_full");
        }
    }

    /// Says what is wrong when a node was refused: a mistyped key would otherwise be plain silence.
    fn warn_refused(&self, peer: SocketAddr, error: &AdmissionError) {
        let foreign = matches!(
            error,
            AdmissionError::Hello(HelloError::Key(_) | HelloError::Proof(_) | HelloError::Cluster(_))
        );
        if foreign && self.may_warn() {
            let own_key = self.keys().sealing().id();
            let cluster = &self.introduction.cluster;
            warn!(%peer, %own_key, %cluster, "refused a node of another cluster or cluster key: {error}");
        }
    }

    /// A refused node sees no more than the end of the connection.
    fn warn_hung_up(&self, peer: SocketAddr, error: &AdmissionError) {
        let hung_up = matches!(
            error,
            AdmissionError::Hello(HelloError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof
        );
        if hung_up && self.may_warn() {
            let own_key = self.keys().sealing().id();
            let cluster = &self.introduction.cluster;
            warn!(%peer, %own_key, %cluster, "a node hung up at the hello; it has probably another cluster or cluster key");
        }
    }

    fn may_warn(&self) -> bool {
        let now = Instant::now();
        let mut last = self.last_warning.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now - last >= WARNING_INTERVAL);
        if may {
            *last = Some(now);
        }
        may
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Admission({})", self.local)
    }
}

fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    SockRef::from(tcp).set_tcp_keepalive(&KEEPALIVE)
}
