//! Stories of a few meshes in virtual time.

mod boots;
mod cluster;
mod regressions;
mod stories;
