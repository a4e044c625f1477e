//! The edge as a program: forwards public requests to nodes of the mesh, and keeps nothing. `docs/edge.md` has its rules.

mod args;
mod asking;
mod attempt;
mod directory;
mod discovery;
mod error;
mod forward;
mod nodes;
mod outbound;
mod refresh;
mod reply;
mod rule;
mod run;
mod search;
mod signing;
mod summary;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{Mutex, Semaphore};

use crate::admin::Token;
use crate::clock::Clock;
use crate::router::proxy::drain::Drain;
use directory::Directory;
use discovery::LastDiscovery;
use signing::Signing;

pub use args::{Args, Seed};
pub use error::EdgeError;
pub use run::{Ready, run};

/// What all requests share.
#[derive(Debug)]
struct Edge {
    directory: Arc<Directory>,
    /// `None` when the nodes ask for no signatures.
    signing: Option<Signing>,
    /// What opens the reading part of the admin API.
    token: Option<Token>,
    discovery: Arc<Mutex<LastDiscovery>>,
    /// Room for bodies that are kept for another try.
    kept: Arc<Semaphore>,
    /// There were requests since the last refresh.
    was_used: AtomicBool,
    is_draining: AtomicBool,
    drain: Arc<Drain>,
    clock: Clock,
    is_tls: bool,
    max_header: usize,
}
