//! The steps of a pick: who can take the request at all, who of them should, and who gets it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::balance;
use super::endpoint::Endpoint;
use super::fleet::{Averages, Fleet};
use super::reason::Reason;
use super::request::{Ask, EndpointKey, Pick, Ticket, Tried};
use crate::time::Instant;

/// Why this instance cannot get the request; `None` when it can.
pub(super) fn refusal(
    endpoint: &Endpoint,
    fleet: &Fleet,
    ask: &Ask<'_>,
    tried: &[Tried],
    panic: bool,
    now: Instant,
) -> Option<Reason> {
    if let Some(tried) = tried.iter().find(|tried| tried.worker == endpoint.worker) {
        return Some(tried.reason);
    }
    let version = &endpoint.version;
    let is_meant = match &ask.version {
        Some(selector) => selector.matches(version),
        None => ask.worker.is_some() || fleet.choice.split.has_share(version),
    };
    if !is_meant {
        return Some(Reason::VersionMismatch);
    }
    endpoint.refuses(ask.need, now).or_else(|| {
        let ejected = !panic && endpoint.ejected(now).is_some();
        ejected.then_some(Reason::Ejected)
    })
}

/// The instances that can take the request and that no other one is to be preferred to.
pub(super) fn candidates<'a>(
    fleet: &'a Fleet,
    ask: &Ask<'_>,
    tried: &[Tried],
    now: Instant,
) -> Vec<&'a Endpoint> {
    let panic = fleet.is_in_panic(now);
    let asked = |e: &&Endpoint| ask.worker.is_none_or(|worker| e.worker == worker);
    let able = |e: &&Endpoint| refusal(e, fleet, ask, tried, panic, now).is_none();
    let ranked: Vec<_> =
        fleet.endpoints.iter().filter(asked).filter(able).map(|e| (e.rank(now), e)).collect();
    let best = ranked.iter().map(|(rank, _)| *rank).min();
    ranked.into_iter().filter(|(rank, _)| Some(*rank) == best).map(|(_, endpoint)| endpoint).collect()
}

/// The one of the candidates that gets the request: by the canary split, then by affinity, then by load.
pub(super) fn choose<'a>(
    fleet: &'a Fleet,
    mut candidates: Vec<&'a Endpoint>,
    ask: &Ask<'_>,
    averages: &Averages,
    now: Instant,
    rng: &mut ChaCha8Rng,
) -> Option<&'a Endpoint> {
    let affinity = ask.affinity.filter(|value| !value.is_empty());
    let split = &fleet.choice.split;
    if !split.is_empty() && ask.version.is_none() && ask.worker.is_none() {
        let groups: Vec<usize> = candidates.iter().map(|e| split.group(&e.version)).collect();
        // Who belongs to an instance belongs to a version too: a session must not change sides.
        let unit = affinity.map_or_else(|| rng.random(), balance::unit_of);
        let drawn = split.draw(&groups, unit)?;
        candidates.retain(|e| split.group(&e.version) == drawn);
    }
    affinity
        .and_then(|value| balance::rendezvous(&candidates, value, averages, now))
        .or_else(|| balance::power_of_two(&candidates, averages, now, rng))
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
