//! Stories of a few meshes in virtual time.

mod boots;
mod clones;
mod cluster;
mod flapping;
mod links;
mod regressions;
mod settings;
mod snapshots;
mod stories;
mod suspend;
