//! Configuration: flags, environment and file, parsed and checked once.

mod service;

pub use service::{Check, ServiceConfig};
