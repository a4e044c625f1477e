//! One instance of a service, with all that this node has seen of it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::attempts::{Attempt, Attempts};
use super::averages::Averages;
use super::ewma::PeakEwma;
use super::outlier::{Cause, Outlier, Standing};
use super::reason::Reason;
use super::request::{ExitLoad, Need, Refusal};
use super::selector::InstanceVersion;
use super::success::SuccessRate;
use crate::id::{IdHash, NodeId};
use crate::manifest::{Health, Protocol, Service};
use crate::time::{Duration, Instant};
use crate::view::{Load, MemberView, Status};

/// After this long a report on the load of others counts for a third.
const REPORT_DECAY: Duration = Duration::from_secs(1);

/// How long a new instance takes to get its full share.
const SLOW_START: Duration = Duration::from_secs(10);

/// The share with which it begins.
const SLOW_START_SHARE: f64 = 0.1;

/// How long a refusal by the exit is remembered.
const REFUSAL_MEMORY: Duration = Duration::from_secs(1);

/// A node busier than this counts as saturated when it also works on more than the instance takes.
const BUSY: f32 = 0.95;

/// One instance of a service.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) worker: NodeId,
    pub(super) local: bool,
    /// Distinguishes this boot's instance from an earlier one of the same worker.
    pub(super) generation: u64,
    pub(super) epoch: u64,
    pub(super) service: Arc<Service>,
    pub(super) version: InstanceVersion,
    pub(super) addr: Option<SocketAddr>,
    pub(super) rtt: Option<Duration>,
    /// Its short name, from which all entries make the same choice for an affinity value.
    pub(super) hash: IdHash,
    /// The way to its node makes a difference, and there are nearer ones.
    pub(super) far: bool,
    /// Which entry of the canary split it belongs to.
    pub(super) group: usize,
    /// Its node said so in its manifest.
    manifest_draining: bool,
    /// It is this node's, and this node drains.
    pub(super) node_draining: bool,
    pub(super) latency: PeakEwma,
    pub(super) outlier: Outlier,
    pub(super) success: SuccessRate,
    pub(super) attempts: Attempts,
    status: Status,
    unroutable: bool,
    /// Until when this entry's link to it counts as silent.
    stalled: Option<Instant>,
    busy: bool,
    born: Instant,
    report: Option<Report>,
    refusal: Option<(Refusal, Instant)>,
}

/// What the instance worked on for other entries.
#[derive(Debug, Clone, Copy)]
struct Report {
    others: u32,
    at: Instant,
}

/// How willingly an instance is used; smaller is better, and only the best rank gets requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Rank {
    refused: bool,
    degraded: bool,
    unroutable: bool,
    suspect: bool,
    saturated: bool,
}

impl Rank {
    /// No instance can be preferred to one of this.
    pub(super) fn is_best(self) -> bool {
        self == Self::default()
    }

    /// Why an instance of a better rank is preferred to one of this.
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self { refused: true, .. } => Reason::Ejected,
            Self { degraded: true, .. } => Reason::Degraded,
            Self { unroutable: true, .. } => Reason::Unroutable,
            Self { suspect: true, .. } => Reason::Suspect,
            Self { .. } => Reason::Saturated,
        }
    }
}

impl Endpoint {
    pub(super) fn new(
        member: &MemberView,
        service: &Service,
        local: bool,
        generation: u64,
        now: Instant,
    ) -> Self {
        let mut endpoint = Self {
            worker: member.id,
            local,
            generation,
            epoch: member.version.epoch,
            service: Arc::new(service.clone()),
            version: InstanceVersion::new(&service.version),
            addr: None,
            rtt: None,
            hash: member.hash,
            far: false,
            group: 0,
            manifest_draining: false,
            node_draining: false,
            latency: PeakEwma::default(),
            outlier: Outlier::default(),
            success: SuccessRate::default(),
            attempts: Attempts::default(),
            status: Status::Alive,
            unroutable: false,
            stalled: None,
            busy: false,
            born: now,
            report: None,
            refusal: None,
        };
        endpoint.update(member, service, now);
        endpoint
    }

    /// Takes over what the member now says.
    pub(super) fn update(&mut self, member: &MemberView, service: &Service, now: Instant) {
        let was_usable = self.is_usable();
        if *self.service != *service {
            self.service = Arc::new(service.clone());
            self.version = InstanceVersion::new(&service.version);
        }
        self.addr = member.addr;
        self.rtt = member.rtt;
        self.status = member.status;
        // One that keeps dying is avoided as well, where others are to be had.
        let is_damped = member.manifest.as_ref().is_some_and(|manifest| manifest.standing.damped);
        self.unroutable = member.unroutable || is_damped;
        self.manifest_draining = member.manifest.as_ref().is_some_and(|manifest| manifest.draining);
        self.busy = member.load.is_some_and(|load| is_busy(load, service.max_in_flight));
        if self.is_usable() && !was_usable {
            self.born = now;
            self.outlier.pardon_refusal();
        }
    }

