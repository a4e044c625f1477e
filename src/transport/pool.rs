//! The pool of links that this node dialled: dialled once, shared, redialled when they end, closed when idle.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{trace, warn};

use super::admission::{Admission, Dialled};
use super::backoff::Backoff;
use super::http2::{self, CORE_PATH, WHOAMI_PATH};
use super::link::Link;
use crate::id::NodeId;
use crate::mesh::{LINK_REQUEST_TIMEOUT, LinkFailure};
use crate::metrics::KindLabels;
use crate::time::Duration;
use crate::wire::whoami::{WhoamiRequest, WhoamiResponse};
use crate::wire::{self};

/// Links to one peer; the second one when the first is busy.
const LINKS_PER_PEER: usize = 2;

/// A link that is used again so soon is busy.
const BUSY_INTERVAL: Duration = Duration::from_millis(100);

/// Peers with links, or with failed dials that are remembered.
const MAX_PEERS: usize = 1024;

/// For links that carried requests of clients.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// For links on which only the core asked something, which it seldom does twice.
const ERRAND_TIMEOUT: Duration = Duration::from_secs(30);

const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// A link that ended between being picked and being used is replaced so many times.
const ATTEMPTS: usize = 3;

/// Ways to the other members: links that are shared, dialled when needed. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Links {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    admission: Arc<Admission>,
    peers: Mutex<BTreeMap<NodeId, Arc<Peer>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Peer {
    links: Mutex<Vec<Arc<Link>>>,
    /// Where the last one was dialled.
    addr: Mutex<Option<SocketAddr>>,
    /// Held while dialling, so that many requests dial once.
    dialling: tokio::sync::Mutex<Backoff>,
    growing: AtomicBool,
}

/// What a member says about the address of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whoami {
    /// Who said it.
    pub peer: NodeId,
    /// The source IP of this node's link.
    pub observed: IpAddr,
    /// The member reached this node by a link to that IP and the port that it was told.
    pub confirmed: bool,
    /// The epoch at which the member knows this node, 0 when it does not.
    pub known_epoch: u64,
}

impl Links {
    pub(super) fn new(admission: Arc<Admission>, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let pool = Pool { admission, peers: Mutex::default(), tasks: tasks.clone(), stop: stop.clone() };
        let pool = Arc::new(pool);
        let links = Self { pool };
        tasks.spawn(sweep(links.clone(), stop));
        links
    }

    /// A ready HTTP/2 client to `to`, dialled at `addr` when no link stands.
    pub async fn open(&self, to: NodeId, addr: SocketAddr) -> Result<SendRequest<Bytes>, LinkFailure> {
        let (link, sender) = self.ready(to, addr).await?;
        link.keep();
        Ok(sender)
    }

    async fn ready(
        &self,
        to: NodeId,
        addr: SocketAddr,
    ) -> Result<(Arc<Link>, SendRequest<Bytes>), LinkFailure> {
        if to == self.pool.admission.local() {
            return Err(LinkFailure::WrongPeer);
        }
        let peer = self.pool.peer(to);
        for _ in 0..ATTEMPTS {
            let link = match peer.pick() {
                Some(link) => {
                    self.grow_if_busy(&peer, &link, to, addr);
                    link
                }
                None => self.pool.dial(&peer, to, addr, 0).await?,
            };
            match link.ready().await {
                Ok(sender) => return Ok((link, sender)),
                Err(error) => {
                    trace!(%to, %error, "a link went away");
                    peer.remove(&link);
                }
            }
        }
        Err(LinkFailure::Unreachable)
    }

    /// Asks `to` something for the core, within [`LINK_REQUEST_TIMEOUT`].
    pub async fn request(&self, to: NodeId, addr: SocketAddr, body: Vec<u8>) -> Result<Vec<u8>, LinkFailure> {
        let exchange = async { http2::post(self.ready(to, addr).await?.1, CORE_PATH, body).await };
        let outcome = timeout(LINK_REQUEST_TIMEOUT, exchange).await.unwrap_or(Err(LinkFailure::TimedOut));
        let kind = if outcome.is_ok() { "ok" } else { "failed" };
        self.pool.admission.metrics().link_requests.get_or_create(&KindLabels { kind }).inc();
        outcome
    }

    /// Asks whoever holds `addr` under which IP it sees this node, and whether it reaches this node at that IP and `port`.
    pub async fn whoami(&self, addr: SocketAddr, port: u16) -> Result<Whoami, LinkFailure> {
        let dialled = self.pool.admission.dial(addr, None).await.map_err(|error| error.failure())?;
        let admitted = dialled.admitted;
        let link = self.pool.establish(dialled).await?;
        let sender = link.ready().await.map_err(|_| LinkFailure::Unreachable)?;
        let question = wire::encode(&WhoamiRequest { port: port.into() });
        let exchange = http2::post(sender, WHOAMI_PATH, question);
        let answer = timeout(LINK_REQUEST_TIMEOUT, exchange).await.unwrap_or(Err(LinkFailure::TimedOut))?;
        let answer = WhoamiResponse::decode(&answer).map_err(|_| LinkFailure::Unreachable)?;
        Ok(Whoami {
            peer: admitted.peer,
            observed: answer.ip().map_err(|_| LinkFailure::Unreachable)?,
            confirmed: answer.confirmed,
            known_epoch: admitted.greeting.known_epoch,
        })
    }

