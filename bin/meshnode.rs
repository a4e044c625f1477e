//! The `meshnode` program.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use meshnode::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => match cli::exit_code(&error) {
            None => ExitCode::SUCCESS,
            Some(code) => {
                // With standard error closed too, the exit code is all that is left to say.
                let _ = writeln!(std::io::stderr(), "meshnode: {error:#}");
                ExitCode::from(code)
            }
        },
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(cli.command.run(&mut std::io::stdout()));
    // A thread that waits for a silent disk is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}
