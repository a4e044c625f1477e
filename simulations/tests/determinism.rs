//! The same seed gives the same trace in another process, and another seed another one.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

use meshnode::mesh::Detector;
use meshnode::time::Instant;
use meshsim::checkers::{Kind, Violation};
use meshsim::explore::{Findings, Search};
use meshsim::scenario::Scenario;
use meshsim::trace::Trace;

/// The trace's hash and number of lines, as printed by a process of its own.
fn trace_of(scenario: &str, seed: &str) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_meshsim"))
        .args([
            "run", scenario, "--nodes", "8", "--for", "40s", "--hold", "5s", "--loss", "0.05", "--seed", seed,
        ])
        .output()
        .unwrap();
    let stdout = String::from_utf8(run.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{stdout}{stderr}");
    stdout.lines().find(|line| line.starts_with("trace: ")).expect("no trace line").to_owned()
}

#[test]
fn two_processes_print_the_same_hash_for_the_same_seed_and_another_for_another() {
    let first = trace_of("crash", "7");
    assert_eq!(first, trace_of("crash", "7"));
    assert_ne!(first, trace_of("crash", "8"));
}

#[test]
fn the_printed_line_replays_the_run() {
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_meshsim")).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let first = run(&["run", "steady", "--nodes", "4", "--for", "10s", "--hold", "2s", "--seed", "3"]);
    let replay: Vec<&str> = first.lines().next().unwrap().split(' ').skip(1).collect();
    assert_eq!(first, run(&replay));
}

#[test]
fn a_violation_has_an_exit_code_and_a_line_to_replay_it() {
    // Nobody can settle in no time: the last nodes have only just been switched on.
    let run = Command::new(env!("CARGO_BIN_EXE_meshsim"))
        .args(["run", "steady", "--nodes", "4", "--for", "1ms", "--settle", "0s"])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(10));
    let stderr = String::from_utf8(run.stderr).unwrap();
    assert!(stderr.contains("replay: meshsim run steady --nodes 4 --seed 1 --for 1ms"), "{stderr}");
}

#[test]
fn a_wrong_option_is_named_with_what_is_accepted() {
    for (args, accepted) in [
        (["run", "sunny", "--nodes", "4"], "accepted are the path of a file, and steady, bootstrap"),
        (["run", "steady", "--loss", "2"], "a number from 0 to 1"),
        (["run", "steady", "--for", "soon"], "accepted are a number and ns"),
    ] {
        let run = Command::new(env!("CARGO_BIN_EXE_meshsim")).args(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.code() == Some(2) && stderr.contains(accepted), "{args:?}: {stderr}");
    }
}

fn explored(threads: usize) -> (Search, Findings) {
    let search = Search { first: 5, seeds: 6, nodes: (2, 4), mode: Detector::Witness, threads };
    let findings = search.run();
    (search, findings)
}

#[test]
fn a_search_finds_the_same_on_any_number_of_threads() {
    let (_, one) = explored(1);
    let (search, two) = explored(2);
    assert_eq!((one.failures, one.node_hours.to_bits()), (two.failures.clone(), two.node_hours.to_bits()));
    assert_eq!(two.failures, [], "{search:?}");
}

#[test]
fn a_schedule_that_was_written_is_the_one_that_was_played() {
    let (search, _) = explored(1);
    // Nothing fails like this, so nothing is left out.
    let violation = Violation { kind: Kind::Budget, at: Instant::ORIGIN, text: "as a test".to_owned() };
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let written = search.shrink(&[(9, violation)], folder).unwrap();
    let (_, path, _) = &written[0];
    let drawn = meshsim::explore::draw::schedule(9, (2, 4), Detector::Witness);
    let read = Scenario::load(path.to_str().unwrap()).unwrap();
    let hash = |scenario: &Scenario| {
        let outcome = scenario.play(scenario.options(scenario.nodes(), 9), Trace::default());
        outcome.cluster.trace().hash()
    };
    assert_eq!(hash(&drawn), hash(&read));
    let args = ["run", "--seed", "9", "--json", path.to_str().unwrap()];
    let output = Command::new(env!("CARGO_BIN_EXE_meshsim")).args(args).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (report["trace"]["hash"].as_str(), report["seed"].as_u64()),
        (Some(hash(&drawn).as_str()), Some(9))
    );
}
