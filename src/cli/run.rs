//! `meshnode run`: a node in the foreground.

use std::io::Write;

use super::logging;
use crate::config::{Config, Environment, RunArgs};
use crate::node;

/// Runs a node until it has left; prints one line to `out` once it serves.
pub(super) async fn run(args: RunArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let config = Config::load(&args, &Environment::of_process())?;
    logging::init(&config.log, config.log_format)?;
    let reload = || Config::load(&args, &Environment::of_process());
    let mut printed = Ok(());
    let ready = |ready: &node::Ready| {
        printed = serde_json::to_string(ready)
            .map_err(std::io::Error::from)
            .and_then(|line| writeln!(out, "{line}").and_then(|()| out.flush()));
    };
    node::run(config, reload, ready).await?;
    // A reader that went away does not end the node.
    if let Err(error) = printed {
        tracing::warn!(%error, "the ready line was not printed");
    }
    Ok(())
}
