//! One service of this node: its places, and its connections, which are live before a body is asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::uri::Authority;

use super::connections::{Connections, Settings};
use super::dial::Dialler;
use super::slots::{Slot, Slots};
use crate::clock::Clock;
use crate::config::ServiceConfig;
use crate::manifest::{HostPolicy, Protocol};
use crate::time::Duration;

/// How long a connection stays unused before it is closed: less than the keep-alive of common servers, so that it
/// is this side that gives up first.
const IDLE_FOR: Duration = Duration::from_secs(3);

/// Connections that are dialled at the same time: the backlog of many servers is short.
const DIALS: usize = 32;

/// The longest that a request waits for a place; short enough to be told in time to try elsewhere.
const QUEUES_FOR: Duration = Duration::from_millis(500);

/// One service of this node, as its operator configured it.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) config: ServiceConfig,
    /// What it gets as host, if not the client's.
    pub(super) own_host: Option<Authority>,
    /// In front of every path, without a slash at its end.
    pub(super) base: String,
    slots: Arc<Slots>,
    pub(super) connections: Arc<Connections>,
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
        let settings = Settings {
            origin: url.parse().unwrap_or_default(),
            h2c: config.protocol == Protocol::H2c,
            connect_within: config.timeouts.connect,
            idle_for: IDLE_FOR,
            dials: DIALS,
        };
        Arc::new(Self {
            own_host: (config.host == HostPolicy::Backend).then(|| authority.parse().ok()).flatten(),
            base: config.url.path().trim_end_matches('/').to_owned(),
            slots: as_before
                .map_or_else(|| Slots::new(config.max_in_flight, config.max_queue), |it| it.slots.clone()),
            connections: Connections::new(settings, dialler, clock),
            config: config.clone(),
        })
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
}

/// What the mutex guards stays whole even when a holder panicked.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
