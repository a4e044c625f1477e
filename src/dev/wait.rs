//! Waiting for something to become true, with a deadline and the reason why it is not true yet.

use anyhow::anyhow;

use crate::clock::Clock;
use crate::time::{Duration, Instant};

/// Between two looks; short enough that a printed time is right to a few milliseconds.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Looks again and again until `probe` succeeds, and returns what it saw and how long that took.
///
/// The error of a failed look says why the condition does not hold yet; the last one is reported when
/// `deadline` has passed.
pub async fn eventually<T>(
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Duration)> {
    let clock = Clock::start();
    let elapsed = || clock.now().since(Instant::ORIGIN);
    let mut reason = anyhow!("the first look did not end");
    while elapsed() < deadline {
        match tokio::time::timeout(deadline.saturating_sub(elapsed()), probe()).await {
            Ok(Ok(seen)) => return Ok((seen, elapsed())),
            Ok(Err(not_yet)) => reason = not_yet,
            Err(_) => break,
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Err(reason.context(format!("not within {} s", deadline.as_secs_f64())))
}