    /// Why it cannot get a request at all, whatever the others do; `None` when it can.
    pub(super) fn refuses(&self, need: Need, now: Instant) -> Option<Reason> {
        if need == Need::Http2 && self.service.protocol != Protocol::H2c {
            return Some(Reason::ProtocolMismatch);
        }
        match self.service.health {
            Health::Unhealthy => return Some(Reason::Unhealthy),
            Health::Unknown => return Some(Reason::Unknown),
            Health::Degraded | Health::Healthy => {}
        }
        if self.is_draining() {
            return Some(Reason::Draining);
        }
        if !self.local && self.addr.is_none() {
            return Some(Reason::NoRoute);
        }
        match self.refusal_at(now) {
            Some(Refusal::Draining) => Some(Reason::Draining),
            Some(Refusal::NoRoute) => Some(Reason::NoRoute),
            // What has no place may have one in a moment: its exit decides.
            Some(Refusal::Saturated) | None => None,
        }
    }

    /// Passes its checks (or nearly), and its node takes requests: it counts in its fleet.
    pub(super) fn is_usable(&self) -> bool {
        self.service.health >= Health::Degraded && !self.is_draining() && (self.local || self.addr.is_some())
    }

    /// Its node takes nothing new.
    pub(super) const fn is_draining(&self) -> bool {
        self.manifest_draining || self.node_draining
    }

    /// Until when it is out for its failures, counting a trial that is under way.
    pub(super) fn ejected(&self, now: Instant) -> Option<Instant> {
        match self.outlier.standing(now) {
            Standing::Out(Cause::Failures, until) => Some(until),
            Standing::Trial(Cause::Failures) if self.attempts.on_trial() => Some(now),
            Standing::In | Standing::Out(Cause::Refused, _) | Standing::Trial(_) => None,
        }
    }

    pub(super) fn rank(&self, now: Instant) -> Rank {
        let refused = match self.outlier.standing(now) {
            Standing::Out(cause, _) => cause == Cause::Refused,
            Standing::Trial(cause) => cause == Cause::Refused && self.attempts.on_trial(),
            Standing::In => false,
        };
        Rank {
            refused,
            degraded: self.service.health < Health::Healthy,
            unroutable: self.unroutable || self.stalled.is_some_and(|until| now < until),
            suspect: self.status == Status::Suspect,
            saturated: self.is_saturated(now),
        }
    }

    /// This entry's link to it is silent until then; `None`: it moves.
    pub(super) const fn set_stalled(&mut self, until: Option<Instant>) {
        self.stalled = until;
    }

    /// Requests that it works on for this entry.
    pub(super) fn own(&self) -> u32 {
        self.attempts.count()
    }

    /// What it worked on for other entries, and how much that report still counts (0 to 1).
    pub(super) fn others(&self, now: Instant) -> Option<(f64, f64)> {
        let report = self.report?;
        let age = now.since(report.at).as_secs_f64();
        Some((f64::from(report.others), (-age / REPORT_DECAY.as_secs_f64()).exp()))
    }

    /// What it worked on for other entries, if that was reported since `oldest`.
    pub(super) fn others_since(&self, oldest: Instant) -> Option<f64> {
        self.report.filter(|report| report.at >= oldest).map(|report| f64::from(report.others))
    }

    /// Its share of traffic; a new instance begins with a tenth of it.
    pub(super) fn weight(&self, now: Instant) -> f64 {
        let weight = f64::from(self.service.weight.max(1));
        let age = now.since(self.born);
        if age >= SLOW_START {
            return weight;
        }
        let warmth = age.as_secs_f64() / SLOW_START.as_secs_f64();
        weight * (SLOW_START_SHARE + (1.0 - SLOW_START_SHARE) * warmth)
    }

    /// The time to its first byte to expect now, in seconds. While nothing is known of it: what its fleet takes, plus
    /// the way to its own node.
    pub(super) fn expected_latency(&self, fleet: &Averages, now: Instant) -> f64 {
        self.latency.get_at(now, fleet.service_time + self.distance().unwrap_or(fleet.distance))
    }

    /// The way to its node and back, in seconds; `None` when it was not measured.
    pub(super) fn distance(&self) -> Option<f64> {
        if self.local { Some(0.0) } else { self.rtt.map(|rtt| rtt.as_secs_f64()) }
    }

    pub(super) fn begin(&mut self, number: u64, now: Instant) {
        let trial = matches!(self.outlier.standing(now), Standing::Trial(_));
        self.attempts.begin(number, Attempt { started: now, answered: false, trial });
    }

    pub(super) fn report(&mut self, load: ExitLoad, now: Instant) {
        self.report = Some(Report { others: load.in_flight.saturating_sub(self.own()), at: now });
    }

    pub(super) fn refused_by_exit(&mut self, refusal: Refusal, now: Instant) {
        self.refusal = Some((refusal, now + REFUSAL_MEMORY));
    }

    fn refusal_at(&self, now: Instant) -> Option<Refusal> {
        self.refusal.filter(|(_, until)| now < *until).map(|(refusal, _)| refusal)
    }

    /// As far as is known, it would refuse.
    fn is_saturated(&self, now: Instant) -> bool {
        let cap = self.service.max_in_flight;
        let reported = self.report.map_or(0, |report| report.others);
        // Nearly always not even a fresh report would do.
        let over = cap > 0 && self.own().saturating_add(reported) >= cap && {
            let others = self.others(now).map_or(0.0, |(others, confidence)| others * confidence);
            f64::from(self.own()) + others >= f64::from(cap)
        };
        over || self.busy || self.refusal_at(now) == Some(Refusal::Saturated)
    }
}

fn is_busy(load: Load, max_in_flight: u32) -> bool {
    load.busy > BUSY && max_in_flight > 0 && load.in_flight > max_in_flight
}
