//! Puts the edge together, serves, and ends in good order.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::args::Args;
use super::directory::Directory;
use super::discovery::LastDiscovery;
use super::nodes::Diallers;
use super::signing::Signing;
use super::{Edge, EdgeError};
use crate::admin::Token;
use crate::clock::Clock;
use crate::config::TlsFiles;
use crate::router::proxy::certificate::Certificate;
use crate::router::proxy::drain::Drain;
use crate::router::proxy::serve::{Limits, Listener};
use crate::router::proxy::upload::REPLAY_TOTAL;
use crate::summary::stores::Store;
use crate::time::Duration;

/// Whoever asks for its health hears within this time that it drains; until then it takes what comes.
const DRAIN_NOTICE: Duration = Duration::from_secs(1);

/// For the goodbyes of what is still open at the end of the drain.
const PARTING: Duration = Duration::from_secs(1);

/// What is printed once it serves.
#[derive(Debug, Clone, Serialize)]
pub struct Ready {
    /// Always true.
    pub ready: bool,
    /// Base URL for clients.
    pub listen: String,
}

/// The signals that matter to it.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// Waits until it is told to end.
    async fn ended(&mut self) {
        while self.next().await != Told::End {}
    }
}

/// What a signal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    End,
    Reload,
}

/// Serves until a signal ends it. `token` is the one for Cloudflare's API, and `ready` is called once, when it serves.
pub async fn run(args: Args, token: Option<String>, ready: impl FnOnce(&Ready)) -> Result<(), EdgeError> {
    let mut signals = Signals::listen()?;
    let certificate = certificate(&args)?;
    let edge = Arc::new(Edge::new(&args, token.as_deref(), certificate.is_some())?);
    let socket = TcpListener::bind(args.listen).await;
    let socket = socket.map_err(|source| EdgeError::Listen { addr: args.listen, source })?;
    let addr = socket.local_addr()?;
    let tls = certificate.as_ref().map(Certificate::acceptor).transpose()?;
    let _refreshing = AbortOnDropHandle::new(tokio::spawn(edge.clone().refresh()));
    let serving = tokio::spawn(edge.listener(&args).serve(socket, tls, edge.drain.closing.clone()));
    let scheme = if edge.is_tls { "https" } else { "http" };
    ready(&Ready { ready: true, listen: format!("{scheme}://{addr}") });
    while signals.next().await == Told::Reload {
        edge.reload(&args, certificate.as_deref());
    }
    tracing::info!(timeout = ?args.drain_timeout, "draining");
    tokio::select! {
        () = edge.end(args.drain_timeout) => {}
        () = signals.ended() => tracing::info!("told again: ends at once"),
    }
    serving.abort();
    Ok(())
}

fn certificate(args: &Args) -> Result<Option<Arc<Certificate>>, EdgeError> {
    let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) else { return Ok(None) };
    let files = TlsFiles { cert: cert.clone(), key: key.clone() };
    Ok(Some(Certificate::read(&files)?))
}

impl Edge {
    /// Knows nothing yet but its seeds.
    pub(super) fn new(args: &Args, token: Option<&str>, is_tls: bool) -> Result<Self, EdgeError> {
        let api = args.cloudflare_api.as_ref().map(url::Url::as_str);
        let store = Store::open(&args.store, &args.cluster, api, token)?;
        let seeds = args.seeds.iter().map(|seed| seed.0.clone()).collect();
        let clock = Clock::start();
        let signing = args.edge_secret_file.as_ref().map(signing).transpose()?;
        if signing.is_none() {
            tracing::warn!("there is no --edge-secret-file: requests to nodes are not signed");
        }
        Ok(Self {
            directory: Arc::new(Directory::new(args.cluster.clone(), seeds, store, Diallers::new()?, clock)),
            signing,
            token: args.admin_token_file.as_deref().map(Token::read).transpose()?,
            discovery: Arc::new(Mutex::new(LastDiscovery::default())),
            kept: Arc::new(Semaphore::new(REPLAY_TOTAL)),
            was_used: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            drain: Arc::new(Drain::default()),
            clock,
            is_tls,
            max_header: args.max_header,
        })
    }

    /// Answers clients.
    pub(super) fn listener(self: &Arc<Self>, args: &Args) -> Listener<Arc<Self>> {
        Listener {
            answers: self.clone(),
            limits: Limits {
                max_header: args.max_header,
                max_connections: args.max_connections,
                max_connections_per_client: args.max_connections_per_client,
            },
            clock: self.clock,
            drain: self.drain.clone(),
            counted: None,
        }
    }

    /// Takes over a renewed certificate and another secret; with an error, what it has stays.
    fn reload(&self, args: &Args, certificate: Option<&Certificate>) {
        if let Some(certificate) = certificate {
            certificate.reload();
        }
        let (Some(signing), Some(path)) = (&self.signing, &args.edge_secret_file) else { return };
        let read = tokio::task::block_in_place(|| secrets(path));
        match read.and_then(|text| signing.replace(&text).map_err(|error| refused(path, &error))) {
            Ok(()) => tracing::info!("edge secret reloaded"),
            Err(error) => tracing::error!(%error, "the edge's secret was not reloaded"),
        }
    }

    /// Takes no new clients any more, lets requests finish within `limit`, and closes WebSockets then.
    pub(super) async fn end(&self, limit: Duration) {
        self.is_draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(DRAIN_NOTICE).await;
        self.drain.closing.cancel();
        if timeout(limit.saturating_sub(DRAIN_NOTICE), self.drain.drained()).await.is_ok() {
            return;
        }
        tracing::warn!(in_flight = self.drain.in_flight(), "requests are cut off");
        self.drain.parting.cancel();
        let _ = timeout(PARTING, self.drain.drained()).await;
    }
}

fn signing(path: &PathBuf) -> Result<Signing, EdgeError> {
    Signing::new(&secrets(path)?).map_err(|error| refused(path, &error))
}

fn secrets(path: &PathBuf) -> Result<String, EdgeError> {
    std::fs::read_to_string(path).map_err(|error| refused(path, &error))
}

fn refused(path: &Path, reason: &dyn std::error::Error) -> EdgeError {
    EdgeError::Secrets { path: path.to_owned(), reason: reason.to_string() }
}
