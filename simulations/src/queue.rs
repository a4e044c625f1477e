//! The event queue: everything that will happen, ordered by time and then by the order in which it was planned.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use meshnode::time::Instant;

/// A queue of events in virtual time; two events of the same instant come out in the order they went in.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    planned: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), planned: 0 }
    }
}

impl<E> Queue<E> {
    /// Plans `event` for `at`.
    pub fn push(&mut self, at: Instant, event: E) {
        self.heap.push(Entry { at, sequence: self.planned, event });
        self.planned += 1;
    }

    /// Takes the next event that is due at `until` or before.
    pub fn take_due(&mut self, until: Instant) -> Option<(Instant, E)> {
        if self.heap.peek()?.at > until {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }

    /// Events that are still to come.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Nothing is still to come.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[derive(Debug)]
struct Entry<E> {
    at: Instant,
    sequence: u64,
    event: E,
}

impl<E> Entry<E> {
    const fn key(&self) -> (Instant, u64) {
        (self.at, self.sequence)
    }
}

/// Reversed, because the heap gives its greatest entry first.
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_the_order_of_planning() {
        let mut queue = Queue::default();
        for (at, name) in [(2, "late"), (1, "first"), (1, "second")] {
            queue.push(Instant::from_nanos(at), name);
        }
        let due: Vec<_> = std::iter::from_fn(|| queue.take_due(Instant::from_nanos(1))).collect();
        assert_eq!(due, [(Instant::from_nanos(1), "first"), (Instant::from_nanos(1), "second")]);
        assert_eq!(queue.len(), 1);
    }
}
