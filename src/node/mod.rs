//! The node: the one event loop that owns the `Mesh` and connects it to the world.

pub mod datadir;
pub mod machine;

mod address;
mod assembly;
mod effects;
mod event_loop;
mod listeners;
mod load_task;
mod local_services;
mod log;
mod published;
mod rotation;
mod sleep;
mod store_task;

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::TokenError;
use crate::config::{Config, ConfigError};
use crate::router::proxy::InvalidCollector;
use crate::router::proxy::certificate::CertificateError;
use crate::summary::stores::InvalidApi;
use crate::transport::BindError;
use crate::wire::WireError;
use datadir::DataDirError;

pub use assembly::Ready;

/// How long tasks may take to end once the node has left.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Why a node did not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The admin API's token is not usable.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The store is not usable as configured.
    #[error(transparent)]
    Store(#[from] InvalidApi),
    /// The membership port cannot be bound.
    #[error("--bind")]
    Bind(#[from] BindError),
    /// Another listener cannot be bound.
    #[error("--{flag} {addr}")]
    Listen {
        /// The flag that names it.
        flag: &'static str,
        /// The address.
        addr: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A name that others shall reach this node under cannot be resolved.
    #[error("--advertise {0}: the name cannot be resolved")]
    Advertise(String),
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A file of secrets, or of the access log, cannot be used.
    #[error("{flag} {path}: {reason}")]
    File {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The configured services do not fit into a manifest.
    #[error("the configured services do not fit into a manifest: {0}; accepted are 64 KiB in all")]
    TooLarge(#[from] WireError),
    /// Traces cannot be exported as configured.
    #[error(transparent)]
    Tracing(#[from] InvalidCollector),
    /// The machine's own certificates or generator are not usable.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A signal handler or a thread was refused by the system.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

impl RunError {
    fn file(flag: &'static str, path: &std::path::Path, reason: String) -> Self {
        Self::File { flag, path: path.display().to_string(), reason }
    }

    /// 2 for bad usage or configuration, 1 for anything else.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::DataDir(error) => error.exit_code(),
            Self::Config(_)
            | Self::Token(_)
            | Self::Store(_)
            | Self::Advertise(_)
            | Self::Certificate(_)
            | Self::File { .. }
            | Self::TooLarge(_)
            | Self::Tracing(_)
            | Self::Bind(_)
            | Self::Listen { .. } => 2,
            Self::Tls(_) | Self::System(_) => 1,
        }
    }
}

/// Runs a node until it has left. `ready` is called once, when it serves; `reload` reads the configuration again.
pub async fn run(
    config: Config,
    reload: impl Fn() -> Result<Config, ConfigError> + Send,
    ready: impl FnOnce(&Ready),
) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let tasks = TaskTracker::new();
    let stop = CancellationToken::new();
    let (mut node, facts) = assembly::assemble(config, &tasks, &stop).await?;
    ready(&facts);
    loop {
        tokio::select! {
            () = node.run() => break,
            _ = terminate.recv() => node.begin_leave("SIGTERM"),
            _ = interrupt.recv() => node.begin_leave("SIGINT"),
            _ = hangup.recv() => {
                match reload() {
                    Ok(config) => node.reload(config),
                    Err(error) => tracing::error!(%error, "the configuration was not reloaded"),
                }
                node.reload_cluster_keys();
                node.reload_certificate();
                node.reload_edge_secrets();
            }
        }
    }
    node.proxy.close();
    // Tasks that bring their results to the loop end when nobody takes these any more.
    let tracing = node.tracing.take();
    drop(node);
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(STOP_WITHIN, tasks.wait()).await.is_err() {
        tracing::warn!("some connections were still open");
    }
    if let Some(tracing) = tracing {
        tracing.finish().await;
    }
    Ok(())
}
