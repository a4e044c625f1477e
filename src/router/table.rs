//! The table of all services, kept in step with the view of the members.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::endpoint::Endpoint;
use super::fleet::{Fleet, Gone};
use super::reason::Reason;
use super::split::RouteChoice;
use crate::id::{NodeId, ServiceName};
use crate::manifest::{Route, Service};
use crate::time::Instant;
use crate::view::{MemberView, Status, View};

/// All services that are offered, or were until lately.
#[derive(Debug)]
pub(super) struct Table {
    local: NodeId,
    pub(super) fleets: BTreeMap<ServiceName, Fleet>,
    members: Vec<Arc<MemberView>>,
    /// Under which services a worker is listed, as live or as gone.
    listed: BTreeMap<NodeId, Vec<ServiceName>>,
    /// The boots of workers to which this entry's link is silent, and until when that counts.
    stalled: BTreeMap<NodeId, Stall>,
    generations: u64,
}

#[derive(Debug, Clone, Copy)]
struct Stall {
    epoch: u64,
    until: Instant,
}

impl Table {
    pub(super) const fn new(local: NodeId) -> Self {
        Self {
            local,
            fleets: BTreeMap::new(),
            members: Vec::new(),
            listed: BTreeMap::new(),
            stalled: BTreeMap::new(),
            generations: 0,
        }
    }

    /// Follows the view. Members that did not change since the last one cost next to nothing.
    pub(super) fn apply(&mut self, view: &View, now: Instant) {
        let before = std::mem::replace(&mut self.members, view.members.clone());
        let mut rerouted = BTreeSet::new();
        for (old, new) in changes(&before, &view.members) {
            let (was, is) = (old.map_or(&[][..], routes_of), new.map_or(&[][..], routes_of));
            if was != is {
                rerouted.extend(was.iter().chain(is).map(|route| route.service.clone()));
            }
            match (new, old) {
                (Some(member), _) if member.status.is_live() => self.list(member, now),
                (Some(member), _) => self.bury(member, now),
                (None, Some(member)) => self.forget(&member.id),
                (None, None) => {}
            }
        }
        self.drain_local(view.draining);
        for service in &rerouted {
            let choice = choose_route(&self.members, service);
            if let Some(fleet) = self.fleets.get_mut(service) {
                if fleet.choice.conflict != choice.conflict {
                    note_conflict(&choice);
                }
                fleet.set_route(choice);
            }
        }
        self.fleets.retain(|_, fleet| !fleet.is_empty());
    }

    /// This entry's link to the worker is silent.
    pub(super) fn stalled(&mut self, worker: &NodeId, until: Instant) {
        let member = self.members.binary_search_by(|member| member.id.cmp(worker)).ok();
        let Some(epoch) = member.map(|i| self.members[i].version.epoch) else { return };
        self.stalled.insert(*worker, Stall { epoch, until });
        self.set_stalled(worker, Some(until));
    }

    /// This entry's link to the worker moves.
    pub(super) fn answers(&mut self, worker: &NodeId) {
        if self.stalled.remove(worker).is_some() {
            self.set_stalled(worker, None);
        }
    }

    fn set_stalled(&mut self, worker: &NodeId, until: Option<Instant>) {
        for name in self.listed.get(worker).into_iter().flatten() {
            if let Some(endpoint) = self.fleets.get_mut(name).and_then(|fleet| fleet.endpoint_mut(worker)) {
                endpoint.set_stalled(until);
            }
        }
    }

    /// A live member: its instances are those that its manifest names.
    fn list(&mut self, member: &MemberView, now: Instant) {
        let services: &[Service] = member.manifest.as_ref().map_or(&[], |manifest| &manifest.services);
        let names: Vec<ServiceName> = services.iter().map(|service| service.name.clone()).collect();
        for name in self.listed.insert(member.id, names.clone()).unwrap_or_default() {
            if let Some(fleet) = self.fleets.get_mut(&name) {
                fleet.gone.remove(&member.id);
                if !names.contains(&name) {
                    fleet.remove(&member.id);
                }
            }
        }
        for service in services {
            self.list_service(member, service, now);
        }
    }

