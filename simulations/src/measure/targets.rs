//! What the figures should be: the goal, the floor below which a release is not one, and what peers need.

/// One measure's target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    measure: &'static str,
    /// What memberlist, Serf or Rapid need, as far as it is published.
    pub(super) peer: &'static str,
    /// At least this.
    pub(super) floor: &'static str,
    /// Better this.
    pub(super) goal: &'static str,
}

const fn target(
    measure: &'static str,
    peer: &'static str,
    floor: &'static str,
    goal: &'static str,
) -> Target {
    Target { measure, peer, floor, goal }
}

const TARGETS: &[Target] = &[
    target(
        "silent host: all know",
        "memberlist: at least 12 s at 1,000, 16 s at 10,000",
        "5 s / 8 s",
        "2.8 s / 4 s",
    ),
    target("killed process: all know", "", "1 s", "0.3 s"),
    target("news: 99.9 % know", "about 2 s at 10,000", "1.5 s", "1 s"),
    target("bootstrap: all know all", "2,000: memberlist 95 s, Rapid 41 to 48 s", "20 s", "10 s"),
    target("stopped process: unroutable everywhere", "none has it", "4 s", "2 s"),
    target("stopped process: dead everywhere", "Serf: about 9 s", "20 s", "13 s"),
    target("false deaths", "none published", "0 in 1,000 h", "0 in 100,000 h"),
    target("10 % starved: deaths of the healthy", "Lifeguard: 50 to 100 times fewer than SWIM", "0", "0"),
    target("1 % deaf: routed around", "memberlist: oscillates for ever", "10 s", "5 s"),
    target("1 % mute: routed around", "memberlist: oscillates for ever", "10 s", "5 s"),
    target("1 % lossy: routed around", "memberlist: oscillates for ever", "10 s", "5 s"),
    target("1 % deaf: deaths of the others", "", "0", "0"),
    target("1 % mute: deaths of the others", "", "0", "0"),
    target("1 % lossy: deaths of the others", "", "0", "0"),
    target(
        "idle: growth from the smallest mesh",
        "memberlist: push/pull, 13 to 78 KB/s at 10,000",
        "1.5",
        "1.2",
    ),
    target("simulator: 60 s with 10 crashes", "none does 10,000", "600 s", "60 s"),
    target("simulator: peak memory", "", "16,384 MiB", "6,144 MiB"),
];

/// The target of a measure, if it has one.
pub(super) fn of(measure: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.measure == measure)
}
