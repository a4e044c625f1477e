//! New connections to the services of this node, in clear or over TLS.

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest as H2Sender;
use http::Uri;
use hyper::service::Service as _;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use super::http1::Http1;
use crate::router::Reason;
use crate::time::Duration;

/// The window of one stream of an h2c service, and of its connection; equal ones can deadlock.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Dialler {
    connector: TowerToHyperService<HttpsConnector<HttpConnector>>,
}

/// A connection that one request may use.
pub(crate) enum Connection {
    /// HTTP/1.1: this request's alone.
    Http1(Http1),
    /// HTTP/2: shared.
    Http2(H2Sender<Bytes>),
}

/// Why a service of this node could not be connected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectFailure {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// It took too long.
    #[error("connecting took too long")]
    TimedOut,
    /// Anything else: no such host, a bad certificate, a handshake that failed.
    #[error("{0}")]
    Failed(Box<dyn Error + Send + Sync>),
}

impl ConnectFailure {
    /// Why the request was not started.
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::TimedOut => Reason::Timeout,
            Self::Refused | Self::Failed(_) => Reason::ConnectFailed,
        }
    }
}

impl Dialler {
    /// Over TLS, it is HTTP/2 if the other side has that.
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls_config()?).https_or_http();
        Ok(Self::from(builder.enable_all_versions().wrap_connector(tcp())))
    }

    /// Over TLS, it is HTTP/1.1.
    pub(crate) fn http1() -> Result<Self, rustls::Error> {
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls_config()?).https_or_http();
        Ok(Self::from(builder.enable_http1().wrap_connector(tcp())))
    }

    /// A new connection to `origin`, within `limit` unless that is zero.
    pub(super) async fn dial(
        &self,
        origin: &Uri,
        h2c: bool,
        limit: Duration,
    ) -> Result<Connection, ConnectFailure> {
        within(limit, self.connect(origin.clone(), h2c)).await
    }

    async fn connect(&self, origin: Uri, h2c: bool) -> Result<Connection, ConnectFailure> {
        let io = self.connector.call(origin).await.map_err(classify)?;
        if !h2c && !io.connected().is_negotiated_h2() {
            return Http1::new(io).await.map(Connection::Http1).map_err(failed);
        }
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .enable_push(false)
            .handshake(TokioIo::new(io))
            .await
            .map_err(failed)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to a service broke");
            }
        });
        Ok(Connection::Http2(sender))
    }
}

impl From<HttpsConnector<HttpConnector>> for Dialler {
    fn from(connector: HttpsConnector<HttpConnector>) -> Self {
        Self { connector: TowerToHyperService::new(connector) }
    }
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    // As for clients: a machine that is gone says nothing.
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp.set_keepalive_interval(Some(Duration::from_secs(10)));
    tcp.set_keepalive_retries(Some(3));
    tcp
}

/// Does `work`, within `limit` unless that is zero.
pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, ConnectFailure>>,
) -> Result<T, ConnectFailure> {
    if limit.is_zero() {
        return work.await;
    }
    timeout(limit, work).await.unwrap_or(Err(ConnectFailure::TimedOut))
}

impl std::fmt::Debug for Dialler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialler").finish_non_exhaustive()
    }
}

/// TLS as a client that trusts the system's root certificates.
fn tls_config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(match builder.clone().with_native_roots() {
        Ok(trusting) => trusting.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "no root certificates were found; no https service will be trusted");
            builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    })
}

fn failed(error: impl Error + Send + Sync + 'static) -> ConnectFailure {
    ConnectFailure::Failed(Box::new(error))
}

fn classify(error: Box<dyn Error + Send + Sync>) -> ConnectFailure {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error.as_ref());
    while let Some(inner) = cause {
        let kind = inner.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::ConnectionRefused) {
            return ConnectFailure::Refused;
        }
        if kind == Some(io::ErrorKind::TimedOut) {
            return ConnectFailure::TimedOut;
        }
        cause = inner.source();
    }
    ConnectFailure::Failed(error)
}