    fn list_service(&mut self, member: &MemberView, service: &Service, now: Instant) {
        let generation = self.generations + 1;
        let local = member.id == self.local;
        let stall = self.stalled.get(&member.id).filter(|stall| stall.epoch == member.version.epoch).copied();
        let fleet = self.fleet(&service.name, now);
        match fleet.position(&member.id) {
            Some(i) if fleet.endpoints[i].epoch == member.version.epoch => {
                fleet.change(i, |endpoint| endpoint.update(member, service, now));
            }
            // A new boot: what was seen of the last one says nothing of it.
            Some(_) | None => {
                let mut endpoint = Endpoint::new(member, service, local, generation, now);
                endpoint.set_stalled(stall.map(|stall| stall.until));
                fleet.insert(endpoint);
                self.generations = generation;
            }
        }
    }

    /// A dead or left member: it is remembered, so that callers can be told why it does not serve.
    fn bury(&mut self, member: &MemberView, now: Instant) {
        let reason = if member.status == Status::Left { Reason::Left } else { Reason::Dead };
        let services: &[Service] = member.manifest.as_ref().map_or(&[], |manifest| &manifest.services);
        let mut names = self.listed.remove(&member.id).unwrap_or_default();
        for service in services {
            if !names.contains(&service.name) {
                names.push(service.name.clone());
            }
        }
        for name in &names {
            let named = services.iter().find(|service| service.name == *name);
            let fleet = self.fleet(name, now);
            let known = fleet.remove(&member.id).map(|endpoint| endpoint.service.version.clone());
            let version = known.or_else(|| named.map(|service| service.version.clone()));
            let gone = fleet.gone.entry(member.id).or_insert(Gone { version: String::new(), reason });
            gone.reason = reason;
            if let Some(version) = version {
                gone.version = version;
            }
        }
        self.listed.insert(member.id, names);
    }

    fn forget(&mut self, worker: &NodeId) {
        self.stalled.remove(worker);
        for name in self.listed.remove(worker).unwrap_or_default() {
            if let Some(fleet) = self.fleets.get_mut(&name) {
                fleet.remove(worker);
                fleet.gone.remove(worker);
            }
        }
    }

    /// This node's own instances take nothing new as soon as it drains, before its manifest says so.
    fn drain_local(&mut self, draining: bool) {
        for name in self.listed.get(&self.local).into_iter().flatten() {
            if let Some(endpoint) = self.fleets.get_mut(name).and_then(|f| f.endpoint_mut(&self.local)) {
                endpoint.node_draining = draining;
            }
        }
    }

    fn fleet(&mut self, name: &ServiceName, now: Instant) -> &mut Fleet {
        let members = &self.members;
        self.fleets.entry(name.clone()).or_insert_with(|| {
            let choice = choose_route(members, name);
            if choice.conflict {
                note_conflict(&choice);
            }
            Fleet::new(choice, now)
        })
    }
}

fn note_conflict(choice: &RouteChoice) {
    let Route { service, rev, .. } = &*choice.route;
    if choice.conflict {
        tracing::warn!(%service, rev, "members have different routes of this revision; raise it where the right one is");
    } else {
        tracing::info!(%service, rev, "one route of the highest revision is left");
    }
}

fn choose_route(members: &[Arc<MemberView>], service: &ServiceName) -> RouteChoice {
    let routes = members.iter().flat_map(|member| routes_of(member).iter().map(|route| (member.id, route)));
    RouteChoice::among(service, routes.filter(|(_, route)| route.service == *service))
}

/// The routes that a member contributes; a dead one has no say.
fn routes_of(member: &MemberView) -> &[Route] {
    let manifest = member.manifest.as_ref().filter(|_| member.status.is_live());
    manifest.map_or(&[], |manifest| &manifest.routes)
}

/// The members that differ between two lists that are ordered by id.
fn changes<'a>(
    before: &'a [Arc<MemberView>],
    after: &'a [Arc<MemberView>],
) -> Vec<(Option<&'a MemberView>, Option<&'a MemberView>)> {
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    let mut changed = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return changed,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.id.cmp(&b.id),
        };
        let was = if order.is_le() { old.next() } else { None };
        let is = if order.is_ge() { new.next() } else { None };
        let same = matches!((was, is), (Some(a), Some(b)) if Arc::ptr_eq(a, b));
        if !same {
            changed.push((was.map(Arc::as_ref), is.map(Arc::as_ref)));
        }
    }
}
