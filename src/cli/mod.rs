//! The command line: its commands, and what they print.

mod client;
mod connection;
mod events;
mod keygen;
mod leader;
mod members;
mod run;
mod services;
mod table;
#[cfg(test)]
mod tests;
mod why;

pub mod logging;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{ConfigError, RunArgs};
use crate::dev;
use crate::node::RunError;

pub use client::ClientError;
pub use connection::Connection;

use client::Client;

const EXIT_CODES: &str = "Exit codes: 0 done, 2 bad usage or configuration, 1 anything else.";

/// A service mesh without a coordinator.
#[derive(Debug, Parser)]
#[command(name = "meshnode", version, about, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs a node, in the foreground
    Run(Box<RunArgs>),
    /// Runs a whole mesh on this machine, with sample services
    Dev(dev::Args),
    /// Lists the members of the mesh
    Members(Query),
    /// Lists the services of the mesh and their instances
    Services(Query),
    /// Shows the heartbeat leader and its writes of the summary
    Leader(Query),
    /// Shows why a worker has the status that it has
    Why {
        /// A worker id, the first 9 or more characters of one, or a name
        worker: String,
        /// Which node to ask.
        #[command(flatten)]
        query: Query,
    },
    /// Follows what happens in the mesh, until Ctrl-C
    Events(Query),
    /// Makes a node drain and leave the mesh
    Leave(Query),
    /// Prints a fresh cluster key
    Keygen,
}

/// Which node to ask, and how to print its answer.
#[derive(Debug, clap::Args)]
pub struct Query {
    /// The node.
    #[command(flatten)]
    pub connection: Connection,
    /// Print the node's JSON as it is
    #[arg(long)]
    pub json: bool,
}

impl Command {
    /// Does what the command says, and prints to `out`.
    pub async fn run(self, out: &mut (impl Write + Send)) -> anyhow::Result<ExitCode> {
        let done = match self {
            Self::Run(args) => run::run(*args, out).await,
            Self::Dev(args) => return dev::run(args).await,
            Self::Members(query) => {
                let body = query.client()?.get(&["workers"]).await?;
                query.print(out, &body, members::render)
            }
            Self::Services(query) => {
                let body = query.client()?.get(&["services"]).await?;
                query.print(out, &body, services::render)
            }
            Self::Leader(query) => {
                let body = query.client()?.get(&["leader"]).await?;
                query.print(out, &body, leader::render)
            }
            Self::Why { worker, query } => {
                let body = query.client()?.get(&["why", &worker]).await?;
                query.print(out, &body, why::render)
            }
            Self::Events(query) => events::follow(&query.client()?, query.json, out).await,
            Self::Leave(query) => {
                let body = query.client()?.post(&["leave"]).await?;
                query.print(out, &body, leader::render_leaving)
            }
            Self::Keygen => Ok(writeln!(out, "{}", keygen::keygen())?),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

impl Query {
    fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.connection)?)
    }

    /// Prints the node's JSON as it is, or what `render` makes of it.
    fn print<'a, T: serde::Deserialize<'a>>(
        &self,
        out: &mut impl Write,
        body: &'a [u8],
        render: fn(&T) -> String,
    ) -> anyhow::Result<()> {
        if self.json {
            out.write_all(body)?;
            writeln!(out)?;
        } else {
            let answer = serde_json::from_slice(body).map_err(ClientError::Unreadable)?;
            writeln!(out, "{}", render(&answer))?;
        }
        Ok(out.flush()?)
    }
}

/// The exit code of a command that failed; `None` when it only lost its reader (`meshnode members | head`).
pub fn exit_code(error: &anyhow::Error) -> Option<u8> {
    let closed = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    if error.is::<ConfigError>() || error.is::<logging::LoggingError>() {
        return Some(2);
    }
    if let Some(error) = error.downcast_ref::<RunError>() {
        return Some(error.exit_code());
    }
    match error.downcast_ref::<ClientError>() {
        Some(error) => Some(error.exit_code()),
        None if error.downcast_ref().is_some_and(closed) => None,
        None => Some(1),
    }
}
