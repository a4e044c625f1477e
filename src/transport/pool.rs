//! The pool of links that this node dialled: dialled once, shared, redialled when they end, closed when idle.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use h2::client::SendRequest;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{trace, warn};

use super::admission::{Admission, Dialled};
use super::http2::{self, CORE_PATH, WHOAMI_PATH};
use super::keyring::KeyId;
use super::link::{Far, Lane, Link};
use super::peer::{Dialling, Peer};
use super::reach::Reach;
use super::recovery;
use crate::id::NodeId;
use crate::mesh::{LINK_REQUEST_TIMEOUT, LinkFailure};
use crate::metrics::KindLabels;
use crate::time::Duration;
use crate::wire::whoami::{WhoamiRequest, WhoamiResponse};
use crate::wire::{self};

/// Links to one peer; the second one when the first has more to carry than it can.
const LINKS_PER_PEER: usize = 2;

/// Peers with links, or with failed dials that are remembered.
const MAX_PEERS: usize = 1024;

const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// A link that ended between being picked and being used is replaced so many times.
const ATTEMPTS: usize = 3;

/// Ways to the other members: links that are shared, dialled when needed. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Links {
    pool: Arc<Pool>,
}

#[derive(Debug)]
pub(super) struct Pool {
    admission: Arc<Admission>,
    peers: ArcSwap<BTreeMap<NodeId, Arc<Peer>>>,
    pub(super) reach: Arc<Reach>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
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
        let (peers, reach) = (ArcSwap::default(), Reach::new());
        let pool = Pool { admission, peers, reach, tasks: tasks.clone(), stop: stop.clone() };
        let pool = Arc::new(pool);
        let links = Self { pool };
        tasks.spawn(sweep(links.clone(), stop));
        tasks.spawn(recovery::watch(links.pool.clone()));
        links
    }

    /// A way to `to` for one request, dialled at `addr` when no link stands. A link whose peer is silent is used only when there is no other.
    pub async fn open(&self, to: NodeId, addr: SocketAddr) -> Result<Lane, LinkFailure> {
        let (link, sender) = self.ready(to, addr).await?;
        link.keep();
        Ok(Lane { sender, place: link.place() })
    }

    /// The peers that are silent: their links stand, but not even a ping is answered on them.
    pub fn silent(&self) -> watch::Receiver<Arc<BTreeSet<NodeId>>> {
        self.pool.reach.subscribe()
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
                    if peer.is_crowded(&link, LINKS_PER_PEER) {
                        // Nobody waits for it: it is for those who come later.
                        let _ = self.pool.dial(&peer, to, addr, Want::Another);
                    }
                    link
                }
                None => self.pool.dial(&peer, to, addr, Want::Any)?.await?,
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
        let exchange = async {
            let (link, sender) = self.ready(to, addr).await?;
            let _place = link.place();
            http2::post(sender, CORE_PATH, body).await
        };
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
        for (to, peer) in self.pool.peers.load().iter() {
            if peer.unproven(self.pool.proving()).is_some() {
                let (pool, to, peer) = (self.pool.clone(), *to, peer.clone());
                self.pool.tasks.spawn(async move { pool.prove_again(&peer, to).await });
            }
        }
    }

    /// Closes what was idle for too long.
    pub(super) fn sweep(&self, now: Instant) {
        let gone: Vec<NodeId> =
            self.pool.peers.load().iter().filter(|(_, peer)| !peer.sweep(now)).map(|(id, _)| *id).collect();
        if !gone.is_empty() {
            self.pool.change(|peers| peers.retain(|id, _| !gone.contains(id)));
        }
    }
}

/// Which links make a dial unnecessary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// One that stands.
    Any,
    /// One that stands and is not silent.
    Reaching,
    /// As many as a peer may have.
    Another,
}

impl Want {
    fn is_met(self, peer: &Peer) -> bool {
        match self {
            Self::Any => peer.pick().is_some(),
            Self::Reaching => peer.is_reached(),
            Self::Another => peer.standing().len() >= LINKS_PER_PEER,
        }
    }
}

