//! meshnode: a service mesh without a coordinator.
//!
//! The protocol is a pure state machine, [`mesh::Mesh`], driven by `handle`, `poll_output` and `poll_timeout`.
//! It reads no clock, opens no socket and draws no entropy. Everything that touches the world is behind the
//! feature `net`. A module imports only from floors below its own; `ARCHITECTURE.md` shows them.
//!
//! | floor | modules |
//! |---|---|
//! | programs | `cli`, then `dev` |
//! | the loop, the edge | `node`, `edge` |
//! | the world | `admin`, `router::proxy`, `probe::checker` |
//! | settings | `config` |
//! | the outside | `transport`, `summary::stores` |
//! | instruments | `metrics`, `clock`, `entropy` |
//! | composition | [`mesh`] |
//! | machines | [`membership`], [`gossip`], [`election`], [`summary`], [`router`], [`probe`] |
//! | encoding | [`wire`] |
//! | values | [`view`], [`manifest`], [`id`], [`time`] |

pub mod election;
pub mod gossip;
pub mod id;
pub mod manifest;
pub mod members;
pub mod membership;
pub mod mesh;
pub mod probe;
pub mod router;
pub mod summary;
pub mod time;
pub mod view;
pub mod wire;

#[cfg(feature = "net")]
pub mod admin;
#[cfg(feature = "net")]
pub mod cli;
#[cfg(feature = "net")]
pub mod clock;
#[cfg(feature = "net")]
pub mod config;
#[cfg(feature = "net")]
pub mod dev;
#[cfg(feature = "net")]
pub mod edge;
#[cfg(feature = "net")]
pub mod entropy;
#[cfg(feature = "net")]
pub mod metrics;
#[cfg(feature = "net")]
pub mod node;
#[cfg(feature = "net")]
pub mod transport;
