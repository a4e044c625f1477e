//! The simulated mesh: picks by what an entry sees must be as good as picks by what is true.

use super::fixture::*;
use super::simulation::{Policy, Simulation};

/// The 99th percentile of the response times may be at most so many times what two random choices with perfect
/// information have. Returns the share of the requests that went far.
fn check(name: &str, most: f64, simulation: Simulation) -> f64 {
    let shipped = simulation.run(Policy::Shipped);
    let perfect = simulation.run(Policy::Perfect);
    let (p99, best) = (shipped.percentile(99), perfect.percentile(99));
    println!(
        "{name}: p50 {:.3} s and {:.3} s, p99 {p99:.3} s and {best:.3} s: {:.2}",
        shipped.percentile(50),
        perfect.percentile(50),
        p99 / best
    );
    assert_eq!(shipped.lost, 0, "{name}");
    assert!(p99 <= best * most, "{name}: {p99:.3} s, with perfect information {best:.3} s");
    shipped.far as f64 / shipped.count() as f64
}

#[test]
fn picks_are_as_good_as_with_perfect_information() {
    let usual = Simulation::default();
    check("alike, 5 entries", 1.1, usual);
    check("alike, 20 entries", 1.1, Simulation { entries: 20, ..usual });
    check("alike, 1 entry", 1.1, Simulation { entries: 1, ..usual });
}

#[test]
fn slow_instances_are_noticed() {
    let slow = Simulation { slow: 2, ..Simulation::default() };
    check("2 of 10 slow, 5 entries", 1.1, slow);
    check("2 of 10 slow, 20 entries", 1.1, Simulation { entries: 20, load: 0.8, ..slow });
}

#[test]
fn an_instance_that_breaks_requests_costs_the_others_little() {
    let broken = Some((at(15.0), at(25.0)));
    check("one breaks, 5 entries", 1.1, Simulation { broken, ..Simulation::default() });
    check("one breaks, 20 entries", 1.1, Simulation { broken, entries: 20, ..Simulation::default() });
}

#[test]
fn a_few_heavy_requests_do_not_confuse() {
    check("one in ten is 10 times heavier", 1.1, Simulation { heavy: 10.0, ..Simulation::default() });
}

#[test]
fn the_near_zone_is_preferred_and_relieved_when_it_is_full() {
    let zones = Simulation { mean: ms(40), far: 5, far_rtt: ms(80), ..Simulation::default() };
    for (load, far, most_far) in [(0.2, 5, 0.2), (0.8, 5, 0.45), (0.8, 2, 0.12)] {
        let zones = Simulation { load, far, ..zones };
        let share = check(&format!("{far} of 10 far, load {load}"), 1.1, zones);
        assert!(share < most_far, "{far} far, load {load}: {share:.2} of the requests go there");
    }
}

#[test]
fn the_least_loaded_by_gossip_is_far_worse() {
    let simulation = Simulation::default();
    let [least, perfect] =
        [Policy::LeastByGossip, Policy::Perfect].map(|policy| simulation.run(policy).percentile(99));
    assert!(least > perfect * 3.0, "least by gossip {least:.3} s, perfect {perfect:.3} s");
}
