//! The listeners of a node besides membership: ingress, edge, admin and metrics.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::RunError;
use super::assembly::Ready;
use crate::admin;
use crate::config::{self, Config};
use crate::id::NodeId;
use crate::router::proxy::certificate::Certificate;
use crate::router::proxy::{AccessLog, EdgeSecrets, Proxy};

/// Bound listeners that nobody serves yet: a port that is taken stops the node before it tells anybody of itself.
pub(super) struct Listeners {
    ingress: TcpListener,
    admin: TcpListener,
    metrics: Option<TcpListener>,
    edge: Option<(TcpListener, EdgeSecrets)>,
    tls: Option<TlsAcceptor>,
    certificate: Option<Arc<Certificate>>,
    ingress_addr: SocketAddr,
    admin_addr: SocketAddr,
    edge_addr: Option<SocketAddr>,
    metrics_addr: Option<SocketAddr>,
}

impl Listeners {
    pub(super) async fn bind(config: &Config) -> Result<Self, RunError> {
        let certificate = config.tls.as_ref().map(Certificate::read).transpose()?;
        let tls = certificate.as_ref().map(Certificate::acceptor).transpose()?;
        let ingress = bind("ingress", config.ingress).await?;
        let admin = bind("admin", config.admin).await?;
        let metrics = match config.metrics_listen {
            Some(addr) => Some(bind("metrics-listen", addr).await?),
            None => None,
        };
        let edge = match &config.edge {
            Some(edge) => Some((bind("edge-listen", edge.listen).await?, secrets(&edge.secret_file)?)),
            None => None,
        };
        Ok(Self {
            ingress_addr: ingress.local_addr()?,
            admin_addr: admin.local_addr()?,
            edge_addr: edge.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?,
            metrics_addr: metrics.as_ref().map(TcpListener::local_addr).transpose()?,
            ingress,
            admin,
            metrics,
            edge,
            tls,
            certificate,
        })
    }

    pub(super) const fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// What edges sign with, shared with the listener.
    pub(super) fn edge_secrets(&self) -> Option<EdgeSecrets> {
        self.edge.as_ref().map(|(_, secrets)| secrets.clone())
    }

    pub(super) fn certificate(&self) -> Option<Arc<Certificate>> {
        self.certificate.clone()
    }

    pub(super) fn ready(&self, worker_id: NodeId, bind: SocketAddr) -> Ready {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ready {
            ready: true,
            worker_id,
            bind,
            ingress: format!("{scheme}://{}", self.ingress_addr),
            admin: format!("http://{}", self.admin_addr),
            edge: self.edge_addr.map(|addr| format!("{scheme}://{addr}")),
            metrics: self.metrics_addr.map(|addr| format!("http://{addr}")),
        }
    }

    /// Starts to serve on all of them.
    pub(super) fn serve(
        self,
        proxy: &Proxy,
        state: admin::State,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        let reads = admin::read_only_router(state.clone());
        if let Some(metrics) = self.metrics {
            tasks.spawn(admin::serve(metrics, admin::metrics_router(state.clone()), stop.clone()));
        }
        tasks.spawn(admin::serve(self.admin, admin::router(state), stop.clone()));
        let closing = proxy.closing();
        tasks.spawn(proxy.clone().serve_ingress(self.ingress, self.tls.clone(), closing.clone()));
        if let Some((listener, secrets)) = self.edge {
            tasks.spawn(proxy.clone().serve_edge(listener, self.tls, secrets, Some(reads), closing.clone()));
        }
    }
}

async fn bind(flag: &'static str, addr: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(addr).await.map_err(|source| RunError::Listen { flag, addr, source })
}

fn secrets(path: &Path) -> Result<EdgeSecrets, RunError> {
    let refused = |reason: String| RunError::file("--edge-secret-file", path, reason);
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    EdgeSecrets::parse(&text).map_err(|error| refused(error.to_string()))
}

/// Opens the access log that is configured.
pub(super) async fn access_log(config: &Config) -> Result<Option<AccessLog>, RunError> {
    let path = match &config.access_log {
        None => return Ok(None),
        Some(config::AccessLog::Stderr) => "-".to_owned(),
        Some(config::AccessLog::File(path)) => path.display().to_string(),
    };
    let opened = AccessLog::open(&path).await;
    let opened =
        opened.map_err(|error| RunError::File { flag: "--access-log", path, reason: error.to_string() });
    opened.map(Some)
}
