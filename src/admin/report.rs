//! Turns a view into the API's answers; pure, so that a view and a moment always give the same JSON.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::model::{
    Instance, Leader, RetryBudget, RouteEntry, ServiceEntry, Services, SplitEntry, Worker, WorkerService,
};
use super::moment::{self, Moment};
use crate::id::{NodeId, ServiceName};
use crate::manifest::{Health, Manifest, Route, Service};
use crate::router::Standing;
use crate::time::{Duration, Instant};
use crate::view::{MemberView, SummaryStatus, View};

/// All members, ordered by id.
pub(crate) fn workers(view: &View, moment: Moment) -> Vec<Worker> {
    view.members.iter().map(|member| worker(view, member, moment)).collect()
}

fn worker(view: &View, member: &MemberView, moment: Moment) -> Worker {
    let manifest = member.manifest.as_deref();
    let load = member.load.filter(|_| member.status.is_live());
    Worker {
        worker_id: member.id,
        name: manifest.map(|manifest| manifest.name.clone()).unwrap_or_default(),
        tier: manifest.map_or(0, |manifest| manifest.tier),
        status: member.status,
        unroutable: member.unroutable,
        penalty: penalty(member),
        damped: is_damped(member),
        draining: manifest.is_some_and(|manifest| manifest.draining),
        is_heartbeat_leader: view.leader.leader == Some(member.id),
        address: member.addr.map(|addr| addr.to_string()),
        reach: "direct".to_owned(),
        rtt_ms: member.rtt.map(millis),
        tunnel_url: not_empty(manifest, |manifest| &manifest.public_url),
        zone: not_empty(manifest, |manifest| &manifest.zone),
        epoch: member.version.epoch,
        incarnation: member.version.incarnation,
        first_seen: moment.timestamp(member.first_seen),
        last_heartbeat: moment.timestamp(last_heard(view, member, moment)),
        current_load: load.map(|load| load.busy),
        available_memory: load.map(|load| load.available_memory),
        in_flight: load.map(|load| load.in_flight),
        capabilities: manifest.map(|manifest| manifest.capabilities.clone()),
        services: manifest.map(|manifest| services_of(member, manifest)).unwrap_or_default(),
        meshnode_version: not_empty(manifest, |manifest| &manifest.meshnode_version),
    }
}

/// The penalty that a member publishes.
pub(crate) fn penalty(member: &MemberView) -> f64 {
    f64::from(member.manifest.as_ref().map_or(0, |manifest| manifest.standing.penalty)) / 10.0
}

/// Whether a member says that it is damped.
pub(crate) fn is_damped(member: &MemberView) -> bool {
    member.manifest.as_ref().is_some_and(|manifest| manifest.standing.damped)
}

/// When this node last heard from `member`; from itself, now.
pub(crate) fn last_heard(view: &View, member: &MemberView, moment: Moment) -> Instant {
    if member.id == view.local { moment.now } else { member.last_heard }
}

/// A round trip or silence in milliseconds, to the microsecond.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn not_empty(manifest: Option<&Manifest>, field: impl Fn(&Manifest) -> &String) -> Option<String> {
    manifest.map(field).filter(|text| !text.is_empty()).cloned()
}

fn services_of(member: &MemberView, manifest: &Manifest) -> Vec<WorkerService> {
    let service = |service: &Service| WorkerService {
        name: service.name.clone(),
        port: service.port,
        version: service.version.clone(),
        // What a dead node said last is no news of its services.
        health: if member.status.is_live() { service.health } else { Health::Unknown },
        tags: service.tags.clone(),
        weight: service.weight,
    };
    manifest.services.iter().map(service).collect()
}

