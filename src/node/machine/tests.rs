//! The figures of this machine, and what they cost.

use super::*;
use crate::clock::Clock;
use crate::time::Duration;

#[test]
fn the_tier_follows_from_the_capabilities() {
    let machine = |cpu_cores, gib: u64, gpus: usize| Capabilities {
        cpu_cores,
        memory_bytes: gib * GIB,
        gpus: vec![Gpu::default(); gpus],
        ..Capabilities::default()
    };
    assert_eq!(tier(&machine(1, 1, 1)), 1);
    assert_eq!(tier(&machine(4, 8, 0)), 2);
    assert_eq!(tier(&machine(3, 64, 0)), 3);
    assert_eq!(tier(&machine(64, 7, 0)), 3);
    assert_eq!(tier(&Capabilities { memory_bytes: 8 * GIB - GIB / 2, ..machine(4, 0, 0) }), 2);
}

#[test]
fn this_machine_has_cores_and_memory() {
    let capabilities = Machine::new().capabilities();
    assert!(capabilities.cpu_cores >= 1 && capabilities.memory_bytes > 64 << 20, "{capabilities:?}");
    assert_eq!(capabilities.os, std::env::consts::OS);
}

#[test]
fn a_sample_is_within_bounds_and_cheap() {
    let mut machine = Machine::new();
    let clock = Clock::start();
    let load = (0..20).map(|_| machine.sample(7)).last().expect("sampled");
    let each = clock.now().as_nanos() / 20;
    assert!((0.0..=1.0).contains(&load.busy) && load.available_memory > 0, "{load:?}");
    assert_eq!(load.in_flight, 7);
    // Sampled every few seconds, it may cost 1 ms a second; this leaves room for a busy test machine.
    assert!(each < u64::try_from(Duration::from_millis(5).as_nanos()).expect("small"), "{each} ns");
}
