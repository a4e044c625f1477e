//! The event queue: everything that will happen, ordered by time and then by the order in which it was planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use meshnode::time::Instant;

/// A queue of events in virtual time; two events of the same instant come out in the order they went in.
///
/// The heap moves only when and where: events are many times larger, and lie still until they are due.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    events: Vec<Option<E>>,
    free: Vec<usize>,
    planned: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), planned: 0 }
    }
}

impl<E> Queue<E> {
    /// Plans `event` for `at`.
    pub fn push(&mut self, at: Instant, event: E) {
        let place = self.free.pop().unwrap_or(self.events.len());
        if place == self.events.len() {
            self.events.push(Some(event));
        } else {
            self.events[place] = Some(event);
        }
        self.heap.push(Reverse((at, self.planned, place)));
        self.planned += 1;
    }

    /// Takes the next event that is due at `until` or before.
    pub fn take_due(&mut self, until: Instant) -> Option<(Instant, E)> {
        let Reverse((at, _, place)) = *self.heap.peek().filter(|Reverse((at, ..))| *at <= until)?;
        self.heap.pop();
        self.free.push(place);
        self.events[place].take().map(|event| (at, event))
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
        queue.push(Instant::from_nanos(2), "later");
        let rest: Vec<_> =
            std::iter::from_fn(|| queue.take_due(Instant::from_nanos(9))).map(|(_, name)| name).collect();
        assert_eq!(rest, ["late", "later"]);
    }
}
