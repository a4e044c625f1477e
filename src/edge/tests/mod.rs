//! The edge: its pure rules, and what it does with nodes on real sockets.

mod fake;
mod lists;
mod rules;
mod sockets;
