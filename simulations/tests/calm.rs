//! Nobody who lives is held dead, whatever share of the datagrams is lost. `make calm` watches for longer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use meshsim::latency::Latency;
use meshsim::measure::{Job, Measure, Mode, Setting, play};

/// The deaths that were seen, and the node-hours that were watched.
fn deaths(nodes: usize, loss: f64, mode: Mode, seeds: u64) -> (f64, f64) {
    let setting = |seed| Setting { nodes, loss, mode, latency: Latency::LAN, seed };
    let jobs: Vec<Job> =
        (1..=seeds).map(|seed| Job { measure: Measure::Calm, setting: setting(seed) }).collect();
    let findings = play(&jobs, 2).unwrap();
    assert_eq!(findings.len(), 1);
    (findings[0].sum(), findings[0].hours)
}

#[test]
fn no_living_node_is_held_dead_while_datagrams_are_lost() {
    for loss in [0.05, 0.1, 0.25] {
        let (deaths, hours) = deaths(16, loss, Mode::Witness, 2);
        assert!(deaths == 0.0 && hours >= 8.0, "{deaths} deaths in {hours} node-hours at {loss}");
    }
}

#[test]
fn plain_swim_shows_that_a_false_death_would_be_seen() {
    let (deaths, _) = deaths(8, 0.5, Mode::Swim, 1);
    assert!(deaths > 0.0);
}
