//! Edges that start cold: whenever a listed node lives they find one, once what is stored can be read.

use meshnode::time::{Duration, Instant};

use super::Breach;
use crate::budget::edge::{BETWEEN_PROBES, Look};

/// How long edges were blind.
#[derive(Debug, Default)]
pub(super) struct Edges {
    stored_at: Option<Instant>,
    nobody_listed: Spell,
    not_readable: Spell,
}

/// The longest time in which something was so.
#[derive(Debug, Default)]
struct Spell {
    since: Option<Instant>,
    longest: Duration,
}

impl Spell {
    fn see(&mut self, at: Instant, is_so: bool) {
        if is_so {
            self.longest = self.longest.max(at.since(*self.since.get_or_insert(at)));
        } else {
            self.since = None;
        }
    }
}

impl Edges {
    pub(super) fn look(&mut self, at: Instant, look: Look) {
        // With a new value a new wait begins: until it can be read, or, when it does not help, for the next one.
        if look.stored_at != self.stored_at {
            self.stored_at = look.stored_at;
            self.nobody_listed.since = None;
            self.not_readable.since = None;
        }
        self.nobody_listed.see(at, look.any_serves && !look.stored_helps);
        self.not_readable.see(at, look.any_serves && look.stored_helps && !look.read_helps);
    }

    /// Until the next write because nobody who is listed lives, and because what is stored cannot be read yet.
    pub(super) const fn longest(&self) -> (Duration, Duration) {
        (self.nobody_listed.longest, self.not_readable.longest)
    }
}

/// Whether an edge was blind for longer than the store is stale.
pub(super) fn check(blind: Duration, staleness: Duration) -> Option<Breach> {
    (blind > staleness + BETWEEN_PROBES).then(|| Breach {
        promise: "edges",
        text: format!("a cold edge found nobody for {} s although a listed node lived", blind.as_secs()),
    })
}
