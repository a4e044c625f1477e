//! Why a request that nothing could serve was refused, and why one that was served went where it went.

use super::balance;
use super::endpoint::Endpoint;
use super::fleet::Fleet;
use super::request::{Ask, Pick, Tried};
use super::select::Terms;
use super::selector::InstanceVersion;
use super::table::Table;
use super::unavailable::{RefusedInstance, Unavailable};
use crate::time::{Duration, Instant};

/// The most instances that one explanation lists.
const MAX_EXPLAINED: usize = 16;

/// The most service names that one 503 lists.
const MAX_NAMES: usize = 256;

/// All that is known about why no instance can take the request.
pub(super) fn unavailable(table: &Table, ask: &Ask<'_>, tried: &[Tried], now: Instant) -> Unavailable {
    let is_available = |name: &str, fleet: &Fleet| {
        fleet.is_available() && (name != ask.service || is_servable(fleet, ask.service, tried, now))
    };
    let available = table.fleets.iter().filter(|(name, fleet)| is_available(name.as_str(), fleet));
    let names = available.map(|(name, _)| name.clone()).take(MAX_NAMES).collect();
    let fleet = table.fleets.get(ask.service);
    let instances = fleet.map(|fleet| refused(fleet, ask, tried, now)).unwrap_or_default();
    let readmission = fleet.and_then(|fleet| next_readmission(fleet, now));
    Unavailable::new(ask, names, instances, readmission)
}

/// One line: who was picked at what score, and what that is made of; the scores of those it was drawn from; and who
/// could not be drawn, and why.
pub(super) fn explain(fleet: &Fleet, ask: &Ask<'_>, tried: &[Tried], pick: &Pick, now: Instant) -> String {
    let averages = fleet.averages();
    let mut line = format!("picked={}", pick.worker);
    if let Some(picked) = fleet.endpoint(&pick.worker) {
        line.push_str(&format!(
            " score={:.6} latency={:.6} in_flight={:.1} weight={:.1}",
            balance::score(picked, averages, now),
            picked.expected_latency(averages, now),
            balance::in_flight(picked, averages, now),
            picked.weight(now),
        ));
    }
    let candidates = candidates(fleet, ask, tried, now);
    let others = candidates.into_iter().map(|i| &fleet.endpoints[i]).filter(|e| e.worker != pick.worker);
    let scored = |e: &Endpoint| format!("{}:{:.6}", e.worker, balance::score(e, averages, now));
    list(&mut line, "others", others.map(scored));
    let rejected = refused(fleet, ask, tried, now).into_iter().filter(|r| r.worker_id != pick.worker);
    list(&mut line, "rejected", rejected.map(|r| format!("{}:{}", r.worker_id, r.reason)));
    line
}

/// The first of them, and how many more there are.
fn list(line: &mut String, name: &str, items: impl Iterator<Item = String>) {
    let mut items: Vec<String> = items.collect();
    let more = items.len().saturating_sub(MAX_EXPLAINED);
    items.truncate(MAX_EXPLAINED);
    if more > 0 {
        items.push(format!("+{more}"));
    }
    if !items.is_empty() {
        line.push_str(&format!(" {name}={}", items.join(",")));
    }
}

fn candidates(fleet: &Fleet, ask: &Ask<'_>, tried: &[Tried], now: Instant) -> Vec<usize> {
    let mut candidates = Vec::new();
    Terms::new(fleet, ask, tried, now).candidates(fleet, &mut candidates);
    candidates
}

/// The instances that did not or could not get the request; those of other workers are left out when one is asked for.
fn refused(fleet: &Fleet, ask: &Ask<'_>, tried: &[Tried], now: Instant) -> Vec<RefusedInstance> {
    let terms = Terms::new(fleet, ask, tried, now);
    let best = candidates(fleet, ask, tried, now).first().map(|i| fleet.endpoints[*i].rank(now));
    let live = fleet.endpoints.iter().filter_map(|endpoint| {
        let rank = endpoint.rank(now);
        let outranked = (best.is_some_and(|best| rank > best)).then(|| rank.reason());
        let reason = terms.refusal(fleet, endpoint).or(outranked)?;
        let version = endpoint.service.version.clone();
        Some(RefusedInstance { worker_id: endpoint.worker, version, reason })
    });
    let is_meant = |version: &str| {
        ask.version.as_ref().is_none_or(|selector| selector.matches(&InstanceVersion::new(version)))
    };
    let gone = fleet.gone.iter().filter(|(_, gone)| is_meant(&gone.version)).map(|(worker, gone)| {
        RefusedInstance { worker_id: *worker, version: gone.version.clone(), reason: gone.reason }
    });
    let asked = |instance: &RefusedInstance| ask.worker.is_none_or(|worker| instance.worker_id == worker);
    live.chain(gone).filter(asked).collect()
}

/// A request for this service without further wishes could be served.
fn is_servable(fleet: &Fleet, service: &str, tried: &[Tried], now: Instant) -> bool {
    !candidates(fleet, &Ask::of(service), tried, now).is_empty()
}

fn next_readmission(fleet: &Fleet, now: Instant) -> Option<Duration> {
    fleet.endpoints.iter().filter_map(|endpoint| endpoint.ejected(now)).min().map(|until| until.since(now))
}