/// All services with their instances on live members; `standings` are ordered by service and worker.
pub(crate) fn services(view: &View, standings: &[Standing]) -> Services {
    let mut services = Services::new();
    for member in view.live() {
        let Some(manifest) = member.manifest.as_deref() else { continue };
        for service in &manifest.services {
            let entry = services.entry(service.name.clone()).or_default();
            entry.workers.push(instance(member, manifest, service, standings));
            *entry.versions.entry(service.version.clone()).or_default() += 1;
        }
    }
    let mut routes = routes(view);
    for (name, entry) in &mut services {
        entry.version_drift = entry.versions.keys().filter(|version| !version.is_empty()).count() > 1;
        add_route(entry, routes.remove(name).unwrap_or_default());
    }
    services
}

fn instance(member: &MemberView, manifest: &Manifest, service: &Service, standings: &[Standing]) -> Instance {
    let place = standings.binary_search_by(|it| (&it.service, it.worker).cmp(&(&service.name, member.id)));
    let standing = place.ok().and_then(|place| standings.get(place));
    Instance {
        worker_id: member.id,
        name: manifest.name.clone(),
        version: service.version.clone(),
        health: service.health,
        current_load: member.load.map(|load| load.busy),
        in_flight: standing.map(|it| it.in_flight),
        latency_ms: standing.and_then(|it| it.latency).map(millis),
        ejected: standing.is_some_and(|it| it.ejected.is_some()),
        reason: standing.and_then(|it| it.reason).map(|reason| reason.as_str().to_owned()),
    }
}

/// Every configured route of each service, in the order of their owners.
fn routes(view: &View) -> BTreeMap<&ServiceName, Vec<(NodeId, &Route)>> {
    let mut routes = BTreeMap::<_, Vec<_>>::new();
    for member in view.live() {
        for route in member.manifest.iter().flat_map(|manifest| &manifest.routes) {
            routes.entry(&route.service).or_default().push((member.id, route));
        }
    }
    routes
}

fn add_route(entry: &mut ServiceEntry, routes: Vec<(NodeId, &Route)>) {
    let Some((owner, winner)) = routes.iter().max_by_key(|(owner, route)| (route.rev, *owner)) else {
        return;
    };
    entry.route_conflict = routes.iter().any(|(_, route)| route.rev == winner.rev && route != winner);
    entry.route = Some(route(*owner, winner));
}

fn route(owner: NodeId, route: &Route) -> RouteEntry {
    RouteEntry {
        worker_id: owner,
        rev: route.rev,
        split: route
            .split
            .iter()
            .map(|split| SplitEntry { version: split.version.clone(), percent: split.percent })
            .collect(),
        retry_budget: RetryBudget {
            percent: route.retry_percent,
            min_per_second: route.retry_min_per_second,
        },
        hedge_after: written(route.hedge_after),
        affinity_header: route.affinity_header.clone(),
    }
}

fn written(duration: Duration) -> String {
    format!("{:#}", SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX))
}

/// What is known of the leader and of its writes to `store`.
pub(crate) fn leader(view: &View, store: &str, moment: Moment) -> Leader {
    let known = &view.leader;
    let manifest = known.leader.and_then(|id| view.member(&id)).and_then(|member| member.manifest.as_ref());
    let summary = &known.summary;
    Leader {
        worker_id: known.leader,
        name: manifest.map(|manifest| manifest.name.clone()),
        term: known.term,
        since: known.leader.and(known.since).map(|since| moment.timestamp(since)),
        is_self: known.leader == Some(view.local),
        warm: summary.warm,
        candidates: known.candidates.clone(),
        store: store.to_owned(),
        store_ok: summary.store_ok,
        writes_today: summary.writes_today,
        budget_left: summary.budget_left,
        last_write: summary.last_write.map(unix),
        next_slot: summary.next_slot.or_else(|| next_hour(summary, moment)).map(unix),
        last_error: summary.last_error.clone(),
    }
}

/// By this machine's clock, on a node that has not read the store and so does not know what its clock shows.
fn next_hour(summary: &SummaryStatus, moment: Moment) -> Option<u64> {
    summary.budget_left.map(|_| (moment.unix.as_secs() / 3_600 + 1) * 3_600)
}

fn unix(seconds: u64) -> Timestamp {
    moment::timestamp(Duration::from_secs(seconds))
}
