//! Tests of the routing policy, in virtual time.

mod balancing;
mod ejection;
mod fixture;
mod hedging;
mod properties;
mod reasons;
mod retries;
mod routes;
mod selectors;
mod simulated;
mod simulation;
mod view_changes;
