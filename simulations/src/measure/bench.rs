//! `meshsim bench`: the figures by which a release is judged, in one table.

use std::io;

use super::finding::{Finding, Unit};
use super::{Job, Measure, Mode, Setting, calm, jobs, table};
use crate::checkers::Violation;
use crate::latency::Latency;

/// Play all measures as a release is judged by them, and print figure, floor and goal, with the earlier detectors beside.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchArgs {
    /// 100,000 node-hours for each share of losses, in place of 100; for a night.
    #[arg(long)]
    long: bool,
    /// Runs at the same time; the largest ones are alone anyway.
    #[arg(long, default_value_t = jobs::cores())]
    threads: usize,
    /// A JSON object a line, for scripts.
    #[arg(long)]
    json: bool,
}

/// A few settings of one measure.
struct Part {
    measure: Measure,
    nodes: &'static [usize],
    loss: &'static [f64],
    modes: &'static [Mode],
    runs: Runs,
}

/// How often each setting is played.
enum Runs {
    Seeds(u64),
    Hours(f64),
}

/// Runs of so many nodes have the memory for themselves.
const LARGE: usize = 5_000;

const ALL: &[Mode] = &Mode::ALL;
const WITNESS: &[Mode] = &[Mode::Witness];
const EARLIER: &[Mode] = &[Mode::Swim, Mode::Lifeguard];

/// Shares of the datagrams that are lost.
const NONE: &[f64] = &[0.0];
const LOSSES: &[f64] = &[0.05, 0.1, 0.25];

/// One after the other: its time and memory are measured.
const ALONE: Part = part(Measure::Speed, &[10_000], NONE, WITNESS, Runs::Seeds(1));

const SHORT: &[Part] = &[
    part(Measure::Host, &[10], NONE, ALL, Runs::Seeds(100)),
    part(Measure::Host, &[32, 100], &[0.0, 0.05, 0.1, 0.25], ALL, Runs::Seeds(50)),
    part(Measure::Host, &[1_000], &[0.0, 0.25], ALL, Runs::Seeds(3)),
    part(Measure::Host, &[10_000], NONE, ALL, Runs::Seeds(1)),
    part(Measure::Process, &[32], NONE, ALL, Runs::Seeds(100)),
    part(Measure::Process, &[1_000], NONE, ALL, Runs::Seeds(2)),
    part(Measure::News, &[100, 1_000], NONE, WITNESS, Runs::Seeds(3)),
    part(Measure::News, &[10_000], NONE, WITNESS, Runs::Seeds(1)),
    part(Measure::Pause, &[32, 100], NONE, ALL, Runs::Seeds(50)),
    part(Measure::Calm, &[100], LOSSES, EARLIER, Runs::Hours(50.0)),
    part(Measure::Deaf, &[300], NONE, ALL, Runs::Seeds(3)),
    part(Measure::Mute, &[300], NONE, ALL, Runs::Seeds(3)),
    part(Measure::Lossy, &[300], NONE, ALL, Runs::Seeds(3)),
    part(Measure::Starved, &[100], NONE, ALL, Runs::Seeds(20)),
    part(Measure::Idle, &[100, 1_000, 10_000], NONE, WITNESS, Runs::Seeds(1)),
    part(Measure::Idle, &[100, 1_000], NONE, EARLIER, Runs::Seeds(1)),
    part(Measure::Bootstrap, &[100], NONE, WITNESS, Runs::Seeds(5)),
    part(Measure::Bootstrap, &[2_000], NONE, WITNESS, Runs::Seeds(1)),
];

const fn part(
    measure: Measure,
    nodes: &'static [usize],
    loss: &'static [f64],
    modes: &'static [Mode],
    runs: Runs,
) -> Part {
    Part { measure, nodes, loss, modes, runs }
}

impl Part {
    fn jobs(&self) -> impl Iterator<Item = Job> {
        self.nodes.iter().flat_map(move |&nodes| {
            let seeds = match self.runs {
                Runs::Seeds(seeds) => seeds,
                Runs::Hours(hours) => calm::runs(nodes, hours),
            };
            let settings =
                self.loss.iter().flat_map(|&loss| self.modes.iter().map(move |&mode| (loss, mode)));
            settings.flat_map(move |(loss, mode)| {
                let setting = move |seed| Setting { nodes, loss, mode, latency: Latency::LAN, seed };
                (1..=seeds).map(move |seed| Job { measure: self.measure, setting: setting(seed) })
            })
        })
    }
}

impl BenchArgs {
    /// Measures and prints; a run that breaks a bound ends it.
    pub fn run(&self) -> io::Result<Result<(), Violation>> {
        let findings = match self.measure() {
            Ok(findings) => findings,
            Err(violation) => return Ok(Err(violation)),
        };
        table::print(&findings, ALL, self.json, &mut io::stdout().lock())?;
        Ok(Ok(()))
    }

    fn measure(&self) -> Result<Vec<Finding>, Violation> {
        let hours = if self.long { 100_000.0 } else { 100.0 };
        let calm = part(Measure::Calm, &[100], LOSSES, WITNESS, Runs::Hours(hours));
        // The most memory that this process ever had is this run's only while nothing ran before it.
        let mut findings = super::play(&ALONE.jobs().collect::<Vec<_>>(), 1)?;
        let jobs = SHORT.iter().chain([&calm]).flat_map(Part::jobs);
        let (large, small): (Vec<Job>, Vec<Job>) = jobs.partition(|job| job.setting.nodes >= LARGE);
        findings.extend(super::play(&small, self.threads)?);
        findings.extend(super::play(&large, 1)?);
        findings.extend(growth(&findings));
        Ok(findings)
    }
}

/// How many times more bytes an idle node sends in the largest mesh than in the smallest.
fn growth(findings: &[Finding]) -> Vec<Finding> {
    let of = |mode: &Mode| {
        let idle = || findings.iter().filter(|one| one.measure == "idle: bytes sent" && one.mode == *mode);
        let (small, large) = (idle().min_by_key(|one| one.nodes)?, idle().max_by_key(|one| one.nodes)?);
        let ratio = large.mean()? / small.mean()?;
        let finding = Finding {
            measure: "idle: growth from the smallest mesh",
            unit: Unit::Mean(""),
            values: Vec::new(),
            ..large.clone()
        };
        Some(finding.with([ratio]))
    };
    Mode::ALL.iter().filter_map(of).collect()
}
