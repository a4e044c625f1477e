//! Thresholds, jitter, one check at a time, and what survives a change of the configuration.

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::health::HealthState;
use super::schedule::RESULT_WITHIN;
use super::*;
use crate::manifest::Health::{Degraded, Healthy, Unhealthy, Unknown};
use crate::time::Instant;

fn name(text: &str) -> ServiceName {
    text.parse().expect("a service name")
}

fn target(text: &str) -> Target {
    Target {
        name: name(text),
        port: 8102,
        version: "1.0.0".to_owned(),
        weight: 1,
        tags: Vec::new(),
        protocol: Protocol::Http1,
        timeouts: Timeouts::default(),
        max_in_flight: 0,
        host: HostPolicy::Preserve,
        interval: Duration::from_secs(5),
        rise: 2,
        fall: 3,
        checked: true,
    }
}

fn outcome(health: Health) -> Outcome {
    Outcome { health, refused: false, version: None, detail: String::new() }
}

fn prober(seed: u64, targets: Vec<Target>) -> Prober {
    let mut prober = Prober::new(ChaCha8Rng::seed_from_u64(seed));
    prober.set_targets(targets, Instant::ORIGIN);
    prober
}

/// Jumps to the next deadline and returns what came out there.
fn step(prober: &mut Prober) -> (Instant, Vec<Output>) {
    let now = prober.poll_timeout().expect("something is due");
    prober.handle_timeout(now);
    (now, drain(prober))
}

fn drain(prober: &mut Prober) -> Vec<Output> {
    std::iter::from_fn(|| prober.poll_output()).collect()
}

fn health(prober: &Prober) -> Health {
    prober.services()[0].health
}

/// Feeds results to one service, each after its own check, and returns the health after each.
fn after_each(prober: &mut Prober, results: &[Health]) -> Vec<Health> {
    let one = |result: &Health| {
        assert_eq!(step(prober).1, [Output::Check(name("rag"))]);
        prober.handle_checked(&name("rag"), outcome(*result));
        drain(prober);
        health(prober)
    };
    results.iter().map(one).collect()
}

#[test]
fn the_first_result_counts_alone_and_later_ones_need_company() {
    let mut prober = prober(1, vec![target("rag")]);
    assert_eq!(health(&prober), Unknown);
    let results = [Healthy, Unhealthy, Unhealthy, Unhealthy, Healthy, Healthy];
    let expected = [Healthy, Healthy, Healthy, Unhealthy, Unhealthy, Healthy];
    assert_eq!(after_each(&mut prober, &results), expected);
}

#[test]
fn results_beyond_the_new_level_count_for_it() {
    let mut prober = prober(1, vec![target("rag")]);
    let results = [Healthy, Unhealthy, Degraded, Unhealthy, Unhealthy, Unhealthy];
    let expected = [Healthy, Healthy, Healthy, Degraded, Degraded, Unhealthy];
    assert_eq!(after_each(&mut prober, &results), expected);
    assert_eq!(after_each(&mut prober, &[Degraded, Healthy, Healthy]), [Unhealthy, Degraded, Healthy]);
}

#[test]
fn a_flapping_service_keeps_its_health() {
    let mut prober = prober(1, vec![target("rag")]);
    let flapping: Vec<Health> = [Healthy, Unhealthy, Unhealthy].repeat(20);
    assert!(after_each(&mut prober, &flapping).iter().all(|health| *health == Healthy));
}

#[test]
fn a_refused_connection_is_unhealthy_at_once_and_recovers_by_rise() {
    let mut prober = prober(1, vec![target("rag")]);
    after_each(&mut prober, &[Healthy]);
    prober.handle_refused(&name("rag"));
    let changed = Output::Changed { service: name("rag"), health: Unhealthy, version: "1.0.0".to_owned() };
    assert_eq!(drain(&mut prober), [changed]);
    assert_eq!(after_each(&mut prober, &[Healthy, Healthy]), [Unhealthy, Healthy]);
    step(&mut prober);
    prober.handle_checked(&name("rag"), Outcome { refused: true, ..outcome(Unhealthy) });
    assert_eq!(health(&prober), Unhealthy);
}

#[test]
fn the_version_is_that_of_the_answer_else_the_configured_one() {
    let mut prober = prober(1, vec![target("rag")]);
    let mut check = |outcome: Outcome| {
        step(&mut prober);
        prober.handle_checked(&name("rag"), outcome);
        drain(&mut prober);
        prober.services()[0].version.clone()
    };
    assert_eq!(check(Outcome { version: Some("2.0.0".to_owned()), ..outcome(Healthy) }), "2.0.0");
    assert_eq!(check(outcome(Unhealthy)), "2.0.0", "a failure tells nothing about the version");
    assert_eq!(check(outcome(Healthy)), "1.0.0");
}

#[test]
fn a_service_without_checks_is_healthy_and_never_checked() {
    let mut prober = prober(1, vec![Target { checked: false, ..target("rag") }]);
    assert_eq!(drain(&mut prober).len(), 1);
    assert_eq!((health(&prober), prober.poll_timeout()), (Healthy, None));
    prober.handle_refused(&name("rag"));
    assert_eq!(health(&prober), Healthy, "nothing would ever bring it back");
}

