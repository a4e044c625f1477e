//! What is done about peers that fell silent: their other links are asked, and others are dialled, until one answers.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::pool::{Pool, Want};
use crate::id::NodeId;
use crate::time::Duration;

/// Between two looks at a silent peer.
const INTERVAL: Duration = Duration::from_millis(500);

/// Whoever is silent for longer is dead, or will be asked again by the next request.
const GIVE_UP: Duration = Duration::from_secs(60);

/// Cares for each peer that falls silent, until the node ends.
pub(super) async fn watch(pool: Arc<Pool>) {
    let mut changes = pool.reach.subscribe();
    let mut cared_for = BTreeSet::new();
    loop {
        let silent = changes.borrow_and_update().clone();
        for peer in silent.difference(&cared_for) {
            let (pool, peer) = (pool.clone(), *peer);
            pool.tasks.clone().spawn(async move {
                let is_over = tokio::select! {
                    is_over = recover(&pool, peer) => is_over,
                    () = pool.stop.cancelled() => true,
                };
                if is_over {
                    pool.reach.answers(peer);
                }
            });
        }
        cared_for.clone_from(&silent);
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = pool.stop.cancelled() => return,
        }
    }
}

/// Ends when the peer answers, or too much time has passed. False when somebody else heard of it: it may be silent again
/// since.
async fn recover(pool: &Arc<Pool>, id: NodeId) -> bool {
    let Some(peer) = pool.known(id) else { return true };
    let addr = peer.dial().at();
    let mut changes = pool.reach.subscribe();
    let until = Instant::now() + GIVE_UP;
    for link in peer.standing() {
        link.pulse().doubt();
    }
    while Instant::now() < until {
        if !changes.borrow_and_update().contains(&id) {
            return false;
        }
        let dialling = match addr {
            Some(addr) if !peer.is_reached() => pool.dial(&peer, id, addr, Want::Reaching).ok(),
            _ => None,
        };
        let dialled = async {
            let Some(dialling) = dialling else { return pending().await };
            if dialling.await.is_err() {
                pending().await
            }
        };
        tokio::select! {
            () = dialled => return true,
            _ = changes.changed() => {}
            () = sleep(INTERVAL) => {}
        }
    }
    true
}
