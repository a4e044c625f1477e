//! What an edge knows of the mesh: lists from the store and from live nodes, and who answered of late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, Guard};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::nodes::{Adoption, Book, Diallers, Node, Roster};
use super::summary::{NodeUrl, Summary};
use crate::clock::Clock;
use crate::entropy;
use crate::router::proxy::backend::locked;
use crate::summary::stores::Store;
use crate::summary::{StoreCall, StoreReply};
use crate::time::{Duration, Instant};

/// Between two reads of the store.
const READ_PAUSE: Duration = Duration::from_secs(5);

/// An answer of a node is news for so long.
pub(super) const RECENT: Duration = Duration::from_secs(5);

/// What is known. Each request reads it, and few change it.
#[derive(Debug)]
pub(super) struct Directory {
    cluster: String,
    clock: Clock,
    roster: ArcSwap<Roster>,
    book: Mutex<Book>,
    rng: Mutex<ChaCha8Rng>,
    reading: Arc<AsyncMutex<Reading>>,
    /// When a node last answered, and when one told of another cluster, in nanoseconds since the clock's origin; 0 is never.
    answered: AtomicU64,
    foreign: AtomicU64,
}

#[derive(Debug)]
struct Reading {
    store: Store,
    last: Option<Instant>,
}

impl Directory {
    /// Knows the seeds only.
    pub(super) fn new(
        cluster: String,
        seeds: Vec<NodeUrl>,
        store: Store,
        diallers: Diallers,
        clock: Clock,
    ) -> Self {
        let mut book = Book::new(seeds, diallers, clock);
        Self {
            cluster,
            clock,
            roster: ArcSwap::from_pointee(book.roster()),
            book: Mutex::new(book),
            rng: Mutex::new(ChaCha8Rng::from_seed(entropy::random())),
            reading: Arc::new(AsyncMutex::new(Reading { store, last: None })),
            answered: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
        }
    }

    /// All nodes that are known now.
    pub(super) fn roster(&self) -> Guard<Arc<Roster>> {
        self.roster.load()
    }

    /// Whether the store or a node has told of nodes.
    pub(super) fn knows_a_list(&self) -> bool {
        let roster = self.roster.load();
        roster.is_live || roster.is_stored
    }

    /// The node that is to be tried after those in `tried`.
    pub(super) fn pick(&self, tried: &[Arc<Node>]) -> Option<Arc<Node>> {
        self.roster.load().pick(tried, || self.clock.now(), &mut *locked(&self.rng))
    }

    /// A node answered for itself.
    pub(super) fn answered(&self, node: &Node) {
        node.answered();
        self.answered.store(self.clock.now().as_nanos(), Ordering::Relaxed);
    }

    /// A node failed.
    pub(super) fn failed(&self, node: &Node) {
        node.failed(self.clock.now());
    }

    /// Whether a node answered of late.
    pub(super) fn has_answered(&self) -> bool {
        self.is_recent(&self.answered)
    }

    /// Whether the nodes that answer tell of another cluster than the store does.
    pub(super) fn is_foreign(&self) -> bool {
        self.is_recent(&self.foreign)
    }

    fn is_recent(&self, at: &AtomicU64) -> bool {
        let at = at.load(Ordering::Relaxed);
        at != 0 && self.clock.now().since(Instant::from_nanos(at)) < RECENT
    }

    /// Reads the store, unless that was done just now. What is known stays when nothing usable is there.
    pub(super) async fn read_store(self: &Arc<Self>) {
        let reading = self.reading.clone().lock_owned().await;
        if reading.last.is_some_and(|last| self.clock.now().since(last) < READ_PAUSE) {
            return;
        }
        // A client that leaves does not end what others wait for: each of them would begin anew.
        let _ = tokio::spawn(self.clone().read(reading)).await;
    }

    async fn read(self: Arc<Self>, mut reading: OwnedMutexGuard<Reading>) {
        // Noted at both ends, so that neither a long read nor one that came to nothing is followed by another at once.
        reading.last = Some(self.clock.now());
        let reply = reading.store.call(StoreCall::Get).await;
        reading.last = Some(self.clock.now());
        self.take_over(reply);
    }

    fn take_over(&self, reply: StoreReply) {
        let value = match reply {
            StoreReply::Found { value, .. } => value,
            StoreReply::NotFound { .. } => {
                tracing::warn!(cluster = self.cluster, "the store has no summary");
                return;
            }
            StoreReply::GetFailed(error) | StoreReply::PutFailed(error) => {
                tracing::warn!(%error, "the store cannot be read");
                return;
            }
            StoreReply::Stored => return,
        };
        let usable = Summary::read(&value, &self.cluster).filter(|summary| !summary.nodes.is_empty());
        let Some(summary) = usable else {
            tracing::warn!(cluster = self.cluster, "what the store holds names no node of this cluster");
            return;
        };
        tracing::info!(nodes = summary.nodes.len(), term = summary.term, "summary read from the store");
        let mut book = locked(&self.book);
        book.stored(summary);
        self.roster.store(Arc::new(book.roster()));
    }

    /// Takes over what a node told; whether that belongs to the cluster's history in the store, or `None` when it is no
    /// summary of the cluster.
    pub(super) async fn adopt(self: &Arc<Self>, told: &[u8]) -> Option<bool> {
        let summary = Summary::read(told, &self.cluster)?;
        if self.hear(summary.clone()) {
            return Some(true);
        }
        self.read_store().await;
        let belongs = self.hear(summary);
        if !belongs {
            tracing::warn!("a node tells of another history of the cluster than the store does");
            self.foreign.store(self.clock.now().as_nanos(), Ordering::Relaxed);
        }
        Some(belongs)
    }

    fn hear(&self, summary: Summary) -> bool {
        let mut book = locked(&self.book);
        match book.heard(summary) {
            Adoption::Adopted => {
                self.roster.store(Arc::new(book.roster()));
                true
            }
            Adoption::Kept => true,
            Adoption::Foreign => false,
        }
    }
}
