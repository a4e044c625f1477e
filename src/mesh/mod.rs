//! The mesh: composes membership, gossip, election, summary and probe policy into one state machine.

mod config;
mod io;

pub use crate::membership::Destination;
pub use config::{Boot, Config, StoreConfig};
pub use io::{
    Event, Input, LINK_REQUEST_TIMEOUT, LinkFailure, LocalChange, Output, Persist, Refused, RequestId,
};
