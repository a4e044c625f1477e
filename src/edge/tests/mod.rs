//! The edge: its pure rules, and what it does with nodes on real sockets.

mod fake;
mod grpc;
mod leaving;
mod lists;
mod loops;
mod rules;
mod silence;
mod sockets;
