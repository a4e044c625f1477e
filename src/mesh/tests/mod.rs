//! Stories of a few meshes in virtual time.

mod cluster;
mod stories;
