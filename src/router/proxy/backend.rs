//! Connections to the services of this node: kept alive, shared, and live before a body is asked for.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use h2::client::SendRequest as H2Sender;
use http::Uri;
use hyper::client::conn::http1;
use hyper::service::Service as _;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::body::ProxyBody;
use crate::clock::Clock;
use crate::config::ServiceConfig;
use crate::manifest::Protocol;
use crate::time::{Duration, Instant};

/// How long a connection stays unused before it is closed: less than the keep-alive of common servers, so that it
/// is this side that gives up first.
const IDLE_FOR: Duration = Duration::from_secs(3);

/// Unused connections kept for one service.
const IDLE_MAX: usize = 64;

/// How long a connection may need to become reusable after an answer ended.
const SETTLES_WITHIN: Duration = Duration::from_millis(250);

/// The window of one stream of an h2c service, and of its connection; equal ones can deadlock.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The connections to the services of this node.
pub(super) struct Backends {
    connector: TowerToHyperService<HttpsConnector<HttpConnector>>,
    clock: Clock,
    idle: Mutex<BTreeMap<Origin, Vec<Idle>>>,
    shared: Mutex<BTreeMap<Origin, H2Sender<Bytes>>>,
}

/// Where a service is, and what it speaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    url: String,
    h2c: bool,
}

impl Origin {
    /// The origin of a configured service.
    pub(super) fn of(config: &ServiceConfig) -> Self {
        Self { url: config.url.origin().ascii_serialization(), h2c: config.protocol == Protocol::H2c }
    }

    /// The host (and port, unless it is the scheme's own).
    pub(super) fn authority(&self) -> &str {
        self.url.split_once("://").map_or("", |(_, authority)| authority)
    }
}

struct Idle {
    connection: Http1,
    since: Instant,
}

/// A connection that one request may use.
pub(super) enum Connection {
    /// HTTP/1.1: this request's alone.
    Http1(Http1),
    /// HTTP/2: shared.
    Http2(H2Sender<Bytes>),
}

/// An HTTP/1.1 connection.
pub(super) struct Http1 {
    pub(super) sender: http1::SendRequest<ProxyBody>,
    pub(super) reused: bool,
    task: AbortHandle,
}

impl Drop for Http1 {
    /// Whoever stops using a connection closes it, even when its peer is silent; so a client's cancel arrives.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a service of this node could not be connected.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectFailure {
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

impl Backends {
    /// No connections yet.
    pub(super) fn new(clock: Clock) -> Result<Arc<Self>, rustls::Error> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config()?)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        Ok(Arc::new(Self {
            connector: TowerToHyperService::new(connector),
            clock,
            idle: Mutex::default(),
            shared: Mutex::default(),
        }))
    }

    /// A live connection to `origin`: an unused one, or a new one.
    pub(super) async fn connect(
        &self,
        origin: &Origin,
        limit: Duration,
    ) -> Result<Connection, ConnectFailure> {
        if let Some(sender) = self.shared_sender(origin).await {
            return Ok(Connection::Http2(sender));
        }
        match self.take_idle(origin) {
            Some(connection) => Ok(Connection::Http1(connection)),
            None => self.connect_anew(origin, limit).await,
        }
    }

    /// A new connection to `origin`.
    pub(super) async fn connect_anew(
        &self,
        origin: &Origin,
        limit: Duration,
    ) -> Result<Connection, ConnectFailure> {
        if limit.is_zero() {
            return self.dial(origin).await;
        }
        timeout(limit, self.dial(origin)).await.unwrap_or(Err(ConnectFailure::TimedOut))
    }

    async fn dial(&self, origin: &Origin) -> Result<Connection, ConnectFailure> {
        let uri: Uri = origin.url.parse().map_err(|error| ConnectFailure::Failed(Box::new(error)))?;
        let io = self.connector.call(uri).await.map_err(classify)?;
        if origin.h2c || io.connected().is_negotiated_h2() {
            let (sender, connection) = h2::client::Builder::new()
                .initial_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .enable_push(false)
                .handshake(TokioIo::new(io))
                .await
                .map_err(|error| ConnectFailure::Failed(Box::new(error)))?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "the connection to a service broke");
                }
            });
            locked(&self.shared).insert(origin.clone(), sender.clone());
            return Ok(Connection::Http2(sender));
        }
        let (sender, connection) =
            http1::handshake(io).await.map_err(|error| ConnectFailure::Failed(Box::new(error)))?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "the connection to a service broke");
            }
        });
        Ok(Connection::Http1(Http1 { sender, reused: false, task: task.abort_handle() }))
    }

    /// Keeps a connection whose answer has ended, once its request has too.
    pub(super) fn put_back(self: Arc<Self>, origin: Origin, mut connection: Http1) {
        tokio::spawn(async move {
            let settled = timeout(SETTLES_WITHIN, connection.sender.ready()).await;
            if !matches!(settled, Ok(Ok(()))) {
                return;
            }
            connection.reused = true;
            let since = self.clock.now();
            let mut idle = locked(&self.idle);
            let kept = idle.entry(origin).or_default();
            kept.retain(|idle| idle.is_usable(since));
            if kept.len() < IDLE_MAX {
                kept.push(Idle { connection, since });
            }
        });
    }

    fn take_idle(&self, origin: &Origin) -> Option<Http1> {
        let now = self.clock.now();
        let mut idle = locked(&self.idle);
        idle.retain(|_, kept| {
            kept.retain(|idle| idle.is_usable(now));
            !kept.is_empty()
        });
        Some(idle.get_mut(origin)?.pop()?.connection)
    }

    async fn shared_sender(&self, origin: &Origin) -> Option<H2Sender<Bytes>> {
        let sender = locked(&self.shared).get(origin).cloned()?;
        match sender.ready().await {
            Ok(sender) => Some(sender),
            Err(_) => {
                locked(&self.shared).remove(origin);
                None
            }
        }
    }
}

impl Idle {
    fn is_usable(&self, now: Instant) -> bool {
        now.since(self.since) < IDLE_FOR && self.connection.sender.is_ready()
    }
}

impl std::fmt::Debug for Backends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backends").finish_non_exhaustive()
    }
}

/// What the mutex guards stays whole even when a holder panicked.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
