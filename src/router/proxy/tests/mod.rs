//! Tests of the proxy: whole nodes on loopback, with real links between them.

mod bad_input;
mod edge_listener;
mod failover;
mod forwarding;
mod harness;
mod streaming;
mod tunnels;
mod unread;
