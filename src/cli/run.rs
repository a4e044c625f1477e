//! `meshnode run`: a node in the foreground.

use std::io::Write;

use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::logging;
use crate::config::{Config, Environment, RunArgs};
use crate::node;

/// Runs a node until it has left; prints one line to `out` once it serves.
pub(super) async fn run(args: RunArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let config = Config::load(&args, &Environment::of_process())?;
    logging::init(&config.log, config.log_format)?;
    let reload = move || Config::load(&args, &Environment::of_process());
    let (serves, serving) = oneshot::channel();
    let ready = |ready: &node::Ready| drop(serves.send(ready.clone()));
    // A task runs on the thread that read the datagram for it. Here, every datagram would have to wake this thread too.
    let node = AbortOnDropHandle::new(tokio::spawn(node::run(config, reload, ready)));
    if let Ok(ready) = serving.await
        && let Err(error) = print(&ready, out)
    {
        // A reader that went away does not end the node.
        tracing::warn!(%error, "the ready line was not printed");
    }
    Ok(node.await??)
}

fn print(ready: &node::Ready, out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(out, "{}", serde_json::to_string(ready)?)?;
    Ok(out.flush()?)
}
