//! Connections to one origin, kept alive between requests.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::SendRequest as H2Sender;
use http::Uri;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::backend::locked;
use super::dial::{ConnectFailure, Connection, Dialler, within};
use super::http1::Http1;
use crate::clock::Clock;
use crate::time::{Duration, Instant};

/// Unused connections kept for one origin.
const IDLE_MAX: usize = 256;

/// How long a connection may need to become reusable after an answer ended.
const SETTLES_WITHIN: Duration = Duration::from_millis(250);

/// The connections to one origin.
#[derive(Debug)]
pub(crate) struct Connections {
    settings: Settings,
    dialler: Dialler,
    clock: Clock,
    kept: Mutex<Kept>,
    /// Turns to dial: one where all share a connection.
    dials: Semaphore,
}

/// How an origin is connected.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where it is; only scheme and authority count.
    pub(crate) origin: Uri,
    /// HTTP/2 in clear text, which both sides know beforehand.
    pub(crate) h2c: bool,
    /// For a new connection; zero is no limit.
    pub(crate) connect_within: Duration,
    /// How long a connection stays unused before it is closed.
    pub(crate) idle_for: Duration,
    /// Connections that are dialled at the same time; with `h2c` it is one, which all share.
    pub(crate) dials: usize,
}

/// Connections between two requests.
#[derive(Default)]
struct Kept {
    idle: Vec<Idle>,
    shared: Option<H2Sender<Bytes>>,
    /// A task closes idle connections in time.
    swept: bool,
}

struct Idle {
    connection: Http1,
    since: Instant,
}

impl Connections {
    /// None yet.
    pub(crate) fn new(settings: Settings, dialler: Dialler, clock: Clock) -> Arc<Self> {
        let dials = Semaphore::new(if settings.h2c { 1 } else { settings.dials });
        Arc::new(Self { settings, dialler, clock, kept: Mutex::default(), dials })
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// A live connection: an unused one, or a new one.
    pub(crate) async fn connect(&self) -> Result<Connection, ConnectFailure> {
        if let Some(sender) = self.shared_sender().await {
            return Ok(Connection::Http2(sender));
        }
        match self.take_idle() {
            Some(connection) => Ok(Connection::Http1(connection)),
            None => Box::pin(self.connect_in_turn()).await,
        }
    }

    /// A new connection, unless one is there when it is this request's turn to dial: a burst of dials would overflow the
    /// service's backlog, and what overflows it comes only with the next SYN, a second later.
    async fn connect_in_turn(&self) -> Result<Connection, ConnectFailure> {
        let dialled = async {
            let _turn = self.dials.acquire().await;
            if let Some(sender) = self.shared_sender().await {
                return Ok(Connection::Http2(sender));
            }
            match self.take_idle() {
                Some(connection) => Ok(Connection::Http1(connection)),
                None => self.connect_anew().await,
            }
        };
        within(self.settings.connect_within, dialled).await
    }

    /// The same over HTTP/1.1 for what must not wait for its turn behind a burst.
    pub(crate) async fn connect_apart(&self) -> Result<Connection, ConnectFailure> {
        match self.take_idle() {
            Some(connection) => Ok(Connection::Http1(connection)),
            None => self.connect_anew().await,
        }
    }

    /// A new connection.
    pub(crate) async fn connect_anew(&self) -> Result<Connection, ConnectFailure> {
        let Settings { origin, h2c, connect_within, .. } = &self.settings;
        // Boxed, because most requests find a connection and need no room for this.
        let connection = Box::pin(self.dialler.dial(origin, *h2c, *connect_within)).await?;
        if let Connection::Http2(sender) = &connection {
            locked(&self.kept).shared = Some(sender.clone());
        }
        Ok(connection)
    }

    /// Keeps a connection whose answer has ended, once its request has too.
    pub(crate) fn put_back(self: &Arc<Self>, mut connection: Http1) {
        if connection.is_ready() {
            return self.keep(connection);
        }
        let connections = self.clone();
        tokio::spawn(async move {
            if let Ok(Ok(())) = timeout(SETTLES_WITHIN, connection.ready()).await {
                connections.keep(connection);
            }
        });
    }

    fn keep(self: &Arc<Self>, mut connection: Http1) {
        connection.reused = true;
        let idle = Idle { connection, since: self.clock.now() };
        let mut kept = locked(&self.kept);
        if kept.idle.len() >= IDLE_MAX {
            return;
        }
        kept.idle.push(idle);
        if !std::mem::replace(&mut kept.swept, true) {
            tokio::spawn(self.clone().sweep());
        }
    }

    /// The one used last, which the other side is least likely to have closed.
    fn take_idle(&self) -> Option<Http1> {
        let now = self.clock.now();
        loop {
            let mut idle = locked(&self.kept).idle.pop()?;
            if self.is_fresh(&idle, now) && idle.connection.is_ready() {
                return Some(idle.connection);
            }
        }
    }

    async fn sweep(self: Arc<Self>) {
        loop {
            sleep(self.settings.idle_for / 3).await;
            let now = self.clock.now();
            let mut kept = locked(&self.kept);
            kept.idle.retain_mut(|idle| self.is_fresh(idle, now) && idle.connection.is_ready());
            if kept.idle.is_empty() {
                kept.swept = false;
                return;
            }
        }
    }

    fn is_fresh(&self, idle: &Idle, now: Instant) -> bool {
        now.since(idle.since) < self.settings.idle_for
    }

    async fn shared_sender(&self) -> Option<H2Sender<Bytes>> {
        let sender = locked(&self.kept).shared.clone()?;
        match sender.ready().await {
            Ok(sender) => Some(sender),
            Err(_) => {
                locked(&self.kept).shared = None;
                None
            }
        }
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("idle", &self.idle.len()).finish_non_exhaustive()
    }
}
