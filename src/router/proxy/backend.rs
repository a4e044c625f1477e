//! One service of this node: its places, and its connections, which are kept alive and live before a body is asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use h2::client::SendRequest as H2Sender;
use http::Uri;
use http::uri::Authority;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::dial::{ConnectFailure, Connection, Dialler, within};
use super::http1::Http1;
use super::slots::{Slot, Slots};
use crate::clock::Clock;
use crate::config::ServiceConfig;
use crate::manifest::{HostPolicy, Protocol};
use crate::time::{Duration, Instant};

/// How long a connection stays unused before it is closed: less than the keep-alive of common servers, so that it
/// is this side that gives up first.
const IDLE_FOR: Duration = Duration::from_secs(3);

/// Unused connections kept for one service.
const IDLE_MAX: usize = 256;

/// Connections that are dialled at the same time.
const DIALS: usize = 32;

/// How long a connection may need to become reusable after an answer ended.
const SETTLES_WITHIN: Duration = Duration::from_millis(250);

/// The longest that a request waits for a place; short enough to be told in time to try elsewhere.
const QUEUES_FOR: Duration = Duration::from_millis(500);

/// One service of this node, as its operator configured it.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) config: ServiceConfig,
    /// Where it is; only scheme and authority count.
    origin: Uri,
    /// What it gets as host, if not the client's.
    pub(super) own_host: Option<Authority>,
    /// In front of every path, without a slash at its end.
    pub(super) base: String,
    slots: Arc<Slots>,
    dialler: Dialler,
    clock: Clock,
    kept: Mutex<Kept>,
    /// Turns to dial: one where all share a connection.
    dials: Semaphore,
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

impl Backend {
    /// The service as it is configured now, in the place of what it was `before`: who is inside stays counted.
    pub(super) fn new(
        config: &ServiceConfig,
        before: Option<&Self>,
        dialler: Dialler,
        clock: Clock,
    ) -> Arc<Self> {
        let limits = |config: &ServiceConfig| (config.max_in_flight, config.max_queue);
        let as_before = before.filter(|before| limits(&before.config) == limits(config));
        let url = config.url.origin().ascii_serialization();
        let authority = url.split_once("://").map_or("", |(_, authority)| authority);
        Arc::new(Self {
            own_host: (config.host == HostPolicy::Backend).then(|| authority.parse().ok()).flatten(),
            base: config.url.path().trim_end_matches('/').to_owned(),
            slots: as_before
                .map_or_else(|| Slots::new(config.max_in_flight, config.max_queue), |it| it.slots.clone()),
            origin: url.parse().unwrap_or_default(),
            config: config.clone(),
            dialler,
            clock,
            kept: Mutex::default(),
            dials: Semaphore::new(if config.protocol == Protocol::H2c { 1 } else { DIALS }),
        })
    }

    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// A place, if there is one or will be soon.
    pub(super) async fn reserve(&self) -> Option<Slot> {
        self.slots.take(QUEUES_FOR).await
    }

    /// Requests that it works on.
    pub(super) fn in_flight(&self) -> u32 {
        self.slots.busy()
    }

    /// Requests that wait for a place.
    pub(super) fn waiting(&self) -> u32 {
        u32::try_from(self.slots.waiting()).unwrap_or(u32::MAX)
    }

    /// A live connection: an unused one, or a new one.
    pub(super) async fn connect(&self) -> Result<Connection, ConnectFailure> {
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
        within(self.config.timeouts.connect, dialled).await
    }

    /// A new connection.
    pub(super) async fn connect_anew(&self) -> Result<Connection, ConnectFailure> {
        let h2c = self.config.protocol == Protocol::H2c;
        // Boxed, because most requests find a connection and need no room for this.
        let connection = Box::pin(self.dialler.dial(&self.origin, h2c, self.config.timeouts.connect)).await?;
        if let Connection::Http2(sender) = &connection {
            locked(&self.kept).shared = Some(sender.clone());
        }
        Ok(connection)
    }

    /// Keeps a connection whose answer has ended, once its request has too.
    pub(super) fn put_back(self: &Arc<Self>, mut connection: Http1) {
        if connection.is_ready() {
            return self.keep(connection);
        }
        let backend = self.clone();
        tokio::spawn(async move {
            if let Ok(Ok(())) = timeout(SETTLES_WITHIN, connection.ready()).await {
                backend.keep(connection);
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

    /// The one used last, which the service is least likely to have closed.
    fn take_idle(&self) -> Option<Http1> {
        let now = self.clock.now();
        loop {
            let mut idle = locked(&self.kept).idle.pop()?;
            if idle.is_fresh(now) && idle.connection.is_ready() {
                return Some(idle.connection);
            }
        }
    }

    async fn sweep(self: Arc<Self>) {
        loop {
            sleep(IDLE_FOR / 3).await;
            let now = self.clock.now();
            let mut kept = locked(&self.kept);
            kept.idle.retain_mut(|idle| idle.is_fresh(now) && idle.connection.is_ready());
            if kept.idle.is_empty() {
                kept.swept = false;
                return;
            }
        }
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

impl Idle {
    fn is_fresh(&self, now: Instant) -> bool {
        now.since(self.since) < IDLE_FOR
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("idle", &self.idle.len()).finish_non_exhaustive()
    }
}

/// What the mutex guards stays whole even when a holder panicked.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
