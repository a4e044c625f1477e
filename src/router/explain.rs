//! Why a request that nothing could serve was refused, and why one that was served went where it went.

use super::balance;
use super::fleet::Fleet;
use super::request::{Ask, Pick, Tried};
use super::select;
use super::selector::InstanceVersion;
use super::table::Table;
use super::unavailable::{RefusedInstance, Unavailable};
use crate::id::NodeId;
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

/// One line: who was picked and at what score, who was there beside it, and who was not eligible and why.
pub(super) fn explain(fleet: &Fleet, ask: &Ask<'_>, tried: &[Tried], pick: &Pick, now: Instant) -> String {
    let averages = fleet.last_averages();
    let score = |worker: &NodeId| fleet.endpoint(worker).map_or(0.0, |e| balance::score(e, &averages, now));
    let mut line = format!("picked={} score={:.4}", pick.worker, score(&pick.worker));
    let candidates = select::candidates(fleet, ask, tried, now);
    let others = candidates.iter().map(|e| e.worker).filter(|worker| *worker != pick.worker);
    let others: Vec<String> =
        others.take(MAX_EXPLAINED).map(|worker| format!("{worker}:{:.4}", score(&worker))).collect();
    let rejected = refused(fleet, ask, tried, now).into_iter().filter(|r| r.worker_id != pick.worker);
    let rejected: Vec<String> =
        rejected.take(MAX_EXPLAINED).map(|r| format!("{}:{}", r.worker_id, r.reason)).collect();
    for (name, list) in [("others", others), ("rejected", rejected)] {
        if !list.is_empty() {
            line.push_str(&format!(" {name}={}", list.join(",")));
        }
    }
    line
}

/// The instances that did not or could not get the request; those of other workers are left out when one is asked for.
fn refused(fleet: &Fleet, ask: &Ask<'_>, tried: &[Tried], now: Instant) -> Vec<RefusedInstance> {
    let panic = fleet.is_in_panic(now);
    let candidates = select::candidates(fleet, ask, tried, now);
    let best = candidates.first().map(|endpoint| endpoint.rank(now));
    let live = fleet.endpoints.iter().filter_map(|endpoint| {
        let rank = endpoint.rank(now);
        let outranked = (best.is_some_and(|best| rank > best)).then(|| rank.reason());
        let reason = select::refusal(endpoint, fleet, ask, tried, panic, now).or(outranked)?;
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
    !select::candidates(fleet, &Ask::of(service), tried, now).is_empty()
}

fn next_readmission(fleet: &Fleet, now: Instant) -> Option<Duration> {
    fleet.endpoints.iter().filter_map(|endpoint| endpoint.ejected(now)).min().map(|until| until.since(now))
}