impl Pool {
    pub(super) fn known(&self, id: NodeId) -> Option<Arc<Peer>> {
        self.peers.load().get(&id).cloned()
    }

    fn peer(&self, id: NodeId) -> Arc<Peer> {
        if let Some(peer) = self.known(id) {
            return peer;
        }
        let fresh = Arc::<Peer>::default();
        self.change(|peers| {
            if peers.len() >= MAX_PEERS && !peers.contains_key(&id) {
                // The links of the peer that goes end with their last streams.
                let oldest = peers.iter().min_by_key(|(_, peer)| peer.last_used()).map(|(id, _)| *id);
                oldest.map(|oldest| peers.remove(&oldest));
            }
            peers.entry(id).or_insert_with(|| fresh.clone());
        });
        self.known(id).unwrap_or(fresh)
    }

    fn change(&self, change: impl Fn(&mut BTreeMap<NodeId, Arc<Peer>>)) {
        self.peers.rcu(|peers| {
            let mut peers = BTreeMap::clone(peers);
            change(&mut peers);
            peers
        });
    }

    /// The dial that is under way, or a new one. It goes on when whoever asked for it gives up, so that the next one finds a
    /// link, or learns at once that there is none.
    pub(super) fn dial(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        to: NodeId,
        addr: SocketAddr,
        want: Want,
    ) -> Result<Dialling, LinkFailure> {
        let mut dial = peer.dial();
        if let Some(running) = dial.running(addr) {
            return Ok(running);
        }
        dial.backoff.check(addr, Instant::now())?;
        let (pool, peer) = (self.clone(), peer.clone());
        let dialled = self.tasks.spawn(async move {
            let made = pool.dial_now(&peer, to, addr, want).await;
            peer.dial().end(addr);
            made
        });
        Ok(dial.begin(addr, async move { dialled.await.unwrap_or(Err(LinkFailure::Unreachable)) }))
    }

    async fn dial_now(
        &self,
        peer: &Peer,
        to: NodeId,
        addr: SocketAddr,
        want: Want,
    ) -> Result<Arc<Link>, LinkFailure> {
        let _dialling = peer.dialling.lock().await;
        if want.is_met(peer)
            && let Some(link) = peer.pick()
        {
            return Ok(link);
        }
        let link = self.reach_out(to, addr).await;
        match &link {
            Ok(link) => peer.add(link, addr),
            Err(failure) => peer.dial().backoff.fail(addr, *failure, Instant::now()),
        }
        link
    }

    async fn reach_out(&self, to: NodeId, addr: SocketAddr) -> Result<Arc<Link>, LinkFailure> {
        let dialled = self.admission.dial(addr, Some(to)).await.map_err(|error| error.failure())?;
        self.establish(dialled).await
    }

    fn proving(&self) -> KeyId {
        self.admission.keys().sealing().id()
    }

    /// Dials a link under the key that proves now, and only then lets the others go. Their streams end as they will.
    async fn prove_again(&self, peer: &Peer, to: NodeId) {
        let _dialling = peer.dialling.lock().await;
        let Some(addr) = peer.unproven(self.proving()) else { return };
        let fresh = self.reach_out(to, addr).await;
        let keyring = self.admission.keys().current();
        match fresh {
            Ok(fresh) => {
                peer.retain(|link| link.key() == keyring.sealing().id());
                peer.add(&fresh, addr);
            }
            Err(failure) => {
                warn!(%to, %addr, %failure, "no link under the new cluster key");
                peer.retain(|link| keyring.key(link.key()).is_some());
            }
        }
    }

    async fn establish(&self, dialled: Dialled) -> Result<Arc<Link>, LinkFailure> {
        if self.stop.is_cancelled() {
            return Err(LinkFailure::Unreachable);
        }
        let Dialled { stream, traffic, admitted } = dialled;
        let far = Far { peer: admitted.peer, key: admitted.key, traffic, reach: self.reach.clone() };
        let link = Link::establish(stream, far, &self.tasks, self.stop.clone()).await;
        link.map_err(|_| LinkFailure::Unreachable)
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
    links.pool.peers.store(Arc::default());
}
