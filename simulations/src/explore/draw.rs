//! A schedule of faults drawn from a seed; all that it does is said by index, so that it can be shrunk.

use meshnode::mesh::Detector;
use meshnode::time::Duration;
use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::cluster::Restart;
use crate::options::{Options, Stream, generator};
use crate::scenario::{Action, Scenario, Step, Usual, Way, Who};

/// The shortest and the longest safety phase, in seconds.
const SECONDS: std::ops::RangeInclusive<u64> = 40..=180;

/// The fewest and the most faults.
const FAULTS: std::ops::RangeInclusive<usize> = 1..=14;

/// The hold-down of the elections: shorter than usual, so that there are more of them.
const HOLD: Duration = Duration::from_secs(5);

/// Shares of lost datagrams, most of them none.
const LOSSES: [f64; 8] = [0.0, 0.0, 0.0, 0.01, 0.03, 0.05, 0.1, 0.25];

/// The schedule of a seed, for a mesh of so many nodes at the least and the most.
pub fn schedule(seed: u64, nodes: (usize, usize), mode: Detector) -> Scenario {
    let mut rng = generator(seed, Stream::Schedule);
    let count = rng.random_range(nodes.0..=nodes.1);
    let seconds = rng.random_range(SECONDS);
    let drawn = Options::draw(count, seed);
    let faults = rng.random_range(FAULTS);
    let mut at: Vec<u64> = (0..faults).map(|_| rng.random_range(2_000..seconds * 1_000 - 1_000)).collect();
    at.sort_unstable();
    let mut steps: Vec<Step> =
        at.into_iter().map(|at| Step::once(Duration::from_millis(at), action(&mut rng, count))).collect();
    // Without its seed a newcomer would stay alone, and rightly so.
    steps.push(Step::once(Duration::from_secs(seconds - 1), Action::Start(Who::These(vec![0]))));
    let usual = Usual {
        nodes: Some(count),
        duration: Some(Duration::from_secs(seconds)),
        settle: Some(Duration::from_secs(120)),
        hold: Some(HOLD),
        loss: Some(LOSSES[rng.random_range(0..LOSSES.len())]),
        duplicate: Some(drawn.network.duplicate),
        reorder: Some(drawn.network.reorder),
        latency: Some(drawn.network.latency),
        mode: Some(mode),
        ..Usual::default()
    };
    Scenario { name: format!("explore-{seed}"), about: format!("drawn from seed {seed}"), usual, steps }
}

fn action(rng: &mut ChaCha8Rng, nodes: usize) -> Action {
    let seconds =
        |rng: &mut ChaCha8Rng, most: u64| Duration::from_millis(rng.random_range(500..most * 1_000));
    match rng.random_range(0..28) {
        0 | 1 => Action::Crash(some(rng, nodes)),
        2 => Action::Crash(Who::Leader),
        3 | 4 => Action::LoseHost(some(rng, nodes)),
        5 | 6 => Action::Restart(some(rng, nodes), Restart::DiskKept),
        7 => Action::Restart(some(rng, nodes), Restart::DiskLost),
        // The first seed does not leave: as it goes it could not be started, and joiners would rightly stay alone.
        8 => Action::Leave(Who::These(few(rng, nodes, 2).into_iter().filter(|&node| node != 0).collect())),
        9 => Action::Pause(some(rng, nodes), seconds(rng, 30)),
        10 => Action::Suspend(some(rng, nodes), seconds(rng, 60)),
        11 => Action::Starve {
            who: some(rng, nodes),
            frozen: Duration::from_millis(rng.random_range(200..5_000)),
            period: Duration::from_secs(6),
            span: seconds(rng, 60),
        },
        12 => Action::Slow(some(rng, nodes), Duration::from_millis(rng.random_range(0..100))),
        13 | 14 => Action::Part(parts(rng, nodes)),
        15 => Action::Cut(few(rng, nodes, 2)),
        16 => Action::Lose(Some(some(rng, nodes)), Way::Out, 0.8),
        17 => Action::Lose(Some(some(rng, nodes)), Way::In, 0.8),
        18 => Action::ResetLinks(some(rng, nodes)),
        19 => Action::Join(1),
        20 => Action::Start(Who::Off),
        21 => Action::Mute(one(rng, nodes)),
        22 => Action::Deafen(one(rng, nodes)),
        // It takes a third one to see two with one key.
        23 if nodes > 2 => Action::Clone(one(rng, nodes)),
        24 => Action::Service(some(rng, nodes), rng.random_bool(0.5)),
        25 => Action::Skew(some(rng, nodes), rng.random_range(-7_200..7_200)),
        _ => Action::Heal,
    }
}

fn one(rng: &mut ChaCha8Rng, nodes: usize) -> Who {
    Who::These(few(rng, nodes, 1))
}

/// One, two or three nodes.
fn some(rng: &mut ChaCha8Rng, nodes: usize) -> Who {
    let count = rng.random_range(1..=nodes.min(3));
    Who::These(few(rng, nodes, count))
}

fn few(rng: &mut ChaCha8Rng, nodes: usize, count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..nodes).collect();
    all.shuffle(rng);
    all.truncate(count);
    all
}

fn parts(rng: &mut ChaCha8Rng, nodes: usize) -> Vec<Vec<usize>> {
    let mut parts = vec![Vec::new(); rng.random_range(2..=3)];
    for node in 0..nodes {
        let part = rng.random_range(0..parts.len());
        parts[part].push(node);
    }
    parts
}
