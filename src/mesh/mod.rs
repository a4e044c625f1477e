//! The mesh: composes membership, gossip, election, summary and probe policy into one state machine.

mod io;

pub use io::{
    Destination, Event, Input, LINK_REQUEST_TIMEOUT, LinkFailure, LocalChange, Output, Persist, Refused,
    RequestId,
};
