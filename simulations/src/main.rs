//! The command line of the simulator.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use meshsim::budget::BudgetArgs;
use meshsim::checkers::Violation;
use meshsim::explore::ExploreArgs;
use meshsim::measure::{BenchArgs, MeasureArgs};
use meshsim::run::RunArgs;
use meshsim::scenario::Scenario;

/// Exit code when the trace, or another file, could not be written.
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
    Run(Box<RunArgs>),
    Explore(ExploreArgs),
    Measure(MeasureArgs),
    Bench(BenchArgs),
    Budget(BudgetArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::List => list().map(|()| 0),
        Command::Run(args) => args.run(),
        Command::Explore(args) => args.run(),
        Command::Measure(args) => args.run().and_then(verdict),
        Command::Bench(args) => args.run().and_then(verdict),
        Command::Budget(args) => args.run().and_then(verdict),
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

fn verdict(measured: Result<(), Violation>) -> io::Result<u8> {
    let Err(violation) = measured else { return Ok(0) };
    writeln!(io::stderr(), "violated: {violation}")?;
    Ok(violation.kind.exit_code())
}
