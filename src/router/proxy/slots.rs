//! Places at a service: so many requests at a time, and a short queue for those that come while all are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::time::Duration;

/// The places at one service.
#[derive(Debug)]
pub(super) struct Slots {
    /// `None` is no limit.
    free: Option<Arc<Semaphore>>,
    busy: AtomicU32,
    queue: Queue,
}

/// Requests that wait for a place.
#[derive(Debug)]
struct Queue {
    room: usize,
    waiting: AtomicUsize,
}

/// One of the requests that a service works on.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// Places for `max` requests (0 is no limit), and a queue for `room` more.
    pub(super) fn new(max: u32, room: u32) -> Arc<Self> {
        let free = (max > 0).then(|| Arc::new(Semaphore::new(max as usize)));
        let queue = Queue { room: room as usize, waiting: AtomicUsize::new(0) };
        Arc::new(Self { free, busy: AtomicU32::new(0), queue })
    }

    /// A place, after waiting in the queue `within` that time; `None` when there is none, or no room in the queue.
    pub(super) async fn take(self: &Arc<Self>, within: Duration) -> Option<Slot> {
        let Some(free) = &self.free else { return Some(self.taken(None)) };
        if let Ok(permit) = free.clone().try_acquire_owned() {
            return Some(self.taken(Some(permit)));
        }
        let _place = self.queue.enter()?;
        let permit = timeout(within, free.clone().acquire_owned()).await.ok()?.ok()?;
        Some(self.taken(Some(permit)))
    }

    fn taken(self: &Arc<Self>, permit: Option<OwnedSemaphorePermit>) -> Slot {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Slot { slots: self.clone(), _permit: permit }
    }

    /// Requests that the service works on.
    pub(super) fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }
}

impl Slots {
    /// Requests that wait for a place.
    pub(super) fn waiting(&self) -> usize {
        self.queue.waiting.load(Ordering::Relaxed).min(self.queue.room)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Queue {
    fn enter(&self) -> Option<Place<'_>> {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(self);
        (waiting < self.room).then_some(place)
    }
}

/// A place in the queue.
struct Place<'a>(&'a Queue);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
