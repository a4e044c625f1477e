//! The proof of the write budget: the real [`meshnode::summary::Policy`] and election of every node, for days of
//! virtual time, over a membership that is an oracle and a store that behaves like Workers KV.
//!
//! What the full mesh does within seconds (who lives, who heard what) is drawn here from the delays that it showed, so
//! that three days of a hundred nodes take a second. See `simulations/README.md`.

mod ablation;
mod checkers;
mod command;
mod edge;
mod faults;
mod figures;
mod kv;
mod membership;
mod node;
mod outputs;
mod report;
mod scenarios;
mod setting;
mod world;

pub use checkers::Breach;
pub use command::BudgetArgs;
pub use figures::Figures;
pub use scenarios::{Scenario, all};
pub use setting::{Rule, Setting};
