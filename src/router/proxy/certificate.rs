//! The certificate of the listeners: read again while they serve, as it is renewed every few weeks.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;

/// The certificate that new connections are shown.
#[derive(Debug)]
pub struct Certificate {
    files: TlsFiles,
    current: ArcSwap<CertifiedKey>,
}

/// A certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{flag} {path}: {reason}")]
pub struct CertificateError {
    /// The flag that names the file.
    pub flag: &'static str,
    /// The file.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

impl CertificateError {
    fn new(flag: &'static str, path: &Path, reason: String) -> Self {
        Self { flag, path: path.display().to_string(), reason }
    }
}

impl Certificate {
    /// Reads the certificate and its key.
    pub fn read(files: &TlsFiles) -> Result<Arc<Self>, CertificateError> {
        let current = ArcSwap::from_pointee(read(files, &default_provider())?);
        Ok(Arc::new(Self { files: files.clone(), current }))
    }

    /// TLS with HTTP/2 and HTTP/1.1 by ALPN.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Takes over a renewed certificate; connections that stand go on, and with an error the old one stays.
    pub fn reload(&self) {
        match tokio::task::block_in_place(|| self.read_again()) {
            Ok(true) => tracing::info!("certificate reloaded"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the certificate was not reloaded"),
        }
    }

    /// Reads both files again; whether they hold another certificate.
    fn read_again(&self) -> Result<bool, CertificateError> {
        let renewed = read(&self.files, &default_provider())?;
        let is_other = renewed.cert != self.current.load().cert;
        self.current.store(Arc::new(renewed));
        Ok(is_other)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
    let certs = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| CertificateError::new("--tls-cert", &files.cert, error.to_string()))?;
    if certs.is_empty() {
        return Err(CertificateError::new("--tls-cert", &files.cert, "it holds no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| CertificateError::new("--tls-key", &files.key, error.to_string()))?;
    CertifiedKey::from_der(certs, key, provider)
        .map_err(|error| CertificateError::new("--tls-cert", &files.cert, error.to_string()))
}
