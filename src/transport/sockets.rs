//! The two sockets of a node, UDP and TCP, on one port number.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, UdpSocket};

/// Another process may hold the UDP twin of a TCP port that the kernel picked.
const ATTEMPTS: usize = 32;

/// Why the node cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there, or the address is not one of this machine.
    #[error("cannot bind {protocol} {addr}")]
    Socket {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// The address.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The identity gave no certificate.
    #[error(transparent)]
    Certificate(#[from] super::tls::CertificateError),
    /// The cluster key gave no key for datagrams.
    #[error("cannot derive keys from the cluster key")]
    Cipher,
}

pub(super) async fn bind(addr: SocketAddr) -> Result<(UdpSocket, TcpListener), BindError> {
    let mut attempts = if addr.port() == 0 { ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        match bind_once(addr).await {
            Err(BindError::Socket { source, .. })
                if attempts > 0 && source.kind() == io::ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
}

async fn bind_once(addr: SocketAddr) -> Result<(UdpSocket, TcpListener), BindError> {
    let failed = |protocol, addr| move |source| BindError::Socket { protocol, addr, source };
    let tcp = TcpListener::bind(addr).await.map_err(failed("TCP", addr))?;
    let addr = tcp.local_addr().map_err(failed("TCP", addr))?;
    let udp = UdpSocket::bind(addr).await.map_err(failed("UDP", addr))?;
    Ok((udp, tcp))
}
