//! The network: sealed datagrams, and links of HTTP/2 over TLS that prove both identities and the cluster key.
//!
//! It decides nothing: the core says what goes to whom, and what arrives is handed on through bounded queues.

mod accept;
mod admission;
mod any_peer;
mod backoff;
mod connect;
mod cork;
mod hello;
mod http2;
mod keyring;
mod keys;
mod known_epochs;
mod link;
mod metered;
mod open;
mod peer;
mod pool;
mod pulse;
mod reach;
mod recovery;
mod replay;
mod seal;
mod serve;
mod sockets;
#[cfg(test)]
mod tests;
mod tls;
mod udp;
mod watch_links;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use keyring::{ClusterKey, InvalidKeyring, KeyId, Keyring};
pub use link::Lane;
pub use pool::{Links, Whoami};
pub use pulse::Place;
pub use sockets::BindError;
pub use tls::CertificateError;

use accept::Acceptor;
use admission::Admission;
use hello::Introduction;
use keys::Keys;
use open::Opener;
use seal::Sealer;
use serve::Server;
use tls::Tls;
use udp::{DatagramReceiver, DatagramSender};
use watch_links::{Places, Watches};

use crate::id::{IdHash, Identity, NodeId};
use crate::mesh::{ConnectOutcome, LinkFailure};
use crate::metrics::Metrics;
use crate::time::Duration;
use crate::view::View;

const DATAGRAMS: usize = 4096;
const REQUESTS: usize = 64;
const PROXIED: usize = 1024;
const HINTS: usize = 64;

/// What the transport is told at construction.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// UDP and TCP, on one port number; port 0 picks one.
    pub bind: SocketAddr,
    /// Who this node is.
    pub identity: Identity,
    /// The cluster's name.
    pub cluster: String,
    /// The cluster's keys.
    pub keyring: Keyring,
    /// Drawn at every boot.
    pub boot_nonce: u64,
    /// The epoch of this boot.
    pub epoch: u64,
}

/// The network as the node sends into it.
#[derive(Debug)]
pub struct Transport {
    local_addr: SocketAddr,
    datagrams: DatagramSender,
    admission: Arc<Admission>,
    links: Links,
    watches: Watches,
}

/// The cluster keys could not be replaced; the node goes on with those that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot derive keys from the cluster key")]
pub struct RotationError;

/// The network as it comes in. Every queue is bounded; what does not fit is dropped and counted.
#[derive(Debug)]
pub struct Incoming {
    /// Datagrams that were opened.
    pub datagrams: mpsc::Receiver<Received>,
    /// Requests of members to the core.
    pub requests: mpsc::Receiver<LinkRequest>,
    /// Requests of members to a service of this node.
    pub proxied: mpsc::Receiver<Proxied>,
    /// What links tell beside.
    pub hints: mpsc::Receiver<Hint>,
}

/// A datagram that was meant for this node, or a Join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Where it came from; nothing is proven by that.
    pub source: SocketAddr,
    /// An encoded `wire::Packet`.
    pub plaintext: Vec<u8>,
}

/// A request of a member to the core.
#[derive(Debug)]
pub struct LinkRequest {
    /// Who asks, proven by TLS and admitted.
    pub from: NodeId,
    /// An encoded `wire::link::Request`.
    pub body: Vec<u8>,
    /// Takes the encoded `wire::link::Response`; dropping it refuses.
    pub reply: oneshot::Sender<Vec<u8>>,
}

/// A request of a member to a service of this node: a stream that carries `x-mesh-service`.
#[derive(Debug)]
pub struct Proxied {
    /// Who forwards it, proven by TLS and admitted.
    pub from: NodeId,
    /// Its head, and its body as it arrives.
    pub request: Request<h2::RecvStream>,
    /// Takes the answer; dropping it resets the stream.
    pub respond: h2::server::SendResponse<Bytes>,
}

/// What links tell beside. All but a loss is repeated with later links, so that it may get lost itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// A member knows this node at a higher epoch than its own: its disk was lost.
    EpochBehind {
        /// The epoch that the member knows.
        known: u64,
    },
    /// A link with a member was admitted, whichever side dialled it.
    Admitted {
        /// Who it is.
        peer: NodeId,
        /// Drawn at its boot.
        boot_nonce: u64,
    },
    /// A watch link to a member broke, and the member had said no goodbye.
    LinkLost {
        /// Who it is.
        peer: NodeId,
    },
    /// A member reached this node at this local address.
    ReachedAt(IpAddr),
}

