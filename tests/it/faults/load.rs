//! Requests at a steady rate through one entry, whatever becomes of them, and what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use meshnode::dev::client::Client;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Load under way.
#[derive(Debug)]
pub(super) struct Load {
    ends: Arc<AtomicBool>,
    sending: JoinHandle<Vec<Call>>,
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) number: usize,
    pub(super) sent: Instant,
    pub(super) took: Duration,
    /// None when no answer came.
    pub(super) status: Option<StatusCode>,
    pub(super) attempts: usize,
}

impl Call {
    pub(super) fn is_served(&self) -> bool {
        self.status == Some(StatusCode::OK)
    }
}

impl Load {
    /// Sends `method` to `url` followed by a number, so many times a second, each on its own.
    pub(super) fn start(client: &Client, method: Method, url: &str, per_second: u32) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let (client, url, stop) = (client.clone(), url.to_owned(), ends.clone());
        let sending = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) / per_second);
            // What a busy machine missed is not made up for.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut calls = JoinSet::new();
            for number in 0.. {
                ticks.tick().await;
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                calls.spawn(call(client.clone(), method.clone(), format!("{url}{number}"), number));
            }
            let mut calls = calls.join_all().await;
            calls.sort_by_key(|call| call.number);
            calls
        });
        Self { ends, sending }
    }

    /// Stops, and waits for what is under way.
    pub(super) async fn end(self) -> anyhow::Result<Vec<Call>> {
        self.ends.store(true, Ordering::Relaxed);
        Ok(self.sending.await?)
    }
}

async fn call(client: Client, method: Method, url: String, number: usize) -> Call {
    let body = if method == Method::POST { "a body" } else { "" };
    let sent = Instant::now();
    let answer = client.send(method, &url, &[], body).await;
    let took = sent.elapsed();
    let Ok(answer) = answer else {
        return Call { number, sent, took, status: None, attempts: 0 };
    };
    let attempts = answer.header("x-mesh-attempts").parse().unwrap_or_default();
    Call { number, sent, took, status: Some(answer.status), attempts }
}

/// One line of figures, and the number of calls that were not served.
pub(super) fn report(what: &str, calls: &[Call], fault: Instant) -> usize {
    let failed: Vec<_> = calls.iter().filter(|call| !call.is_served()).collect();
    let mut times: Vec<_> = calls.iter().map(|call| call.took).collect();
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
    let again = calls.iter().filter(|call| call.attempts > 1);
    let last = again.map(|call| call.sent.saturating_duration_since(fault)).max().unwrap_or_default();
    println!(
        "{what}: {} calls, {} failed, p50 {:?}, p99 {:?}, longest {:?}; the last one that was tried twice was sent {last:?} after the fault",
        calls.len(),
        failed.len(),
        at(0.5),
        at(0.99),
        at(1.0 - f64::EPSILON),
    );
    if let Some(first) = failed.first() {
        println!("the first that failed: {first:?}");
    }
    failed.len()
}
