//! Runs that once failed, and why.

#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

use meshnode::time::Duration;
use meshsim::options::Options;
use meshsim::scenario::Scenario;
use meshsim::trace::Trace;

#[track_caller]
fn ends_well(name: &str, nodes: usize, seed: u64, loss: f64) {
    let scenario = Scenario::load(name).expect("no such scenario");
    let mut options = Options { settle: Duration::from_secs(90), ..scenario.options(nodes, seed) };
    options.network.loss = loss;
    let replay = format!("meshsim run {name} {options} --trace -");
    let outcome = scenario.play(options, Trace::default());
    assert!(outcome.settled.is_ok(), "{outcome}\nreplay: {replay}");
}

/// Schedules that `explore` found and shrunk; what went wrong is in their `about`, their seed in the first line.
#[test]
fn the_schedules_that_were_found_end_well() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/regressions");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("no folder").map(|e| e.expect("gone").path()).collect();
    paths.sort();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("unreadable");
        let seed = text.lines().next().and_then(|line| line.strip_prefix("# seed = ")).expect("no seed");
        let seed = seed.parse().expect("not a seed");
        let name = path.display().to_string();
        let scenario = Scenario::load(&name).expect("not a scenario");
        let outcome = scenario.play(scenario.options(scenario.nodes(), seed), Trace::default());
        assert!(outcome.settled.is_ok(), "{outcome}\nreplay: meshsim run {name} --seed {seed} --trace -");
    }
}

/// The seed lost its disk and its clock was slow. Those who held it dead at its old epoch dropped all it said, and
/// never told it why.
#[test]
fn a_seed_at_a_lower_epoch_is_not_ignored_for_ever() {
    ends_well("chaos", 3, 60, 0.0);
}
