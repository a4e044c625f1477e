//! The task that measures how busy the machine is.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::machine::Machine;
use crate::mesh::{Input, LocalChange};
use crate::router::proxy::Proxy;

/// Between two samples.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(2);

/// Samples until the loop has ended.
pub(super) async fn run(mut machine: Machine, proxy: Proxy, results: mpsc::Sender<Input>) {
    let mut tick = interval(SAMPLE_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, when there is nothing to compare with yet.
    tick.tick().await;
    loop {
        tokio::select! {
            () = results.closed() => return,
            _ = tick.tick() => {}
        }
        let in_flight = u32::try_from(proxy.in_flight()).unwrap_or(u32::MAX);
        let load = tokio::task::block_in_place(|| machine.sample(in_flight));
        if results.send(Input::Local(LocalChange::Load(load))).await.is_err() {
            return;
        }
    }
}
