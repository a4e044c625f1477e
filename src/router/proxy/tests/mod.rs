//! Tests of the proxy: whole nodes on loopback, with real links between them.

mod access_log;
mod bad_input;
mod edge_listener;
mod failover;
mod forwarding;
pub(crate) mod harness;
mod leaving;
mod limits;
mod messages;
mod saturation;
mod silence;
mod streaming;
mod tracing;
mod tunnels;
mod unread;
