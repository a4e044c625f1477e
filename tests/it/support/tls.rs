//! Certificates of a test, a client that trusts them, and a service that shows one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::Request;
use bytes::Bytes;
use http::{Response, Version};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::World;

/// Who certifies in a test.
pub(crate) struct Authority {
    key: KeyPair,
    cert: Certificate,
}

impl Authority {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key)?;
        Ok(Self { key, cert })
    }

    /// Its own certificate, in a file.
    pub(crate) fn write(&self, world: &World) -> anyhow::Result<PathBuf> {
        world.write("ca.pem", &self.cert.pem())
    }

    fn certify(&self) -> anyhow::Result<(Certificate, KeyPair)> {
        let key = KeyPair::generate()?;
        let cert =
            CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&key, &self.cert, &self.key)?;
        Ok((cert, key))
    }

    /// A fresh certificate for this machine and its key, in the files `server.pem` and `server.key`.
    pub(crate) fn write_server(&self, world: &World) -> anyhow::Result<CertificateDer<'static>> {
        let (cert, key) = self.certify()?;
        world.write("server.pem", &cert.pem())?;
        world.write("server.key", &key.serialize_pem())?;
        Ok(cert.der().clone())
    }

    /// A connection to `addr` that trusts nobody else and speaks one of `protocols`.
    pub(crate) async fn connect(
        &self,
        addr: SocketAddr,
        protocols: &[&str],
    ) -> anyhow::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.cert.der().clone())?;
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(addr).await?;
        let name = ServerName::IpAddress(addr.ip().into());
        Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
    }

    /// A service that speaks one of `protocols` over TLS, and answers with the version of HTTP that it was asked in.
    pub(crate) async fn serve(&self, protocols: &[&str]) -> anyhow::Result<SocketAddr> {
        let answer = async |request: Request| format!("{:?}", request.version());
        self.serve_router(protocols, Router::new().fallback(answer)).await
    }

    /// The same with other answers.
    pub(crate) async fn serve_router(
        &self,
        protocols: &[&str],
        router: Router,
    ) -> anyhow::Result<SocketAddr> {
        let (cert, key) = self.certify()?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())?;
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
                tokio::spawn(async move {
                    // Who does not trust the certificate says so and goes.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(addr)
    }
}

/// One GET on a connection, in the protocol that was agreed on.
pub(crate) async fn get(stream: TlsStream<TcpStream>, path: &str) -> anyhow::Result<Response<Bytes>> {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let request = |uri: String| http::Request::get(uri).header("host", "here").body(Empty::<Bytes>::new());
    let response = if is_http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.context("HTTP/2")?;
        tokio::spawn(connection);
        sender.send_request(request(format!("https://here{path}"))?).await?
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.context("HTTP/1.1")?;
        tokio::spawn(connection);
        sender.send_request(request(path.to_owned())?).await?
    };
    anyhow::ensure!((response.version() == Version::HTTP_2) == is_http2);
    let (head, body) = response.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}
