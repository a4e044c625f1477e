//! Hard death: a watch link broke, and the host refuses new connections where the process was, twice. The process is
//! gone, and nobody need wait for a timer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{ConnectOutcome, Membership, Output, watchers};
use crate::id::IdHash;
use crate::time::{Duration, Instant, earliest};
use crate::wire::packet::Seen;

/// Between the two refused connections, at least.
const SECOND_CONNECT: Duration = Duration::from_millis(100);

/// Where nobody else can confirm it, all is seen twice, so far apart.
const SECOND_LOOK: Duration = Duration::from_millis(500);

/// Connections that must be refused, by one watcher.
const REFUSALS: u32 = 2;

/// With so many members a second watcher must agree.
const QUORATE: usize = 4;

/// Subjects whose end is looked into, or reported, at the same time.
const MAX_SUBJECTS: usize = 256;

/// A report counts for this long.
const COUNTS_FOR: Duration = Duration::from_secs(10);

/// The end of one member, as far as it is known here.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// This node's own look into it.
    own: Option<Inquest>,
    /// Who found that the process is gone, and when.
    reports: BTreeMap<IdHash, Instant>,
}

#[derive(Debug)]
struct Inquest {
    refusals: u32,
    began: Instant,
    /// When to connect again, or to conclude; `None` while a connection is under way.
    due: Option<Instant>,
    /// Done once already, where that is not enough.
    is_second: bool,
}

/// All endings that are looked into.
pub(super) type Endings = BTreeMap<IdHash, Ending>;

impl Membership {
    /// The watch link to a member broke without a goodbye.
    pub fn handle_link_lost(&mut self, subject: IdHash, now: Instant) {
        let is_open = self.may_accuse && !self.holds_accusations && self.leaving.is_none();
        if !is_open
            || !self.detector.has_witnesses()
            || !self.members.get(&subject).is_some_and(|member| member.is_live())
        {
            return;
        }
        if let Some(id) = self.members.get(&subject).map(|member| member.id) {
            self.evidence(id, "the watch link to it broke without a goodbye".to_owned(), None);
        }
        self.begin_inquest(subject, false, now);
    }

    fn begin_inquest(&mut self, subject: IdHash, is_second: bool, now: Instant) {
        self.forget_old_endings(now);
        let is_full = self.endings.len() >= MAX_SUBJECTS && !self.endings.contains_key(&subject);
        let ending = if is_full { return } else { self.endings.entry(subject).or_default() };
        if ending.own.as_ref().is_some_and(|own| own.is_second || !is_second) {
            return;
        }
        ending.own = Some(Inquest { refusals: 0, began: now, due: None, is_second });
        self.challenge(subject, true, now);
        self.outputs.push_back(Output::Connect { subject });
    }

    /// A connection to a member was tried.
    pub fn handle_connected(&mut self, subject: IdHash, outcome: ConnectOutcome, now: Instant) {
        let timeout = self.answer_time();
        let Some(own) = self.endings.get_mut(&subject).and_then(|ending| ending.own.as_mut()) else { return };
        match outcome {
            ConnectOutcome::Refused => {
                own.refusals += 1;
                // The ping that went out with the first connection has its time to be answered.
                let answered_by = own.began + timeout;
                let next = if own.refusals < REFUSALS { now + SECOND_CONNECT } else { answered_by };
                own.due = Some(next.max(now));
            }
            ConnectOutcome::Proven => self.end_inquest(subject),
            ConnectOutcome::OtherPeer | ConnectOutcome::Silent => {
                self.end_inquest(subject);
                self.accuse(subject, "its watch link broke", now);
            }
        }
    }

    pub(super) fn continue_inquests(&mut self, now: Instant) {
        let due = |(subject, ending): (&IdHash, &Ending)| {
            ending.own.as_ref().and_then(|own| own.due).filter(|at| *at <= now).map(|_| *subject)
        };
        let due: Vec<IdHash> = self.endings.iter().filter_map(due).collect();
        for subject in due {
            let Some(own) = self.endings.get_mut(&subject).and_then(|ending| ending.own.as_mut()) else {
                continue;
            };
            own.due = None;
            if own.refusals < REFUSALS {
                self.outputs.push_back(Output::Connect { subject });
            } else {
                let is_second = own.is_second;
                self.conclude(subject, is_second, now);
            }
        }
    }

