//! How something that is held of one node spread to those that observe it.

use std::collections::BTreeMap;

use meshnode::time::Instant;

use super::finding::count_as_f64;
use crate::meter::{Sight, Sighting};

/// The seconds from a moment until each observer came to hold something, ascending.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Spread(Vec<f64>);

impl Spread {
    /// When the observers that count came to hold `what` of `subject`, for good as far as the sightings go.
    ///
    /// Whoever held it already counts from zero on.
    pub(super) fn of(
        sightings: &[Sighting],
        subject: usize,
        what: &[Sight],
        since: Instant,
        counts: impl Fn(usize) -> bool,
    ) -> Self {
        let mut held: BTreeMap<usize, f64> = BTreeMap::new();
        for sighting in sightings.iter().filter(|one| one.subject == subject && counts(one.observer)) {
            if what.contains(&sighting.what) {
                held.entry(sighting.observer).or_insert(sighting.at.since(since).as_secs_f64());
            } else if matches!(sighting.what, Sight::Refuted | Sight::Routable) {
                held.remove(&sighting.observer);
            }
        }
        let mut after: Vec<f64> = held.into_values().collect();
        after.sort_by(f64::total_cmp);
        Self(after)
    }

    /// When the observers that count first came to avoid `subject` (held it dead or unroutable), and for how much of
    /// the time until `until` they did, all shares added up.
    pub(super) fn avoided(
        sightings: &[Sighting],
        subject: usize,
        since: Instant,
        until: Instant,
        counts: impl Fn(usize) -> bool,
    ) -> (Self, f64) {
        let mut first: BTreeMap<usize, f64> = BTreeMap::new();
        let mut held: BTreeMap<usize, (bool, bool, Instant)> = BTreeMap::new();
        let mut total = 0.0;
        for sighting in sightings.iter().filter(|one| one.subject == subject && counts(one.observer)) {
            let at = sighting.at.max(since);
            let (dead, unroutable, from) = held.entry(sighting.observer).or_insert((false, false, at));
            if *dead || *unroutable {
                total += at.since(*from).as_secs_f64();
            }
            *from = at;
            match sighting.what {
                Sight::Dead => *dead = true,
                Sight::Refuted => *dead = false,
                Sight::Unroutable => *unroutable = true,
                Sight::Routable => *unroutable = false,
                Sight::Doubted | Sight::Left | Sight::Changed => {}
            }
            if *dead || *unroutable {
                first.entry(sighting.observer).or_insert(at.since(since).as_secs_f64());
            }
        }
        for (dead, unroutable, from) in held.into_values() {
            if dead || unroutable {
                total += until.since(from).as_secs_f64();
            }
        }
        let mut after: Vec<f64> = first.into_values().collect();
        after.sort_by(f64::total_cmp);
        (Self(after), total / until.since(since).as_secs_f64())
    }

    /// When the first one held it; infinite when nobody does.
    pub(super) fn first(&self) -> f64 {
        self.0.first().copied().unwrap_or(f64::INFINITY)
    }

    /// When each of so many observers held it; infinite for those that do not.
    pub(super) fn each(&self, observers: usize) -> impl Iterator<Item = f64> {
        self.0.iter().copied().chain(std::iter::repeat(f64::INFINITY)).take(observers)
    }

    /// When `share` of so many observers held it; infinite when fewer do.
    pub(super) fn reached(&self, share: f64, observers: usize) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of observers")]
        let wanted = (count_as_f64(observers) * share).ceil() as usize;
        self.0.get(wanted.max(1) - 1).copied().unwrap_or(f64::INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(seconds: u64, observer: usize, what: Sight) -> Sighting {
        Sighting { at: Instant::from_nanos(seconds * 1_000_000_000), observer, subject: 7, what }
    }

    #[test]
    fn a_spread_counts_each_observer_once_and_forgets_what_was_refuted() {
        let sightings = [
            sighting(1, 0, Sight::Dead),
            sighting(2, 0, Sight::Refuted),
            sighting(3, 1, Sight::Doubted),
            sighting(4, 1, Sight::Dead),
            sighting(5, 2, Sight::Dead),
            sighting(6, 2, Sight::Dead),
            sighting(9, 3, Sight::Dead),
        ];
        let since = Instant::from_nanos(2_000_000_000);
        let spread = Spread::of(&sightings, 7, &[Sight::Dead], since, |observer| observer != 3);
        assert_eq!(spread, Spread(vec![2.0, 3.0]));
        assert_eq!((spread.first(), spread.reached(1.0, 2)), (2.0, 3.0));
        assert!(spread.reached(0.999, 3).is_infinite());
    }
}
