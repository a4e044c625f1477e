//! Stories of a few meshes in virtual time.

mod boots;
mod clones;
mod cluster;
mod degraded;
mod flapping;
mod inquiries;
mod links;
mod regressions;
mod settings;
mod snapshots;
mod speech;
mod stores;
mod stories;
mod suspend;
mod versions;
