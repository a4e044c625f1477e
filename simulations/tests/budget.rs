//! The budget in virtual time, in small: what `meshsim budget` plays at length. Each promise can also be broken.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;

use meshnode::time::Duration;
use meshsim::budget::{Figures, Rule, Setting, all};

fn played(name: &str, seed: u64, without: &[Rule]) -> Figures {
    let scenario = all().into_iter().find(|scenario| scenario.name == name).unwrap();
    let without: BTreeSet<Rule> = without.iter().copied().collect();
    let staleness = Duration::from_secs(180);
    scenario.play(&Setting { seed, staleness, declared: staleness, days: 1, without })
}

fn broken(figures: &Figures) -> Vec<&str> {
    figures.breaches.iter().map(|breach| breach.promise).collect()
}

#[test]
fn a_quiet_day_takes_five_writes() {
    for name in ["quiet1", "quiet3"] {
        let figures = played(name, 0, &[]);
        assert!((4..=6).contains(&figures.worst_applied()), "{name}: {figures:?}");
        assert!(figures.breaches.is_empty(), "{name}: {figures:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let hashes = [1, 1, 2].map(|seed| played("crash-new", seed, &[]).trace);
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], hashes[2]);
}

#[test]
fn a_crash_loop_of_new_nodes_stays_within_the_budget_as_long_as_the_value_counts() {
    assert_eq!(broken(&played("solo-new", 0, &[])), Vec::<&str>::new());
    let figures = played("solo-new", 0, &[Rule::Counters]);
    assert_eq!(broken(&figures), ["budget"], "{} writes", figures.worst_applied());
}
