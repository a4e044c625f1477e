//! meshsim: many of the very same [`meshnode::mesh::Mesh`] in virtual time, and checkers that know the truth.
//!
//! [`cluster::Cluster`] is the harness: scripts call its verbs (`crash`, `partition`, `run`, …). What happens follows
//! from the seed alone; the [`trace`] proves it. See `simulations/README.md`.

pub mod budget;
pub mod checkers;
pub mod cluster;
pub mod explore;
pub mod latency;
pub mod measure;
pub mod meter;
pub mod model;
pub mod network;
pub mod options;
pub mod play;
pub mod plot;
pub mod queue;
pub mod run;
pub mod scenario;
pub mod script;
pub mod sizes;
pub mod store;
pub mod trace;
