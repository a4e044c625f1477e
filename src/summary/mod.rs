//! The summary that the leader writes for the edges: when it is written, within which budget, and what it says.
//!
//! The policy here is pure: it says what to ask of the store, and is told what the store answered. The stores
//! themselves are in `stores`, behind the feature `net`.

mod attempt;
mod budget;
mod census;
mod draft;
mod moment;
mod policy;
mod record;
mod report;
mod store;
mod value;

#[cfg(feature = "net")]
pub mod stores;

#[cfg(test)]
mod tests;

pub use census::{Census, CensusMember};
pub use moment::Rules;
pub use policy::{Output, Policy, PolicyConfig};
pub use store::{StoreCall, StoreFailure, StoreReply};
pub use value::{ClusterId, Instances, MAX_NODES, MAX_VALUE_LEN, Node, UnixTime, Value};
