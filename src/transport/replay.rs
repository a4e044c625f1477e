//! The replay window: which counters of one seal nonce were seen already.

/// How far a datagram may be overtaken by others of its sender.
pub(super) const WINDOW: u64 = 1024;

/// One word more than the window, so that advancing clears whole words only.
const WORDS: usize = WINDOW as usize / 64 + 1;

/// Counters below the window count as seen.
#[derive(Debug, Clone)]
pub(super) struct ReplayWindow {
    highest: u64,
    seen: [u64; WORDS],
}

impl ReplayWindow {
    pub(super) const fn new() -> Self {
        Self { highest: 0, seen: [0; WORDS] }
    }

    /// Marks `counter` as seen; false when it was already, or is too old to tell.
    #[must_use]
    pub(super) fn accept(&mut self, counter: u64) -> bool {
        if counter.saturating_add(WINDOW) <= self.highest {
            return false;
        }
        if counter > self.highest {
            self.advance(counter);
        }
        let (word, bit) = (&mut self.seen[slot(counter / 64)], 1 << (counter % 64));
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    fn advance(&mut self, counter: u64) {
        let (from, to) = (self.highest / 64, counter / 64);
        let stale = (to - from).min(WORDS as u64);
        for word in to - stale..to {
            self.seen[slot(word + 1)] = 0;
        }
        self.highest = counter;
    }
}

fn slot(word: u64) -> usize {
    (word % WORDS as u64) as usize
}
