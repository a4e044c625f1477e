//! `meshnode dev`: a whole mesh on one machine, which checks what it claims.
//!
//! The nodes are real `meshnode run` processes; the sample services are real HTTP servers in this process.
//! The modules that start nodes and speak to them are public for the system tests, which need the same.

mod checks;
mod mesh;
mod plan;
mod report;
mod table;

pub mod client;
pub mod node;
pub mod services;
pub mod wait;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::config;
use crate::time::Duration;
use mesh::{Formed, LocalMesh};
use report::{Report, say};
use wait::eventually;

/// From the first node's start until all of them are one mesh.
const FORM_DEADLINE: Duration = Duration::from_secs(20);

/// The arguments of `meshnode dev`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How many nodes to start, 1 to 9
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub nodes: u8,
    /// Check what is claimed, print each verdict, and end within this time, for example 30s
    #[arg(long = "for", value_name = "DURATION", value_parser = budget)]
    pub budget: Option<Duration>,
}

/// Runs a mesh until a signal comes or, with `--for`, until its checks are done.
///
/// Success means that every check passed; without `--for`, that the mesh stood until it was told to end.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let exe = std::env::current_exe().context("cannot find the own program")?;
    let mut mesh = LocalMesh::prepare(exe, usize::from(args.nodes)).await?;
    let mut stop = StopSignal::new()?;
    let outcome = tokio::select! {
        outcome = drive(&mut mesh, &args) => outcome,
        () = stop.received() => Ok(args.budget.is_none()),
    };
    mesh.stop().await;
    match outcome {
        Ok(true) => {
            mesh.remove_dir();
            Ok(ExitCode::SUCCESS)
        }
        Ok(false) => {
            say(&format!("data and logs are kept in {}", mesh.dir().display()));
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error.context(format!("data and logs are kept in {}", mesh.dir().display()))),
    }
}

/// Brings the mesh up and shows it; then checks it, or leaves it to its user for as long as they like.
async fn drive(mesh: &mut LocalMesh, args: &Args) -> anyhow::Result<bool> {
    let mut report = Report::new(args.budget.unwrap_or(Duration::MAX));
    say(&format!("nodes to start: {}; data and logs are in {}", args.nodes, mesh.dir().display()));
    let formed =
        timeout(report.left(), form(mesh)).await.context("the time was over before the mesh stood")??;
    say(&table::nodes(mesh, &formed)?);
    for command in table::commands(mesh)? {
        say(&command);
    }
    if args.budget.is_some() {
        checks::run(mesh, &mut report).await;
        return Ok(report.conclude());
    }
    say("Ctrl-C ends it");
    std::future::pending().await
}

async fn form(mesh: &mut LocalMesh) -> anyhow::Result<Formed> {
    mesh.start_all().await?;
    let (formed, _) = eventually(FORM_DEADLINE, async || mesh.is_formed().await).await.context("no mesh")?;
    Ok(formed)
}

/// What ends the mesh: Ctrl-C, a polite kill, or the terminal that goes away.
struct StopSignal {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignal {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

fn budget(text: &str) -> Result<Duration, String> {
    config::duration(text).ok_or_else(|| format!("accepted is {}", config::DURATION))
}