impl Transport {
    /// Binds, and starts to receive and accept in tasks of `tasks`, which `stop` ends.
    pub async fn bind(
        config: TransportConfig,
        metrics: Metrics,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<(Self, Incoming), BindError> {
        let (udp, tcp) = sockets::bind(config.bind).await?;
        let local_addr = tcp.local_addr().map_err(|source| named("TCP", &config, source))?;
        let twin = twin(&udp).map_err(|source| named("UDP", &config, source))?;
        let local = config.identity.id();
        let (datagrams_in, datagrams) = mpsc::channel(DATAGRAMS);
        let (requests_in, requests) = mpsc::channel(REQUESTS);
        let (proxied_in, proxied) = mpsc::channel(PROXIED);
        let (hints_in, hints) = mpsc::channel(HINTS);

        let keys = Keys::new(config.keyring.clone());
        let sealer = Sealer::new(&config.cluster, &config.keyring).map_err(|_| BindError::Cipher)?;
        let sender = DatagramSender::new(twin, sealer, &metrics);
        let sender = sender.map_err(|source| named("UDP", &config, source))?;
        let opener = Opener::new(local.hash(), &config.cluster, keys.clone());
        let receiver = DatagramReceiver::new(opener, &metrics, datagrams_in);
        tasks.spawn(receiver.run(udp, stop.clone()));

        let tls = Tls::new(&config.identity)?;
        let introduction = Introduction {
            cluster: config.cluster.clone(),
            keys,
            boot_nonce: config.boot_nonce,
            epoch: Arc::new(config.epoch.into()),
        };
        let admission = Admission::new(tls, introduction, local, config.bind.ip(), metrics, hints_in.clone());
        let admission = Arc::new(admission);
        let server = Arc::new(Server::new(admission.clone(), requests_in, proxied_in, tasks));
        let places = Arc::<Places>::default();
        let acceptor = Acceptor {
            admission: admission.clone(),
            server,
            places: places.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        tasks.spawn(acceptor.run(tcp));

        let watches = Watches::new(admission.clone(), places, hints_in, tasks, stop.clone());
        let links = Links::new(admission.clone(), tasks, stop);
        let transport = Self { local_addr, datagrams: sender, admission, links, watches };
        Ok((transport, Incoming { datagrams, requests, proxied, hints }))
    }

    /// The address that is bound, with its real port.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Seals `plaintext` for `recipient` and sends it; `None` is whoever is there, for a Join only. It never waits: what the kernel
    /// does not take at once is dropped and counted.
    pub fn send(&self, recipient: Option<IdHash>, addr: SocketAddr, plaintext: &[u8]) {
        self.datagrams.send(recipient, addr, plaintext);
    }

    /// Takes a new seal nonce, after a suspend: a copy of this machine may have gone on from the same state.
    pub fn renew_seal(&self) {
        if let Err(error) = self.datagrams.renew_seal() {
            tracing::error!(%error, "cannot renew the seal of datagrams");
        }
    }

    /// Ways to the other members.
    pub fn links(&self) -> Links {
        self.links.clone()
    }

    /// Keeps a watch link to each of these members from now on, and to nobody else.
    pub fn watch(&self, members: Vec<(NodeId, SocketAddr)>) {
        self.watches.set(members);
    }

    /// Asks `to` over the watch link that stands. Without one it fails at once.
    pub async fn ping_link(
        &self,
        to: NodeId,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Vec<u8>, LinkFailure> {
        self.watches.ping(to, body, within).await
    }

    /// Opens a connection to see whether `to` answers at `addr`, within a second.
    pub async fn who_is_at(&self, addr: SocketAddr, to: NodeId) -> ConnectOutcome {
        self.admission.who_is_at(addr, to).await
    }

    /// Seals and proves with the first of these keys from now on, and opens and accepts all of them. Links under another key
    /// than the first are replaced, and end once they are.
    pub fn rotate(&self, keyring: Keyring) -> Result<(), RotationError> {
        self.datagrams.rotate(&keyring).map_err(|_| RotationError)?;
        self.admission.keys().replace(keyring);
        self.links.prove_again();
        self.watches.prove_again();
        Ok(())
    }

    /// Tells peers this epoch from now on, when the node had to raise it.
    pub fn set_epoch(&self, epoch: u64) {
        self.admission.set_epoch(epoch);
    }

    /// From then on, hellos tell peers the epoch at which the view knows them. To be called once.
    pub fn set_known_epochs(&self, view: watch::Receiver<Arc<View>>) {
        self.admission.known_epochs().set(view);
    }
}

fn named(protocol: &'static str, config: &TransportConfig, source: std::io::Error) -> BindError {
    BindError::Socket { protocol, addr: config.bind, source }
}

fn twin(socket: &tokio::net::UdpSocket) -> std::io::Result<std::net::UdpSocket> {
    socket2::SockRef::from(socket).try_clone().map(std::net::UdpSocket::from)
}
