//! The command line of the simulator.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use meshnode::mesh::Detector;
use meshnode::time::Duration;
use meshsim::latency::Latency;
use meshsim::measure::MeasureArgs;
use meshsim::options::{Options, parse_duration, parse_mode, parse_share};
use meshsim::play::Outcome;
use meshsim::scenario::{Scenario, set};
use meshsim::trace::Trace;

/// Exit code when the trace could not be written.
const CANNOT_WRITE: u8 = 3;

/// Runs many nodes of the mesh in virtual time and checks what they come to believe.
#[derive(Debug, Parser)]
#[command(name = "meshsim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the scenarios.
    List,
    /// Play one scenario. Exit codes: 0 all is well, 2 usage, 3 the trace cannot be written, 10 convergence,
    /// 11 leadership, 12 resurrection, 13 incarnation, 14 bounds.
    Run(Box<RunArgs>),
    Measure(MeasureArgs),
}

#[derive(Debug, clap::Args)]
struct RunArgs {
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
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::List => list().map(|()| 0),
        Command::Run(args) => run(&args),
        Command::Measure(args) => measure(&args),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        // The reader of a pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "meshsim: {error}");
            ExitCode::from(CANNOT_WRITE)
        }
    }
}

fn list() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for name in Scenario::names() {
        let scenario = Scenario::load(name).map_err(io::Error::other)?;
        let (nodes, duration) = (scenario.nodes(), scenario.options(1, 1).duration);
        writeln!(out, "{name:<16} {} ({nodes} nodes, {duration:?})", scenario.about)?;
    }
    Ok(())
}

fn run(args: &RunArgs) -> io::Result<u8> {
    let options = args.options();
    let replay = format!("meshsim run {} {options}", args.scenario.name);
    writeln!(io::stdout(), "{replay}")?;
    let outcome = args.scenario.play(options, args.trace()?);
    write!(io::stdout(), "{outcome}")?;
    match &outcome.settled {
        Ok(_) => Ok(0),
        Err(violation) => {
            report(&outcome, &replay)?;
            Ok(violation.kind.exit_code())
        }
    }
}

fn measure(args: &MeasureArgs) -> io::Result<u8> {
    match args.run()? {
        Ok(()) => Ok(0),
        Err(violation) => {
            writeln!(io::stderr(), "violated: {violation}")?;
            Ok(violation.kind.exit_code())
        }
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

impl RunArgs {
    fn options(&self) -> Options {
        let nodes = self.nodes.map_or_else(|| self.scenario.nodes(), usize::from);
        let mut options = self.scenario.options(nodes, self.seed);
        set(&mut options.duration, self.duration);
        set(&mut options.settle, self.settle);
        set(&mut options.seeds, self.seeds.map(|seeds| seeds.min(nodes)));
        set(&mut options.stagger, self.stagger);
        set(&mut options.hold, self.hold);
        set(&mut options.staleness, self.staleness);
        set(&mut options.network.loss, self.loss);
        set(&mut options.network.duplicate, self.duplicate);
        set(&mut options.network.reorder, self.reorder);
        set(&mut options.network.latency, self.latency);
        set(&mut options.mode, self.mode);
        options
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

fn scenario(name: &str) -> Result<Scenario, String> {
    Scenario::load(name).map_err(|error| error.to_string())
}
