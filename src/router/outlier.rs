//! Outlier detection: takes an instance that keeps failing out for a while, and lets it back by one trial.

use crate::time::{Duration, Instant};

/// Failures in a row that take an instance out.
const MAX_FAILURES: u32 = 5;

/// How long the first ejection lasts; the n-th lasts n times as long.
const BASE_EJECTION: Duration = Duration::from_secs(30);

/// The most that the ejection time is multiplied by.
const MAX_TIMES: u32 = 10;

/// How long the first ejection after a refused connection lasts; each further one lasts twice as long.
const BASE_REFUSAL: Duration = Duration::from_secs(1);

/// The longest ejection after a refused connection.
const MAX_REFUSAL: Duration = Duration::from_secs(30);

/// Time in service that makes up for one ejection.
const REDEMPTION: Duration = Duration::from_secs(60);

/// The record of one instance.
#[derive(Debug, Clone, Default)]
pub(super) struct Outlier {
    failures: u32,
    broken: u32,
    refusals: u32,
    times: u32,
    readmitted: Instant,
    ejection: Option<Ejection>,
}

#[derive(Debug, Clone, Copy)]
struct Ejection {
    until: Instant,
    cause: Cause,
}

/// Why an instance was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Failures in a row, or too many of them: it is not used before its time is over.
    Failures,
    /// A refused connection: it is used only when there is nothing else, which costs the caller nothing.
    Refused,
}

/// What there is to know beside the failure itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    /// The fleet can do without the instance.
    pub(super) permitted: bool,
    /// The attempt was the trial of an instance whose ejection was over.
    pub(super) on_trial: bool,
}

/// Whether an instance takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It does.
    In,
    /// It is out until then.
    Out(Cause, Instant),
    /// Its time is over: one request at a time decides.
    Trial(Cause),
}

impl Outlier {
    pub(super) fn standing(&self, now: Instant) -> Standing {
        match self.ejection {
            None => Standing::In,
            Some(ejection) if now < ejection.until => Standing::Out(ejection.cause, ejection.until),
            Some(ejection) => Standing::Trial(ejection.cause),
        }
    }

    /// It is out, or on trial.
    pub(super) const fn is_out(&self) -> bool {
        self.ejection.is_some()
    }

    /// The head of a good answer came.
    pub(super) fn answered(&mut self, now: Instant) {
        self.failures = 0;
        self.refusals = 0;
        let readmits = match self.standing(now) {
            Standing::In => false,
            Standing::Out(cause, _) => cause == Cause::Refused,
            Standing::Trial(_) => true,
        };
        if readmits {
            self.ejection = None;
            self.readmitted = now;
        }
    }

    /// A good answer came to its end.
    pub(super) fn completed(&mut self) {
        self.broken = 0;
    }

    /// An attempt failed. Returns how long the instance is out when this takes it out.
    pub(super) fn failed(&mut self, now: Instant, case: Case) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        self.judge(self.failures, now, case)
    }

    /// An answer broke off after its head. Counted apart, since the head of the next answer says nothing of it.
    pub(super) fn broke(&mut self, now: Instant, case: Case) -> Option<Duration> {
        self.broken = self.broken.saturating_add(1);
        self.judge(self.broken, now, case)
    }

    /// Its own node says that it is back.
    pub(super) fn pardon_refusal(&mut self) {
        self.ejection = self.ejection.filter(|ejection| ejection.cause != Cause::Refused);
    }

    /// No connection came about.
    pub(super) fn refused(&mut self, now: Instant, case: Case) -> Option<Duration> {
        match self.standing(now) {
            Standing::Out(_, _) => return None,
            Standing::Trial(Cause::Failures) => return self.judge(0, now, case),
            Standing::In | Standing::Trial(Cause::Refused) => {}
        }
        let time = BASE_REFUSAL.saturating_mul(1 << self.refusals.min(8)).min(MAX_REFUSAL);
        self.refusals = self.refusals.saturating_add(1);
        self.ejection = Some(Ejection { until: now + time, cause: Cause::Refused });
        Some(time)
    }

    /// It takes part, and fails more often than the others. Returns how long the instance is out.
    pub(super) fn stands_out(&mut self, now: Instant, case: Case) -> Option<Duration> {
        if self.standing(now) == Standing::In { self.eject(now, case.permitted) } else { None }
    }

    fn judge(&mut self, in_a_row: u32, now: Instant, case: Case) -> Option<Duration> {
        match self.standing(now) {
            Standing::Out(Cause::Failures, _) => return None,
            Standing::Trial(Cause::Failures) if case.on_trial => return self.eject(now, case.permitted),
            // It began before the ejection and says nothing of now.
            Standing::Trial(Cause::Failures) => return None,
            // It can be connected to again.
            Standing::Out(Cause::Refused, _) | Standing::Trial(Cause::Refused) => self.ejection = None,
            Standing::In => {}
        }
        if in_a_row >= MAX_FAILURES { self.eject(now, case.permitted) } else { None }
    }

    fn eject(&mut self, now: Instant, permitted: bool) -> Option<Duration> {
        if !permitted {
            self.ejection = None;
            return None;
        }
        self.times = (self.times_left(now) + 1).min(MAX_TIMES);
        let time = BASE_EJECTION * self.times;
        self.ejection = Some(Ejection { until: now + time, cause: Cause::Failures });
        self.readmitted = now + time;
        (self.failures, self.broken) = (0, 0);
        Some(time)
    }

    fn times_left(&self, now: Instant) -> u32 {
        let redeemed = now.since(self.readmitted).as_secs() / REDEMPTION.as_secs();
        self.times.saturating_sub(u32::try_from(redeemed).unwrap_or(u32::MAX))
    }
}
