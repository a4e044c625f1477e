//! TLS 1.3 with libp2p's certificates: each side proves its PeerId, and nothing else is negotiable.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use libp2p_identity::Keypair;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, NoKeyLog, ServerConfig, SupportedCipherSuite, client, server};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::debug;

use super::any_peer::AnyPeer;
use super::hello::Channel;
use super::http2::CLOSING_TIMEOUT;
use crate::id::{Identity, NodeId};

/// What links speak.
const ALPN: &[u8] = b"h2";

/// Binds the hello to one TLS connection.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-meshnode-hello-1";

/// The TLS configuration of both ends, made once: each one signs a certificate.
#[derive(Clone)]
pub(super) struct Tls {
    local: NodeId,
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

/// No certificate could be made for this identity.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a TLS certificate: {0}")]
pub struct CertificateError(String);

impl CertificateError {
    fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// The far side did not prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no usable identity was proven by TLS")]
pub(super) struct Unproven;

impl Tls {
    pub(super) fn new(identity: &Identity) -> Result<Self, CertificateError> {
        let keypair = Keypair::ed25519_from_bytes(identity.secret()).map_err(CertificateError::new)?;
        Ok(Self {
            local: identity.id(),
            connector: TlsConnector::from(Arc::new(client_config(&keypair)?)),
            acceptor: TlsAcceptor::from(Arc::new(server_config(&keypair)?)),
        })
    }

    pub(super) const fn connector(&self) -> &TlsConnector {
        &self.connector
    }

    pub(super) const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// The two ends of an established connection, and what is unique to it.
    pub(super) fn channel<Data>(
        &self,
        connection: &rustls::ConnectionCommon<Data>,
    ) -> Result<Channel, Unproven> {
        let certificate = connection.peer_certificates().and_then(<[_]>::first).ok_or(Unproven)?;
        let exporter =
            connection.export_keying_material([0; 32], EXPORTER_LABEL, None).map_err(|_| Unproven)?;
        Ok(Channel { local: self.local, peer: proven_id(certificate)?, exporter })
    }
}

/// Says goodbye, so that the other side does not take the end of a link for the death of this process.
pub(super) async fn close(mut stream: impl AsyncWrite + Unpin) {
    if let Ok(Err(error)) = timeout(CLOSING_TIMEOUT, stream.shutdown()).await {
        debug!(%error, "a link did not close in order");
    }
}

/// Sends no server name: an address is none.
pub(super) fn server_name() -> ServerName<'static> {
    ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

fn proven_id(certificate: &CertificateDer<'_>) -> Result<NodeId, Unproven> {
    let certificate = libp2p_tls::certificate::parse(certificate).map_err(|_| Unproven)?;
    NodeId::from_peer_id_bytes(&certificate.peer_id().to_bytes()).ok_or(Unproven)
}

/// Accepts any PeerId; the dialler compares it before it says a word. So one configuration serves all peers.
fn client_config(keypair: &Keypair) -> Result<ClientConfig, CertificateError> {
    let made = libp2p_tls::make_client_config(keypair, None).map_err(CertificateError::new)?;
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = cipher_suites();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(CertificateError::new)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyPeer))
        .with_client_cert_resolver(made.client_auth_cert_resolver);
    config.alpn_protocols = vec![ALPN.to_vec()];
    // The default writes the secrets of all links to a file that the environment names.
    config.key_log = Arc::new(NoKeyLog {});
    // All peers share one server name, so a ticket of one would be offered to another.
    config.resumption = client::Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    Ok(config)
}

/// The dialler's order decides. libp2p's begins with ChaCha20, which costs several times what AES does where the
/// processor has instructions for that.
fn cipher_suites() -> Vec<SupportedCipherSuite> {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    let has_aes = std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    let has_aes = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    let has_aes = false;
    let mut suites = vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];
    if !has_aes {
        suites.reverse();
    }
    suites
}

fn server_config(keypair: &Keypair) -> Result<ServerConfig, CertificateError> {
    let mut config = libp2p_tls::make_server_config(keypair).map_err(CertificateError::new)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.key_log = Arc::new(NoKeyLog {});
    config.session_storage = Arc::new(server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}
