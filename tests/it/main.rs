//! System tests: real `meshnode` processes, real HTTP services, real signals, ports that the kernel picks.

mod admin;
mod alone;
mod configuration;
mod crash;
mod death;
mod dev;
mod edge;
mod election;
mod faults;
mod hostile;
mod leave;
mod metrics;
mod pause;
mod reload;
mod rolling;
mod rotation;
mod routes;
mod routing;
mod silence;
mod store;
mod support;
mod tls;
mod traces;
