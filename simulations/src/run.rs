//! `meshsim run`: its flags, its progress on a terminal, and its report.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::path::PathBuf;

use meshnode::mesh::Detector;
use meshnode::time::Duration;
use serde_json::json;

use crate::cluster::Cluster;
use crate::latency::Latency;
use crate::options::{Options, parse_duration, parse_mode, parse_share};
use crate::play::Outcome;
use crate::scenario::{Scenario, Usual};
use crate::sizes::Sizes;
use crate::trace::Trace;

/// Play one scenario.
///
/// Exit codes: 0 all is well, 2 usage, 3 a file cannot be written, 10 convergence, 11 leadership, 12 resurrection,
/// 13 incarnation, 14 bounds, 15 false death, 16 preemption, 17 budget.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Which scenario: a name (see `meshsim list`) or the path of a TOML file.
    #[arg(value_parser = scenario)]
    scenario: Scenario,
    /// Nodes that start at the beginning.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    nodes: Option<u16>,
    /// From which every random choice follows.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The safety phase.
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// The longest liveness phase.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    settle: Option<Duration>,
    /// The first so many nodes are the `--join` of all.
    #[arg(long)]
    seeds: Option<usize>,
    /// Between the starts of two nodes.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    stagger: Option<Duration>,
    /// The mesh's `--election-hold`.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    hold: Option<Duration>,
    /// How old an answer of the store may be; with 0 it has no budget.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    staleness: Option<Duration>,
    /// Share of the datagrams that are lost, each way, 0 to 1.
    #[arg(long, value_parser = parse_share)]
    loss: Option<f64>,
    /// Share of the datagrams that arrive twice, 0 to 1.
    #[arg(long, value_parser = parse_share)]
    duplicate: Option<f64>,
    /// Share of the datagrams that are overtaken, 0 to 1.
    #[arg(long, value_parser = parse_share)]
    reorder: Option<f64>,
    /// How long things are on their way: lan, wan, a constant such as 5ms, or MEDIAN~SIGMA such as 2ms~0.4.
    #[arg(long, value_parser = Latency::parse)]
    latency: Option<Latency>,
    /// Which failure detector the nodes have: swim, lifeguard or witness.
    #[arg(long, value_parser = parse_mode)]
    mode: Option<Detector>,
    /// Write the trace to this file (`-` is stdout).
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Draw the sizes of the views over time into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

impl RunArgs {
    /// Plays the scenario, reports, and says the exit code.
    pub fn run(&self) -> io::Result<u8> {
        let nodes = self.nodes.map_or_else(|| self.scenario.nodes(), usize::from);
        let mut options = self.scenario.options(nodes, self.seed);
        self.given().apply(&mut options);
        let replay = format!("meshsim run {} {options}", self.scenario.name);
        if !self.json {
            writeln!(io::stdout(), "{replay}")?;
        }
        let trace = self.trace()?;
        let mut progress = Progress::new(&options, self.trace.is_some());
        let mut sizes = Sizes::default();
        let outcome = self.scenario.play_before(options, trace, &mut |cluster| {
            progress.show(cluster);
            if self.plot.is_some() {
                sizes.look(cluster);
            }
        });
        progress.clear();
        if let Some(path) = &self.plot {
            let svg = sizes.chart(format!("Views of {} (seed {})", self.scenario.name, self.seed)).svg();
            fs::write(path, svg).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot write --plot {}: {error}", path.display()))
            })?;
        }
        if self.json {
            writeln!(io::stdout(), "{}", as_json(&outcome, &self.scenario.name, &replay))?;
        } else {
            write!(io::stdout(), "{outcome}")?;
        }
        match &outcome.settled {
            Ok(_) => Ok(0),
            Err(violation) => {
                report(&outcome, &replay)?;
                Ok(violation.kind.exit_code())
            }
        }
    }

    fn given(&self) -> Usual {
        Usual {
            nodes: None,
            duration: self.duration,
            settle: self.settle,
            seeds: self.seeds,
            stagger: self.stagger,
            hold: self.hold,
            staleness: self.staleness,
            loss: self.loss,
            duplicate: self.duplicate,
            reorder: self.reorder,
            latency: self.latency,
            mode: self.mode,
        }
    }

    fn trace(&self) -> io::Result<Trace> {
        let Some(path) = &self.trace else {
            return Ok(Trace::default());
        };
        if path.as_os_str() == "-" {
            return Ok(Trace::to(Box::new(BufWriter::new(io::stdout()))));
        }
        let file = File::create(path).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot write --trace {}: {error}", path.display()))
        })?;
        Ok(Trace::to(Box::new(BufWriter::new(file))))
    }
}

fn report(outcome: &Outcome, replay: &str) -> io::Result<()> {
    let mut err = io::stderr().lock();
    writeln!(err, "the last lines of the trace:")?;
    for line in outcome.cluster.trace().tail() {
        writeln!(err, "{line}")?;
    }
    writeln!(err, "replay: {replay} --trace -")
}

fn as_json(outcome: &Outcome, scenario: &str, replay: &str) -> serde_json::Value {
    let cluster = &outcome.cluster;
    let violation = outcome.settled.as_ref().err().map(|violation| {
        json!({
            "kind": violation.kind.name(),
            "exit_code": violation.kind.exit_code(),
            "at_s": seconds(violation.at.as_nanos()),
            "text": violation.text,
        })
    });
    json!({
        "scenario": scenario,
        "nodes": cluster.options().nodes,
        "seed": cluster.options().seed,
        "replay": replay,
        "settled_s": outcome.settled.as_ref().ok().map(Duration::as_secs_f64),
        "violation": violation,
        "virtual_s": seconds(cluster.now().as_nanos()),
        "false_deaths": {"healthy": cluster.false_deaths().healthy(), "marked": cluster.false_deaths().marked()},
        "summary_writes": cluster.store().puts().len(),
        "most_datagrams_per_s": cluster.most_datagrams(),
        "trace": {"lines": cluster.trace().lines(), "hash": cluster.trace().hash()},
    })
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

/// A bar for whoever watches a terminal; nothing when nobody does, or the trace goes there.
#[derive(Debug)]
struct Progress {
    whole: Duration,
    shown: Option<u32>,
    is_on: bool,
}

/// How many parts the bar has.
const WIDTH: u32 = 40;

impl Progress {
    fn new(options: &Options, is_traced: bool) -> Self {
        Self { whole: options.duration, shown: None, is_on: !is_traced && io::stderr().is_terminal() }
    }

    fn show(&mut self, cluster: &Cluster) {
        let now = Duration::from_nanos(cluster.now().as_nanos());
        let done = now.as_millis().saturating_mul(u128::from(WIDTH)) / self.whole.as_millis().max(1);
        let done = u32::try_from(done).unwrap_or(WIDTH).min(WIDTH);
        if !self.is_on || self.shown == Some(done) {
            return;
        }
        self.shown = Some(done);
        let bar = "#".repeat(usize::try_from(done).unwrap_or(0));
        let phase = if now < self.whole { "faults" } else { "settling" };
        let mut err = io::stderr().lock();
        let _ = write!(
            err,
            "\r[{bar:<40}] {:>6.0} of {:.0} s, {phase} ",
            now.as_secs_f64(),
            self.whole.as_secs_f64()
        );
        let _ = err.flush();
    }

    fn clear(&self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn scenario(name: &str) -> Result<Scenario, String> {
    Scenario::load(name).map_err(|error| error.to_string())
}
