//! What a failed attempt means for its instance: what it costs, and whether the instance is taken out.

use super::attempts::Attempt;
use super::fleet::Fleet;
use super::outlier::Case;
use super::success;
use crate::time::{Duration, Instant};

impl Fleet {
    /// The attempt had no answer, or a bad one, and counts as slow as `cost`. Returns for how long the instance is
    /// taken out, when this takes it out.
    pub(super) fn failed(
        &mut self,
        position: usize,
        attempt: Attempt,
        cost: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let case = self.case(attempt, now);
        let endpoint = &mut self.endpoints[position];
        endpoint.latency.penalise(cost, now);
        endpoint.success.record(false, now);
        let in_a_row = endpoint.outlier.failed(now, case);
        let ejection = in_a_row.or_else(|| self.compared(position, case, now))?;
        // When its time is over, its failures must not starve it of the trial.
        self.endpoints[position].latency.forgive();
        self.ejected_for(ejection)
    }

    /// The answer broke off after its head.
    pub(super) fn broke(&mut self, position: usize, attempt: Attempt, now: Instant) -> Option<Duration> {
        let case = self.case(attempt, now);
        let endpoint = &mut self.endpoints[position];
        endpoint.success.record(false, now);
        let in_a_row = endpoint.outlier.broke(now, case);
        let ejection = in_a_row.or_else(|| self.compared(position, case, now))?;
        self.ejected_for(ejection)
    }

    /// No connection came about.
    pub(super) fn refused(&mut self, position: usize, attempt: Attempt, now: Instant) -> Option<Duration> {
        let case = self.case(attempt, now);
        let ejection = self.endpoints[position].outlier.refused(now, case)?;
        self.ejected_for(ejection)
    }

    /// Takes the instance out when it fails clearly more often than the others.
    fn compared(&mut self, position: usize, case: Case, now: Instant) -> Option<Duration> {
        let rate = self.endpoints[position].success.rate_once_a_second(now)?;
        let others = self
            .endpoints
            .iter()
            .enumerate()
            .filter(|(i, e)| *i != position && e.is_usable() && e.ejected(now).is_none());
        if !success::is_outlier(rate, others.filter_map(|(_, other)| other.success.rate(now))) {
            return None;
        }
        self.endpoints[position].outlier.stands_out(now, case)
    }

    const fn ejected_for(&mut self, ejection: Duration) -> Option<Duration> {
        self.ejects = true;
        Some(ejection)
    }

    fn case(&self, attempt: Attempt, now: Instant) -> Case {
        Case { permitted: self.can_spare_one(now), on_trial: attempt.trial }
    }
}
