//! The links to one peer, and the dial that many requests share.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::keyring::KeyId;
use super::link::Link;
use crate::mesh::LinkFailure;
use crate::time::Duration;

/// A link with more open streams than that is joined by another one.
const CROWD: u32 = 64;

/// For links that carried requests of clients.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// For links on which only the core asked something, which it seldom does twice.
const ERRAND_TIMEOUT: Duration = Duration::from_secs(30);

/// One peer.
#[derive(Debug, Default)]
pub(super) struct Peer {
    links: ArcSwap<Vec<Arc<Link>>>,
    dial: Mutex<Dial>,
    /// Held by whoever makes a link, so that there is one dial at a time. No request waits for it.
    pub(super) dialling: tokio::sync::Mutex<()>,
}

/// What is known of dials.
#[derive(Debug, Default)]
pub(super) struct Dial {
    pub(super) backoff: Backoff,
    running: Option<(SocketAddr, Dialling)>,
    at: Option<SocketAddr>,
}

/// A dial that goes on, whoever still waits for it.
pub(super) type Dialling = Shared<BoxFuture<'static, Result<Arc<Link>, LinkFailure>>>;

impl Dial {
    /// Where the last link was dialled.
    pub(super) const fn at(&self) -> Option<SocketAddr> {
        self.at
    }

    /// The dial of this address that is under way.
    pub(super) fn running(&self, addr: SocketAddr) -> Option<Dialling> {
        let (at, dialling) = self.running.as_ref()?;
        (*at == addr && dialling.peek().is_none()).then(|| dialling.clone())
    }

    /// `dialled` goes on at `addr`.
    pub(super) fn begin(
        &mut self,
        addr: SocketAddr,
        dialled: impl Future<Output = Result<Arc<Link>, LinkFailure>> + Send + 'static,
    ) -> Dialling {
        let dialling = dialled.boxed().shared();
        self.running = Some((addr, dialling.clone()));
        dialling
    }

    /// The dial of this address has ended, whether anybody waited for it or not.
    pub(super) fn end(&mut self, addr: SocketAddr) {
        self.running.take_if(|(at, _)| *at == addr);
    }
}

impl Peer {
    pub(super) fn dial(&self) -> MutexGuard<'_, Dial> {
        self.dial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The links that stand.
    pub(super) fn standing(&self) -> Vec<Arc<Link>> {
        self.links.load().iter().filter(|link| link.stands()).cloned().collect()
    }

    /// The link for the next request. The first one gets as many as it can carry: frames that travel together cost less.
    pub(super) fn pick(&self) -> Option<Arc<Link>> {
        let links = self.links.load();
        let burden = |link: &&Arc<Link>| {
            let pulse = link.pulse();
            (pulse.is_silent(), pulse.is_bulky(), pulse.open() / CROWD)
        };
        links.iter().filter(|link| link.stands()).min_by_key(burden).cloned()
    }

    /// Whether a request that gets this link would have to stand in line, and no other link was made for that.
    pub(super) fn is_crowded(&self, picked: &Link, most: usize) -> bool {
        let pulse = picked.pulse();
        (pulse.is_bulky() || pulse.open() >= CROWD) && !pulse.is_silent() && self.links.load().len() < most
    }

    /// Some link of it stands and is not silent.
    pub(super) fn is_reached(&self) -> bool {
        self.links.load().iter().any(|link| link.stands() && !link.pulse().is_silent())
    }

    pub(super) fn add(&self, link: &Arc<Link>, addr: SocketAddr) {
        self.change(|links| links.push(link.clone()));
        let mut dial = self.dial();
        dial.backoff.clear();
        dial.at = Some(addr);
    }

    pub(super) fn remove(&self, gone: &Arc<Link>) {
        self.change(|links| links.retain(|link| !Arc::ptr_eq(link, gone)));
    }

    pub(super) fn retain(&self, keep: impl Fn(&Link) -> bool) {
        self.change(|links| links.retain(|link| keep(link)));
    }

    fn change(&self, change: impl Fn(&mut Vec<Arc<Link>>)) {
        self.links.rcu(|links| {
            let mut links = links.iter().filter(|link| link.stands()).cloned().collect();
            change(&mut links);
            links
        });
    }

    /// The address of a peer with links under another key than the one that proves now.
    pub(super) fn unproven(&self, proving: KeyId) -> Option<SocketAddr> {
        let is_unproven = self.standing().iter().any(|link| link.key() != proving);
        is_unproven.then(|| self.dial().at).flatten()
    }

    pub(super) fn last_used(&self) -> Option<Instant> {
        self.links.load().iter().map(|link| link.last_used()).max()
    }

    /// Drops idle links, whose last streams may still go on; false when nothing is left of this peer.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        self.retain(|link| {
            let limit = if link.is_kept() { IDLE_TIMEOUT } else { ERRAND_TIMEOUT };
            now - link.last_used() < limit
        });
        let dial = self.dial();
        let dials = dial.running.as_ref().is_some_and(|(_, dialling)| dialling.peek().is_none());
        dials || !self.links.load().is_empty()
    }
}
