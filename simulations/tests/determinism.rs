//! The same seed gives the same trace in another process, and another seed another one.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

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
