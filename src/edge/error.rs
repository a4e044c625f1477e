//! Why the edge did not start, or ended badly.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::admin::TokenError;
use crate::router::proxy::certificate::CertificateError;
use crate::summary::stores::InvalidApi;

/// Why the edge did not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The store is not usable as configured.
    #[error("--store")]
    Store(#[from] InvalidApi),
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The admin token is not usable.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The file of secrets cannot be used.
    #[error("--edge-secret-file {}: {reason}", path.display())]
    Secrets {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The listener cannot be bound.
    #[error("--listen {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The machine's own certificates or generator are not usable.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A signal handler or a thread was refused by the system.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

impl EdgeError {
    /// 2 for bad usage or configuration, 1 for anything else.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Store(_)
            | Self::Certificate(_)
            | Self::Token(_)
            | Self::Secrets { .. }
            | Self::Listen { .. } => 2,
            Self::Tls(_) | Self::System(_) => 1,
        }
    }
}
