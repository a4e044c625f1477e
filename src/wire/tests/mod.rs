//! The wire format: golden vectors, what strangers may send, and what later versions may add.

mod golden;
mod limits;
mod manifests;
mod vectors;
