//! Routing: which instance gets a request, and what becomes of one that failed.
//!
//! The policy here is pure and is driven by `proxy`, which is behind the feature `net`.

#[cfg(feature = "net")]
pub mod proxy;
