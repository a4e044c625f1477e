//! `meshsim measure`: which measures, under which settings, and how the findings are shown.

use std::fs;
use std::io;
use std::path::PathBuf;

use meshnode::time::Instant;

use super::{Finding, Job, Measure, Mode, Setting, Unit, calm, figure, jobs, table};
use crate::checkers::{Kind, Violation};
use crate::latency::Latency;

/// Measure the mesh: times, false deaths and bytes, as a table with goals and with the earlier detectors beside it.
#[derive(Debug, Clone, clap::Args)]
pub struct MeasureArgs {
    /// What to measure.
    #[arg(value_enum, required = true, num_args = 1..)]
    measures: Vec<Measure>,
    /// Nodes; several settings with commas.
    #[arg(long, value_delimiter = ',', default_value = "100", value_parser = nodes)]
    nodes: Vec<usize>,
    /// Share of the datagrams that are lost each way, 0 to 1; several settings with commas.
    #[arg(long, value_delimiter = ',', default_value = "0", value_parser = crate::options::parse_share)]
    loss: Vec<f64>,
    /// The failure detectors; all when not given.
    #[arg(long, value_delimiter = ',', value_enum)]
    mode: Vec<Mode>,
    /// How long things are on their way: lan, wan, a constant such as 5ms, or MEDIAN~SIGMA such as 2ms~0.4.
    #[arg(long, default_value = "lan", value_parser = Latency::parse)]
    latency: Latency,
    /// Runs for each setting, each from a seed of its own.
    #[arg(long, default_value_t = 10)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// In place of --seeds: as many runs as give so many node-hours for each setting (for `calm`).
    #[arg(long, value_name = "HOURS")]
    node_hours: Option<f64>,
    /// Runs at the same time.
    #[arg(long, default_value_t = jobs::cores())]
    threads: usize,
    /// A JSON object a line, for scripts.
    #[arg(long)]
    json: bool,
    /// Fail (exit code 15) when a count is not 0: when somebody who lives was held dead.
    #[arg(long)]
    strict: bool,
    /// Draw the first of the measures into this file; not all of them have something to draw.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

impl MeasureArgs {
    /// Measures and prints; a run that breaks a bound ends it.
    pub fn run(&self) -> io::Result<Result<(), Violation>> {
        let findings = match super::play(&self.jobs(), self.threads) {
            Ok(findings) => findings,
            Err(violation) => return Ok(Err(violation)),
        };
        self.draw(&findings)?;
        table::print(&findings, &self.modes(), self.json, &mut io::stdout().lock())?;
        Ok(if self.strict { none_died(&findings) } else { Ok(()) })
    }

    fn draw(&self, findings: &[Finding]) -> io::Result<()> {
        let Some(path) = &self.plot else { return Ok(()) };
        let Some(chart) = self.measures.first().and_then(|measure| figure::chart(*measure, findings)) else {
            return Err(io::Error::other("--plot: this measure has nothing to draw"));
        };
        fs::write(path, chart.svg()).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot write --plot {}: {error}", path.display()))
        })
    }

    fn modes(&self) -> Vec<Mode> {
        if self.mode.is_empty() { Mode::ALL.to_vec() } else { self.mode.clone() }
    }

    fn jobs(&self) -> Vec<Job> {
        let mut jobs = Vec::new();
        for &measure in &self.measures {
            for &nodes in &self.nodes {
                for &loss in &self.loss {
                    for mode in self.modes() {
                        for seed in self.seed..self.seed.saturating_add(self.runs(nodes)) {
                            let setting = Setting { nodes, loss, mode, latency: self.latency, seed };
                            jobs.push(Job { measure, setting });
                        }
                    }
                }
            }
        }
        jobs
    }

    fn runs(&self, nodes: usize) -> u64 {
        self.node_hours.map_or(self.seeds, |hours| calm::runs(nodes, hours))
    }
}

fn none_died(findings: &[Finding]) -> Result<(), Violation> {
    let Some(finding) = findings.iter().find(|one| one.unit == Unit::Count && one.sum() > 0.0) else {
        return Ok(());
    };
    let Finding { measure, nodes, loss, mode, .. } = finding;
    let text = format!("{measure}, {nodes} nodes, loss {loss}, {mode}: {}", finding.text());
    Err(Violation { kind: Kind::FalseDeath, at: Instant::ORIGIN, text })
}

fn nodes(text: &str) -> Result<usize, String> {
    let accepted = |nodes: &usize| (2..=10_000).contains(nodes);
    text.parse().ok().filter(accepted).ok_or_else(|| "accepted are 2 to 10000".to_owned())
}
