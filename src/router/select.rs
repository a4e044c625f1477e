//! The steps of a pick: who can take the request at all, who of them should, and who gets it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::balance;
use super::endpoint::{Endpoint, Rank};
use super::fleet::Fleet;
use super::reason::Reason;
use super::request::{Ask, EndpointKey, Pick, Ticket, Tried};
use super::split::Groups;
use crate::time::Instant;

/// Fleets up to this size are looked through as a whole for each request.
const SMALL: usize = 8;

/// How often an instance is drawn blindly from a greater fleet before that is looked through as well.
const DRAWS: usize = 6;

/// What one pick has to heed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    ask: &'a Ask<'a>,
    tried: &'a [Tried],
    panic: bool,
    now: Instant,
}

impl<'a> Terms<'a> {
    pub(super) fn new(fleet: &Fleet, ask: &'a Ask<'a>, tried: &'a [Tried], now: Instant) -> Self {
        Self { ask, tried, panic: fleet.ejects && fleet.is_in_panic(now), now }
    }

    /// Why this instance cannot get the request; `None` when it can.
    pub(super) fn refusal(&self, fleet: &Fleet, endpoint: &Endpoint) -> Option<Reason> {
        if let Some(tried) = self.tried.iter().find(|tried| tried.worker == endpoint.worker) {
            return Some(tried.reason);
        }
        let is_meant = match &self.ask.version {
            Some(selector) => selector.matches(&endpoint.version),
            None => self.ask.worker.is_some() || fleet.choice.split.has_share(endpoint.group),
        };
        if !is_meant {
            return Some(Reason::VersionMismatch);
        }
        endpoint.refuses(self.ask.need, self.now).or_else(|| {
            let ejected = fleet.ejects && !self.panic && endpoint.ejected(self.now).is_some();
            ejected.then_some(Reason::Ejected)
        })
    }

    /// Collects the positions of the instances that can take the request and that no other one is to be preferred to.
    pub(super) fn candidates(&self, fleet: &Fleet, candidates: &mut Vec<usize>) {
        candidates.clear();
        let asked = match self.ask.worker {
            Some(worker) => fleet.position(&worker).map_or(0..0, |i| i..i + 1),
            None => 0..fleet.endpoints.len(),
        };
        let mut best: Option<Rank> = None;
        for i in asked {
            let endpoint = &fleet.endpoints[i];
            if self.refusal(fleet, endpoint).is_some() {
                continue;
            }
            let rank = endpoint.rank(self.now);
            if best.is_none_or(|best| rank < best) {
                best = Some(rank);
                candidates.clear();
            }
            if best == Some(rank) {
                candidates.push(i);
            }
        }
    }

    /// The position of the instance that gets the request: by the canary split, then by affinity, then by load.
    /// `scratch` is memory that is used again.
    pub(super) fn choose(
        &self,
        fleet: &Fleet,
        scratch: &mut Vec<usize>,
        rng: &mut ChaCha8Rng,
    ) -> Option<usize> {
        let affinity = self.ask.affinity.filter(|value| !value.is_empty());
        let is_divided =
            !fleet.choice.split.is_empty() && self.ask.version.is_none() && self.ask.worker.is_none();
        if !is_divided && affinity.is_none() && self.ask.worker.is_none() && fleet.endpoints.len() > SMALL {
            let sampled = self.sample(fleet, rng);
            if sampled.is_some() {
                return sampled;
            }
        }
        self.candidates(fleet, scratch);
        if is_divided {
            let mut present = Groups::default();
            scratch.iter().for_each(|i| present.insert(fleet.endpoints[*i].group));
            // Who belongs to an instance belongs to a version too: a session must not change sides.
            let unit = affinity.map_or_else(|| rng.random(), balance::unit_of);
            let drawn = fleet.choice.split.draw(present, unit)?;
            scratch.retain(|i| fleet.endpoints[*i].group == drawn);
        }
        affinity
            .and_then(|value| balance::rendezvous(fleet, scratch, value, self.now))
            .or_else(|| balance::power_of_two(fleet, scratch, self.now, rng))
    }

    /// The better of two candidates that are found by drawing blindly; `None` when that had no luck. It is as likely to
    /// be a certain one as if the candidates had all been looked for.
    fn sample(&self, fleet: &Fleet, rng: &mut ChaCha8Rng) -> Option<usize> {
        let all = fleet.endpoints.len();
        let first = if fleet.near.is_empty() {
            self.draw(fleet, rng, |rng| rng.random_range(0..all))
        } else {
            self.draw(fleet, rng, |rng| fleet.near[rng.random_range(0..fleet.near.len())])
        }?;
        let except = fleet.averages().uniform.then_some(first);
        let second = self.draw(fleet, rng, |rng| match except {
            // Any but that one.
            Some(except) => (except + rng.random_range(1..all)) % all,
            None => rng.random_range(0..all),
        })?;
        Some(balance::better(fleet, first, second, self.now))
    }

    fn draw(
        &self,
        fleet: &Fleet,
        rng: &mut ChaCha8Rng,
        position: impl Fn(&mut ChaCha8Rng) -> usize,
    ) -> Option<usize> {
        for _ in 0..DRAWS {
            let i = position(rng);
            let endpoint = &fleet.endpoints[i];
            let (weight, top) = (endpoint.weight(self.now), fleet.averages().top_weight);
            let is_drawn = weight >= top || rng.random::<f64>() * top < weight;
            let is_candidate =
                || endpoint.rank(self.now).is_best() && self.refusal(fleet, endpoint).is_none();
            if is_drawn && is_candidate() {
                return Some(i);
            }
        }
        None
    }
}

impl Endpoint {
    pub(super) fn picked(&self, ticket: Ticket) -> Pick {
        Pick {
            endpoint: EndpointKey { worker: self.worker, service: self.service.name.clone() },
            worker: self.worker,
            addr: self.addr.filter(|_| !self.local),
            local: self.local,
            timeouts: self.service.timeouts,
            service: self.service.clone(),
            ticket,
        }
    }
}
