//! How many connections a listener has, and how many of them one client.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::backend::locked;

type Taken = Arc<Mutex<BTreeMap<IpAddr, usize>>>;

/// The places of a listener.
#[derive(Debug)]
pub(super) struct Places {
    room: Arc<Semaphore>,
    taken: Taken,
    max_per_client: usize,
    /// Of all listeners.
    clients: watch::Sender<usize>,
}

/// Room for a connection that nobody has yet.
#[derive(Debug)]
pub(super) struct Room {
    _permit: OwnedSemaphorePermit,
}

/// The place of one connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    client: Option<IpAddr>,
    taken: Taken,
    clients: watch::Sender<usize>,
    _room: Room,
}

impl Places {
    /// So many in all, and so many for one client; counts those that are taken into `clients`.
    pub(super) fn new(max: usize, max_per_client: usize, clients: watch::Sender<usize>) -> Self {
        Self { room: Arc::new(Semaphore::new(max)), taken: Arc::default(), max_per_client, clients }
    }

    /// Waits until there is room for one more.
    pub(super) async fn room(&self) -> Option<Room> {
        self.room.clone().acquire_owned().await.ok().map(|permit| Room { _permit: permit })
    }

    /// The place of a client's connection, or the room back when the client has as many as it may.
    pub(super) fn take(&self, peer: IpAddr, room: Room) -> Result<Place, Room> {
        let client = client(peer);
        if let Some(client) = client {
            let mut taken = locked(&self.taken);
            let count = taken.entry(client).or_default();
            if *count >= self.max_per_client {
                return Err(room);
            }
            *count += 1;
        }
        self.clients.send_modify(|clients| *clients += 1);
        Ok(Place { client, taken: self.taken.clone(), clients: self.clients.clone(), _room: room })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clients.send_modify(|clients| *clients = clients.saturating_sub(1));
        let Some(client) = self.client else { return };
        let mut taken = locked(&self.taken);
        if let Some(count) = taken.get_mut(&client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&client);
            }
        }
    }
}

/// Whom a connection is counted for. One line of a provider has a whole /64; and what comes from this machine may be
/// a tunnel's end, behind which there are many clients, so that it is not counted.
fn client(peer: IpAddr) -> Option<IpAddr> {
    match peer.to_canonical() {
        peer if peer.is_loopback() => None,
        IpAddr::V4(peer) => Some(peer.into()),
        IpAddr::V6(peer) => Some(Ipv6Addr::from_bits(peer.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
#[path = "places_tests.rs"]
mod tests;