    /// The process is gone, as far as this node can tell.
    fn conclude(&mut self, subject: IdHash, is_second: bool, now: Instant) {
        let Some(member) = self.members.get(&subject).filter(|member| member.is_live()) else {
            self.endings.remove(&subject);
            return;
        };
        let id = member.id;
        let is_small = self.live_count() < QUORATE;
        if is_small && !is_second {
            // Nothing may be concluded from one look; the second one begins after a while.
            self.second_looks.push((now + SECOND_LOOK, subject));
            return;
        }
        self.evidence(id, "its host refuses connections where it was".to_owned(), None);
        if is_small {
            self.declare_dead(subject, 1, now);
            return;
        }
        // Unless somebody agrees by then, its watchers are asked.
        self.second_looks.push((now + SECOND_LOOK, subject));
        let mut others = watchers::of(subject, &self.others_and_self());
        others.retain(|id| *id != self.hash);
        for watcher in others {
            self.send_verdict(watcher, 0, subject, Seen::Gone);
        }
        self.handle_gone(subject, self.hash, now);
        self.take_verdict(subject, self.hash, Seen::Gone, now);
    }

    pub(super) fn take_second_looks(&mut self, now: Instant) {
        let due: Vec<IdHash> =
            self.second_looks.iter().filter(|(at, _)| *at <= now).map(|(_, subject)| *subject).collect();
        self.second_looks.retain(|(at, _)| *at > now);
        for subject in due {
            // An answer in between has ended the inquest.
            let Some(own) = self.endings.get(&subject).and_then(|ending| ending.own.as_ref()) else {
                continue;
            };
            if self.live_count() < QUORATE && !own.is_second {
                self.begin_inquest(subject, true, now);
            } else {
                self.accuse(subject, "its process is gone", now);
            }
        }
    }

    /// A watcher found that the process is gone. Two that agree are enough, of which this node is one.
    pub(super) fn handle_gone(&mut self, subject: IdHash, from: IdHash, now: Instant) {
        self.forget_old_endings(now);
        let is_full = self.endings.len() >= MAX_SUBJECTS && !self.endings.contains_key(&subject);
        let is_watcher = watchers::of(subject, &self.others_and_self()).contains(&from);
        let is_answered = self.accusations.get(&subject).is_some_and(|accusation| accusation.is_answered);
        if is_full || !is_watcher || is_answered || self.is_self_suspecting(now) {
            return;
        }
        let ending = self.endings.entry(subject).or_default();
        ending.reports.insert(from, now);
        let reporters: Vec<IdHash> = ending.reports.keys().copied().collect();
        if reporters.contains(&self.hash) && self.are_independent(&reporters, subject) {
            self.declare_dead(subject, reporters.len(), now);
        }
    }

    /// Two reporters on different hosts, unless the subject shares this one.
    fn are_independent(&self, reporters: &[IdHash], subject: IdHash) -> bool {
        let host = |id: &IdHash| match self.members.get(id) {
            Some(member) => member.addr.map(|addr| addr.ip()),
            None => self.addr.map(|addr| addr.ip()),
        };
        let subject = host(&subject);
        let is_local = subject.is_some_and(|ip| ip.is_loopback()) || subject == host(&self.hash);
        let hosts: BTreeSet<Option<IpAddr>> = reporters.iter().map(host).collect();
        reporters.len() >= 2 && (is_local || hosts.len() >= 2)
    }

    /// The subject answered, or is held dead, or has a new boot: what was found is void.
    pub(super) fn end_inquest(&mut self, subject: IdHash) {
        self.endings.remove(&subject);
    }

    pub(super) fn next_inquest_due(&self) -> Option<Instant> {
        let own =
            self.endings.values().filter_map(|ending| ending.own.as_ref().and_then(|own| own.due)).min();
        earliest(own, self.second_looks.iter().map(|(at, _)| *at).min())
    }

    fn forget_old_endings(&mut self, now: Instant) {
        for ending in self.endings.values_mut() {
            ending.reports.retain(|_, at| now.since(*at) < COUNTS_FOR);
        }
        let is_recent = |own: &Inquest| now.since(own.began) < COUNTS_FOR;
        self.endings
            .retain(|_, ending| !ending.reports.is_empty() || ending.own.as_ref().is_some_and(is_recent));
    }

    pub(super) fn others_and_self(&self) -> Vec<IdHash> {
        self.order.iter().copied().chain([self.hash]).collect()
    }
}