#[test]
fn checks_begin_soon_are_jittered_and_never_overlap() {
    let mut prober = prober(7, vec![target("rag")]);
    let (mut last, _) = step(&mut prober);
    assert!(last < Instant::ORIGIN + Duration::from_millis(100));
    let mut gaps = Vec::new();
    for _ in 0..50 {
        prober.handle_checked(&name("rag"), outcome(Healthy));
        drain(&mut prober);
        let (now, outputs) = step(&mut prober);
        assert_eq!(outputs, [Output::Check(name("rag"))]);
        gaps.push(now.since(last).as_secs_f64());
        last = now;
    }
    assert!(gaps.iter().all(|gap| (4.5..=5.5).contains(gap)), "{gaps:?}");
    let spread = gaps.iter().copied().fold(0.0, f64::max) - gaps.iter().copied().fold(9.0, f64::min);
    assert!(spread > 0.5, "no jitter: {gaps:?}");
    prober.handle_timeout(last + Duration::from_secs(60));
    assert_eq!(drain(&mut prober), [], "a second check began while the first one ran");
}

#[test]
fn a_check_whose_result_never_comes_has_failed() {
    let mut prober = prober(1, vec![target("rag")]);
    let (started, _) = step(&mut prober);
    let (lost, outputs) = step(&mut prober);
    assert_eq!(lost.since(started), RESULT_WITHIN);
    let changed = Output::Changed { service: name("rag"), health: Unhealthy, version: "1.0.0".to_owned() };
    assert_eq!(outputs, [changed]);
    prober.handle_checked(&name("rag"), outcome(Healthy));
    assert_eq!(health(&prober), Unhealthy, "a result came twice");
    assert_eq!(step(&mut prober).1, [Output::Check(name("rag"))]);
}

#[test]
fn new_labels_keep_the_health_and_a_new_port_loses_it() {
    let mut prober = prober(1, vec![target("rag"), target("up")]);
    let both = |prober: &mut Prober| prober.services().iter().map(|s| s.health).collect::<Vec<_>>();
    for _ in 0..2 {
        step(&mut prober);
    }
    prober.handle_checked(&name("rag"), outcome(Healthy));
    prober.handle_checked(&name("up"), outcome(Healthy));
    drain(&mut prober);
    let now = Instant::ORIGIN + Duration::from_secs(1);
    prober.set_targets(vec![Target { weight: 9, ..target("rag") }, Target { port: 1, ..target("up") }], now);
    assert_eq!(both(&mut prober), [Healthy, Unknown]);
    assert_eq!(prober.services()[0].weight, 9);
    prober.set_targets(vec![target("rag")], now);
    assert_eq!(both(&mut prober), [Healthy]);
    assert_eq!(drain(&mut prober), [], "a service that is gone still says something");
}

#[test]
fn the_result_of_a_check_of_the_former_port_does_not_count() {
    let mut prober = prober(1, vec![target("rag")]);
    let (now, _) = step(&mut prober);
    prober.set_targets(vec![Target { port: 1, ..target("rag") }], now);
    prober.handle_checked(&name("rag"), outcome(Healthy));
    assert_eq!(health(&prober), Unknown);
    assert_eq!(after_each(&mut prober, &[Degraded]), [Degraded]);
}

#[test]
fn a_shorter_interval_holds_at_once() {
    let mut prober = prober(1, vec![Target { interval: Duration::from_secs(3600), ..target("rag") }]);
    after_each(&mut prober, &[Healthy]);
    let now = Instant::ORIGIN + Duration::from_secs(1);
    prober.set_targets(vec![target("rag")], now);
    assert!(prober.poll_timeout() <= Some(now + Duration::from_secs(5)));
}

#[test]
fn the_same_seed_gives_the_same_schedule() {
    let times = |seed| {
        let mut prober = prober(seed, vec![target("rag"), target("up")]);
        (0..20).map(|_| step(&mut prober).0).collect::<Vec<_>>()
    };
    assert_eq!(times(3), times(3));
    assert_ne!(times(3), times(4));
}

fn level() -> impl Strategy<Value = Option<Health>> {
    prop_oneof![Just(None), Just(Some(Unhealthy)), Just(Some(Degraded)), Just(Some(Healthy))]
}

proptest! {
    /// `None` stands for a refused connection.
    #[test]
    fn health_changes_only_with_enough_results_in_a_row(
        results in prop::collection::vec(level(), 1..60),
        rise in 1u32..5,
        fall in 1u32..5,
    ) {
        let mut state = HealthState::default();
        let mut seen: Vec<Health> = Vec::new();
        for result in results {
            let before = state.health();
            match result {
                Some(level) => state.apply(level, rise, fall),
                None => state.refuse(),
            }
            seen.push(result.unwrap_or(Unhealthy));
            let after = state.health();
            let last = |n: u32| seen.iter().rev().take(n as usize);
            if result.is_none() {
                prop_assert_eq!(after, Unhealthy);
            } else if before == Unknown {
                prop_assert_eq!(Some(after), result);
            } else if after < before {
                prop_assert!(seen.len() >= fall as usize && last(fall).all(|level| *level <= after));
            } else if after > before {
                prop_assert!(seen.len() >= rise as usize && last(rise).all(|level| *level >= after));
            } else {
                // And it does change when it has to.
                prop_assert!(seen.len() < fall as usize || last(fall).any(|level| *level >= before));
                prop_assert!(seen.len() < rise as usize || last(rise).any(|level| *level <= before));
            }
        }
    }
}
