//! The node: the one event loop that owns the `Mesh` and connects it to the world.

pub mod clock;
pub mod datadir;
pub mod entropy;
pub mod machine;
