//! Watch links: one link to each member that this node watches. It carries nothing but pings, and its abrupt end says at
//! once that a process is gone.

mod farewell;
mod keeper;
mod places;
#[cfg(test)]
mod tests;
mod unacknowledged;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub(super) use places::{MAX_WATCH_LINKS, Places};

use super::Hint;
use super::admission::Admission;
use crate::id::NodeId;
use crate::mesh::LinkFailure;
use crate::metrics::KindLabels;
use crate::time::Duration;
use keeper::{Keeper, Slot};

/// The watch links that this node dials.
#[derive(Debug)]
pub(super) struct Watches {
    common: Arc<Common>,
    watched: Mutex<BTreeMap<NodeId, Watched>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What all keepers share.
#[derive(Debug)]
struct Common {
    admission: Arc<Admission>,
    places: Arc<Places>,
    hints: mpsc::Sender<Hint>,
}

/// One member that is watched. Dropping it closes its link in order.
#[derive(Debug)]
struct Watched {
    addr: SocketAddr,
    slot: Arc<Slot>,
    _stop: DropGuard,
}

impl Watches {
    pub(super) fn new(
        admission: Arc<Admission>,
        places: Arc<Places>,
        hints: mpsc::Sender<Hint>,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let common = Arc::new(Common { admission, places, hints });
        Self { common, watched: Mutex::default(), tasks: tasks.clone(), stop }
    }

    /// Watches exactly these members from now on; links to the others are closed in order.
    pub(super) fn set(&self, wanted: Vec<(NodeId, SocketAddr)>) {
        let local = self.common.admission.local();
        let wanted = wanted.into_iter().filter(|(id, _)| *id != local).take(MAX_WATCH_LINKS);
        let wanted: BTreeMap<NodeId, SocketAddr> = wanted.collect();
        let mut watched = self.watched();
        watched.retain(|id, known| wanted.get(id) == Some(&known.addr));
        for (id, addr) in wanted {
            watched.entry(id).or_insert_with(|| self.watch(id, addr));
        }
    }

    /// Replaces the links that were admitted under another key than the one that proves now. Each closes before it is dialled
    /// again, so that the new one finds a place.
    pub(super) fn prove_again(&self) {
        let proving = self.common.admission.keys().sealing().id();
        for (id, known) in self.watched().iter_mut() {
            if known.slot.standing().is_some_and(|link| link.key() != proving) {
                *known = self.watch(*id, known.addr);
            }
        }
    }

    fn watch(&self, to: NodeId, addr: SocketAddr) -> Watched {
        let (slot, stop) = (Arc::<Slot>::default(), self.stop.child_token());
        let keeper = Keeper { to, addr, slot: slot.clone(), common: self.common.clone() };
        self.tasks.spawn(keeper.run(stop.clone()));
        Watched { addr, slot, _stop: stop.drop_guard() }
    }

    /// Asks `to` over the watch link that stands; it never dials.
    pub(super) async fn ping(
        &self,
        to: NodeId,
        body: Vec<u8>,
        within: Duration,
    ) -> Result<Vec<u8>, LinkFailure> {
        let standing = self.watched().get(&to).and_then(|watched| watched.slot.standing());
        let outcome = match standing {
            None => Err(LinkFailure::Unreachable),
            Some(link) => {
                let sent = link.traffic().sent() + body.len() as u64;
                match timeout(within, link.ask(body)).await {
                    Ok(answer) => answer,
                    Err(_) => Err(link.unanswered(sent)),
                }
            }
        };
        let kind = match &outcome {
            Ok(_) => "ok",
            Err(LinkFailure::Stalled) => "stalled",
            Err(LinkFailure::TimedOut) => "timed_out",
            Err(LinkFailure::Unreachable | LinkFailure::WrongPeer) => "unreachable",
        };
        self.common.admission.metrics().link_pings.get_or_create(&KindLabels { kind }).inc();
        outcome
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<NodeId, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