    /// Replaces the links that were admitted under another key than the one that proves now.
    pub(super) fn prove_again(&self) {
        for (to, peer) in self.pool.peers().clone() {
            if let Some(addr) = self.pool.unproven(&peer) {
                let pool = self.pool.clone();
                self.pool.tasks.spawn(async move { pool.prove_again(&peer, to, addr).await });
            }
        }
    }

    /// Closes what was idle for too long.
    pub(super) fn sweep(&self, now: Instant) {
        self.pool.peers().retain(|_, peer| peer.sweep(now) || Arc::strong_count(peer) > 1);
    }

    fn grow_if_busy(&self, peer: &Arc<Peer>, link: &Link, to: NodeId, addr: SocketAddr) {
        let links = peer.standing().len();
        let busy = Instant::now() - link.last_used() < BUSY_INTERVAL;
        if !busy || links >= LINKS_PER_PEER || peer.growing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (pool, peer) = (self.pool.clone(), peer.clone());
        self.pool.tasks.spawn(async move {
            if let Err(error) = pool.dial(&peer, to, addr, links).await {
                trace!(%to, %error, "no second link");
            }
            peer.growing.store(false, Ordering::Release);
        });
    }
}

impl Pool {
    fn peers(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn peer(&self, id: NodeId) -> Arc<Peer> {
        let mut peers = self.peers();
        if peers.len() >= MAX_PEERS && !peers.contains_key(&id) {
            // The links of the peer that goes end with their last streams.
            let oldest = peers.iter().min_by_key(|(_, peer)| peer.last_used()).map(|(id, _)| *id);
            oldest.map(|oldest| peers.remove(&oldest));
        }
        peers.entry(id).or_default().clone()
    }

    /// One more link, unless others made one beyond the `standing` ones in the meantime.
    async fn dial(
        &self,
        peer: &Peer,
        to: NodeId,
        addr: SocketAddr,
        standing: usize,
    ) -> Result<Arc<Link>, LinkFailure> {
        let mut backoff = peer.dialling.lock().await;
        if peer.standing().len() > standing
            && let Some(link) = peer.pick()
        {
            return Ok(link);
        }
        backoff.check(addr, Instant::now())?;
        let dialled = self.admission.dial(addr, Some(to)).await.map_err(|error| error.failure());
        let link = match dialled {
            Ok(dialled) => self.establish(dialled).await,
            Err(failure) => Err(failure),
        };
        match &link {
            Ok(link) => {
                backoff.clear();
                peer.links().push(link.clone());
                *peer.addr.lock().unwrap_or_else(PoisonError::into_inner) = Some(addr);
            }
            Err(failure) => backoff.fail(addr, *failure, Instant::now()),
        }
        link
    }

    /// The address of a peer with links under another key than the one that proves now.
    fn unproven(&self, peer: &Peer) -> Option<SocketAddr> {
        let proving = self.admission.keys().sealing().id();
        let is_unproven = peer.standing().iter().any(|link| link.key() != proving);
        is_unproven.then_some(*peer.addr.lock().unwrap_or_else(PoisonError::into_inner)).flatten()
    }

    /// Dials a link under the key that proves now, and only then lets the others go. Their streams end as they will.
    async fn prove_again(&self, peer: &Peer, to: NodeId, addr: SocketAddr) {
        let _dialling = peer.dialling.lock().await;
        if self.unproven(peer).is_none() {
            return;
        }
        let dialled = self.admission.dial(addr, Some(to)).await.map_err(|error| error.failure());
        let fresh = match dialled {
            Ok(dialled) => self.establish(dialled).await,
            Err(failure) => Err(failure),
        };
        let keyring = self.admission.keys().current();
        let mut links = peer.links();
        match fresh {
            Ok(fresh) => {
                links.retain(|link| link.key() == keyring.sealing().id());
                links.push(fresh);
            }
            Err(failure) => {
                warn!(%to, %addr, %failure, "no link under the new cluster key");
                links.retain(|link| keyring.key(link.key()).is_some());
            }
        }
    }

    async fn establish(&self, dialled: Dialled) -> Result<Arc<Link>, LinkFailure> {
        if self.stop.is_cancelled() {
            return Err(LinkFailure::Unreachable);
        }
        let Dialled { stream, traffic, admitted } = dialled;
        let link = Link::establish(stream, traffic, admitted.key, &self.tasks, self.stop.clone()).await;
        link.map_err(|_| LinkFailure::Unreachable)
    }
}

impl Peer {
    fn links(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self) -> Vec<Arc<Link>> {
        let mut links = self.links();
        links.retain(|link| link.stands());
        links.clone()
    }

    /// The link that rested longest, so that they take turns.
    fn pick(&self) -> Option<Arc<Link>> {
        self.standing().into_iter().min_by_key(|link| link.last_used())
    }

    fn remove(&self, gone: &Arc<Link>) {
        self.links().retain(|link| !Arc::ptr_eq(link, gone));
    }

    fn last_used(&self) -> Option<Instant> {
        self.links().iter().map(|link| link.last_used()).max()
    }

    /// Drops idle links, whose last streams may still go on; false when nothing is left of this peer.
    fn sweep(&self, now: Instant) -> bool {
        let mut links = self.links();
        links.retain(|link| {
            let limit = if link.is_kept() { IDLE_TIMEOUT } else { ERRAND_TIMEOUT };
            link.stands() && now - link.last_used() < limit
        });
        !links.is_empty()
    }
}

async fn sweep(links: Links, stop: CancellationToken) {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            now = ticks.tick() => links.sweep(now),
            () = stop.cancelled() => break,
        }
    }
    links.pool.peers().clear();
}
