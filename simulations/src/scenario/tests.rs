//! Scenario files: what they must look like, and that the built-in ones do.

use std::collections::BTreeSet;

use meshnode::time::Duration;

use super::{Action, FILES, Scenario, Who};

#[test]
fn every_file_of_the_folder_is_built_in_and_reads_back_as_it_was_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
        .collect();
    assert_eq!(files, Scenario::names().map(str::to_owned).collect());
    for (name, text) in FILES {
        let scenario = Scenario::parse(name, text).unwrap_or_else(|error| panic!("{error}"));
        assert!(!scenario.about.is_empty(), "{name} says what happens");
        let again = Scenario::parse(name, &scenario.to_toml().unwrap()).unwrap();
        assert_eq!(scenario, again, "{name}");
    }
}

#[test]
fn a_wrong_file_is_refused_with_its_key_its_value_and_what_is_accepted() {
    for (text, parts) in [
        ("nodes = \"many\"", ["nodes", "many", "usize"]),
        ("loss = 7", ["loss", "7", "a number from 0 to 1"]),
        ("sorrow = 1", ["sorrow", "unknown field", "stagger"]),
        ("[[step]]\nat = \"soon\"\ndo = \"heal\"", ["at", "soon", "accepted are a number and ns"]),
        ("[[step]]\nat = \"1s\"\ndo = \"panic\"", ["do", "panic", "host-loss"]),
        ("[[step]]\nat = \"1s\"\ndo = \"crash\"\nwho = \"bob\"", ["who", "bob", "leader"]),
        ("[[step]]\nat = \"1s\"\ndo = \"crash\"", ["step 1 (crash)", "'who' is missing", "at, do, who"]),
        ("[[step]]\nat = \"1s\"\ndo = \"heal\"\nparts = 2", ["(heal)", "'parts' means nothing", "at, do"]),
        ("[[step]]\nat = \"1s\"\ndo = \"heal\"\ntimes = 2", ["(heal)", "'times' needs 'every'", "[every]"]),
        ("latency = \"slow\"", ["latency", "slow", "MEDIAN~SIGMA"]),
        ("mode = \"paxos\"", ["mode", "paxos", "lifeguard"]),
    ] {
        let error = Scenario::parse("mine.toml", text).expect_err(text).to_string();
        assert!(error.starts_with("mine.toml: "), "{error}");
        assert!(parts.iter().all(|part| error.contains(part)), "{text} gave: {error}");
    }
}

#[test]
fn repeated_steps_are_played_in_the_order_of_time() {
    let text = r#"
        [[step]]
        at = "10s"
        do = "crash"
        who = [3]
        times = 2
        every = "20s"
        [[step]]
        at = "15s"
        do = "start"
        who = "same"
        times = 2
        every = "20s"
    "#;
    let scenario = Scenario::parse("mine.toml", text).unwrap();
    let seconds: Vec<(u64, bool)> = scenario
        .schedule()
        .into_iter()
        .map(|(at, action)| (at.as_secs(), *action == Action::Crash(Who::These(vec![3]))))
        .collect();
    assert_eq!(seconds, [(10, true), (15, false), (30, true), (35, false)]);
    assert_eq!(scenario.steps[1].every, Duration::from_secs(20));
}
