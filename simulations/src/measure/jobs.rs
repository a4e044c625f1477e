//! Runs that do not depend on each other, on all cores; each is a function of its setting, so the order does not matter.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// As many as there are cores.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Does all jobs and gives their results in the order of the jobs.
pub(crate) fn run<J: Sync, R: Send>(jobs: &[J], threads: usize, work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let one = || {
        let mut results = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index) else { return results };
            results.push((index, work(job)));
            show(done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len());
        }
    };
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.clamp(1, jobs.len().max(1))).map(|_| scope.spawn(one)).collect();
        // A run that panics ends the whole measurement, as it would on this thread.
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.flat_map(|results| results.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// A bar for whoever watches; nothing when nobody does.
fn show(done: usize, all: usize) {
    let mut err = io::stderr().lock();
    if err.is_terminal() {
        let filled = done * 40 / all;
        let end = if done == all { "\r\x1b[K" } else { "" };
        let _ = write!(err, "\r{done:5}/{all} [{:<40}]{end}", "#".repeat(filled));
        let _ = err.flush();
    }
}
