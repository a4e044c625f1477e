//! The `meshedge` program.

use std::ffi::OsStr;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _};
use meshnode::cli::logging;
use meshnode::edge::{self, Args, EdgeError, Ready};

fn main() -> ExitCode {
    match run(args()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error closed too, the exit code is all that is left to say.
            let _ = writeln!(std::io::stderr(), "meshedge: {error:#}");
            let code = error.downcast_ref().map(EdgeError::exit_code);
            ExitCode::from(code.unwrap_or(if error.is::<logging::LoggingError>() { 2 } else { 1 }))
        }
    }
}

/// The flags, and variables that are not empty.
fn args() -> Args {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let command = Args::command().mut_args(|arg| {
        let unset = arg.get_env().is_some_and(is_empty);
        if unset { arg.env(None::<&'static str>) } else { arg }
    });
    let matches = command.get_matches();
    Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn run(args: Args) -> anyhow::Result<()> {
    logging::init(&args.log, args.log_format)?;
    let token = std::env::var("CLOUDFLARE_API_TOKEN").ok().filter(|token| !token.is_empty());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // A task runs on the threads that serve; here, every signal would have to wake this thread.
    let ended = runtime.block_on(async { Ok(tokio::spawn(edge::run(args, token, print)).await??) });
    // A thread that waits for a silent disk is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

fn print(ready: &Ready) {
    let line = serde_json::to_string(ready).unwrap_or_default();
    let mut out = std::io::stdout();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        // A reader that went away does not end the edge.
        tracing::warn!(%error, "the ready line was not printed");
    }
}
