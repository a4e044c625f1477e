//! The socket for datagrams: seals and sends without ever waiting, receives and opens in one task.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{trace, warn};

use super::Received;
use super::keyring::Keyring;
use super::open::{OpenError, Opener};
use super::seal::{SealError, Sealer};
use crate::id::IdHash;
use crate::metrics::{DirectionLabels, KindLabels, Metrics};
use crate::time::Duration;
use crate::wire::MAX_DATAGRAM_LEN;

/// Bursts wait in the kernel while the loop is busy; the kernel may grant less.
const KERNEL_BUFFER: usize = 4 << 20;

/// After a failure to receive.
const PAUSE: Duration = Duration::from_millis(50);

/// Seals and sends.
#[derive(Debug)]
pub(super) struct DatagramSender {
    /// The blocking-free twin of the receiving socket: it needs no readiness event before its first datagram.
    socket: std::net::UdpSocket,
    ipv6: bool,
    sealer: Mutex<Sealer>,
    sent: Counter,
    sent_bytes: Counter,
    dropped: Counter,
}

impl DatagramSender {
    pub(super) fn new(socket: std::net::UdpSocket, sealer: Sealer, metrics: &Metrics) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // One at a time: the family is locked while a counter of it is borrowed.
        let datagrams = |direction| metrics.datagrams.get_or_create(&DirectionLabels { direction }).clone();
        let (sent, dropped) = (datagrams("sent"), datagrams("dropped"));
        let sent_bytes = metrics.datagram_bytes.get_or_create(&DirectionLabels { direction: "sent" }).clone();
        let ipv6 = socket.local_addr()?.is_ipv6();
        Ok(Self { socket, ipv6, sealer: Mutex::new(sealer), sent, sent_bytes, dropped })
    }

    /// Seals and sends; what the kernel does not take at once is dropped and counted.
    pub(super) fn send(&self, recipient: Option<IdHash>, addr: SocketAddr, plaintext: &[u8]) {
        match self.try_send(recipient, addr, plaintext) {
            Ok(len) => {
                self.sent.inc();
                self.sent_bytes.inc_by(len as u64);
            }
            Err(error) => {
                trace!(%addr, %error, "a datagram was dropped");
                self.dropped.inc();
            }
        }
    }

    fn try_send(&self, recipient: Option<IdHash>, addr: SocketAddr, plaintext: &[u8]) -> io::Result<usize> {
        let mut sealer = self.sealer.lock().unwrap_or_else(PoisonError::into_inner);
        let datagram = sealer.seal(recipient, plaintext).map_err(io::Error::other)?;
        self.socket.send_to(datagram, self.reachable(addr))
    }

    /// A socket for both families knows IPv4 addresses only in their mapped form.
    fn reachable(&self, addr: SocketAddr) -> SocketAddr {
        match addr.ip() {
            IpAddr::V4(ip) if self.ipv6 => SocketAddr::new(ip.to_ipv6_mapped().into(), addr.port()),
            IpAddr::V4(_) | IpAddr::V6(_) => addr,
        }
    }

    pub(super) fn rotate(&self, keyring: &Keyring) -> Result<(), SealError> {
        self.sealer.lock().unwrap_or_else(PoisonError::into_inner).rotate(keyring)
    }

    pub(super) fn renew_seal(&self) -> Result<(), SealError> {
        self.sealer.lock().unwrap_or_else(PoisonError::into_inner).renew()
    }
}

/// Receives and opens.
#[derive(Debug)]
pub(super) struct DatagramReceiver {
    opener: Opener,
    received: Counter,
    received_bytes: Counter,
    refused: [(OpenError, Counter); OpenError::ALL.len()],
    queue_full: Counter,
    queue: mpsc::Sender<Received>,
}

impl DatagramReceiver {
    pub(super) fn new(opener: Opener, metrics: &Metrics, queue: mpsc::Sender<Received>) -> Self {
        let received = DirectionLabels { direction: "received" };
        let refused = |kind| metrics.refused.get_or_create(&KindLabels { kind }).clone();
        Self {
            opener,
            received: metrics.datagrams.get_or_create(&received).clone(),
            received_bytes: metrics.datagram_bytes.get_or_create(&received).clone(),
            refused: OpenError::ALL.map(|error| (error, refused(error.kind()))),
            queue_full: refused("datagram_queue_full"),
            queue,
        }
    }

    /// Receives until the node ends.
    pub(super) async fn run(mut self, socket: UdpSocket, stop: CancellationToken) {
        if let Err(error) = SockRef::from(&socket).set_recv_buffer_size(KERNEL_BUFFER) {
            trace!(%error, "the kernel keeps its own buffer size");
        }
        // One byte more than a datagram, so that a longer one is seen to be longer.
        let mut buffer = [0; MAX_DATAGRAM_LEN + 1];
        let mut stopped = pin!(stop.cancelled());
        loop {
            let received = tokio::select! {
                received = socket.recv_from(&mut buffer) => received,
                () = &mut stopped => break,
            };
            match received {
                Ok((len, source)) => self.handle(&buffer[..len], source),
                Err(error) => {
                    warn!(%error, "cannot receive datagrams");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn handle(&mut self, datagram: &[u8], source: SocketAddr) {
        self.received.inc();
        self.received_bytes.inc_by(datagram.len() as u64);
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        match self.opener.open(datagram) {
            Ok(plaintext) => {
                let received = Received { source, plaintext: plaintext.to_vec() };
                if self.queue.try_send(received).is_err() {
                    self.queue_full.inc();
                }
            }
            Err(error) => {
                trace!(%source, %error, "a datagram was refused");
                let counter = self.refused.iter().find(|(kind, _)| *kind == error);
                counter.map(|(_, counter)| counter.inc());
            }
        }
    }
}
