//! The promises about the summary, each checked in a file of its own.

mod age;
mod convergence;
mod edges;
mod size;
mod writes;

#[cfg(test)]
mod tests;

use std::fmt;

use meshnode::time::{Duration, Instant};

pub(super) use writes::BUDGET;
pub(super) use writes::Limits;

use super::edge::Look;
use super::figures::Figures;

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Which.
    pub promise: &'static str,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.text)
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Checkers {
    age: age::Age,
    convergence: convergence::Convergence,
    edges: edges::Edges,
    size: size::Size,
}

impl Checkers {
    /// For a run whose faults end after so long.
    pub(super) fn new(faults_end: Duration) -> Self {
        Self {
            age: age::Age::default(),
            convergence: convergence::Convergence::new(Instant::ORIGIN + faults_end),
            edges: edges::Edges::default(),
            size: size::Size::default(),
        }
    }

    /// A value was stored.
    pub(super) fn applied(&mut self, at: Instant, bytes: usize) {
        self.size.applied(at, bytes);
    }

    /// A value was stored that is none.
    pub(super) fn unreadable(&mut self, at: Instant) {
        self.size.unreadable(at);
    }

    /// What is so at a moment.
    pub(super) fn look(&mut self, at: Instant, look: Look) {
        self.age.look(at, look);
        self.convergence.look(at, look);
        self.edges.look(at, look);
    }

    /// Puts what was seen into the figures.
    pub(super) fn finish(self, figures: &mut Figures) {
        figures.oldest = self.age.oldest();
        figures.converged = self.convergence.converged();
        (figures.blind, figures.blind_by_staleness) = self.edges.longest();
        figures.breaches.extend(self.size.breaches());
    }
}

impl Figures {
    /// What was promised and not kept, with these limits.
    pub(super) fn check(&mut self, limits: Limits) {
        let broken = [
            writes::check(self, limits),
            age::check(self.oldest),
            edges::check(self.blind_by_staleness, limits.staleness),
            convergence::check(self.converged).filter(|_| limits.heals),
        ];
        self.breaches.extend(broken.into_iter().flatten());
    }
}
