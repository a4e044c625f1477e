//! What `meshnode dev` prints: lines on standard output, and the verdicts of its checks.

use std::io::Write;
use std::path::Path;

use crate::clock::Clock;
use crate::time::{Duration, Instant};

/// Prints lines and verdicts, and remembers whether any check failed.
#[derive(Debug)]
pub(super) struct Report {
    clock: Clock,
    budget: Duration,
    passed: u32,
    failed: u32,
}

impl Report {
    /// Checks have to end within `budget` from now.
    pub(super) fn new(budget: Duration) -> Self {
        Self { clock: Clock::start(), budget, passed: 0, failed: 0 }
    }

    /// What is left of the budget.
    pub(super) fn left(&self) -> Duration {
        self.budget.saturating_sub(self.clock.now().since(Instant::ORIGIN))
    }

    /// Runs one check within what is left of the budget, and prints its verdict with what was seen.
    pub(super) async fn check(
        &mut self,
        claim: &str,
        logs: &Path,
        check: impl Future<Output = anyhow::Result<String>>,
    ) {
        let line = match tokio::time::timeout(self.left(), check).await {
            Ok(Ok(seen)) => {
                self.passed += 1;
                format!("ok   {claim}: {seen}")
            }
            Ok(Err(error)) => {
                self.failed += 1;
                format!("FAIL {claim}: {error:#}; logs: {}", logs.display())
            }
            Err(_) => {
                self.failed += 1;
                format!("FAIL {claim}: the time was over before it ended; logs: {}", logs.display())
            }
        };
        say(&line);
    }

    /// Prints the sum. True when there were checks and all passed.
    pub(super) fn conclude(&self) -> bool {
        let seconds = self.clock.now().since(Instant::ORIGIN).as_secs_f64();
        say(&format!("{} checks passed, {} failed, in {seconds:.1} s", self.passed, self.failed));
        self.failed == 0 && self.passed > 0
    }
}

/// Prints one line. That nobody reads it (a closed pipe) is no reason to stop.
pub(super) fn say(line: &str) {
    if let Err(error) = writeln!(std::io::stdout(), "{line}") {
        tracing::debug!(%error, "standard output is closed");
    }
}
