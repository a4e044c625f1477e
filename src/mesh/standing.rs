//! Who may lead, and what the summary's writer is told about the members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Event, Mesh};
use crate::election::Candidate;
use crate::id::{IdHash, NodeId, ServiceName};
use crate::manifest::{Health, Manifest, Standing};
use crate::summary::{Census, CensusMember};
use crate::time::{Duration, Instant};
use crate::view::Status;

/// Between two looks at the roster, for each member.
const ROSTER_REST_PER_MEMBER: Duration = Duration::from_micros(20);

/// When the roster (who may lead, and what the summary would say) is looked at anew.
#[derive(Debug)]
pub(super) struct Roster {
    is_stale: bool,
    not_before: Instant,
}

impl Roster {
    pub(super) const fn new(now: Instant) -> Self {
        Self { is_stale: true, not_before: now }
    }

    /// Members or manifests changed.
    pub(super) const fn touch(&mut self) {
        self.is_stale = true;
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_stale && self.not_before <= now
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.is_stale.then_some(self.not_before)
    }

    fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.is_due(now);
        self.is_stale &= !is_due;
        is_due
    }

    /// What changed is not to wait.
    pub(super) const fn hurry(&mut self, now: Instant) {
        self.not_before = now;
    }

    const fn rest_until(&mut self, at: Instant) {
        self.not_before = at;
    }
}

impl Mesh {
    /// Looks at candidates and census anew, if members or manifests changed.
    ///
    /// That costs time in proportion to the members, so a large mesh whose members come in a rush does it less often.
    pub(super) fn refresh_roster(&mut self, now: Instant) {
        if !self.roster.take_due(now) {
            return;
        }
        let members = u32::try_from(self.membership.live_count()).unwrap_or(u32::MAX);
        self.roster.rest_until(now + ROSTER_REST_PER_MEMBER * members);
        let live = self.live_manifests(now);
        let (candidates, differ) = eligible(&live);
        if differ && !self.stores_differ {
            self.event(Event::StoresDiffer);
        }
        self.stores_differ = differ;
        self.election.handle_candidates(candidates, now);
        let census = self.census(&live, now);
        self.summary.handle_census(census, now);
    }

    /// The manifests of all live members, this one included, with whether they are suspect.
    fn live_manifests(&self, now: Instant) -> Vec<(Arc<Manifest>, Status)> {
        let own =
            self.gossip.store.fresh(self.hash, now).map(|manifest| (Arc::clone(manifest), Status::Alive));
        let others = self.membership.members().filter(|(_, member)| member.is_live());
        let others = others.filter_map(|(hash, member)| {
            let manifest = self.gossip.store.fresh(*hash, now)?;
            Some((Arc::clone(manifest), member.claim.status))
        });
        own.into_iter().chain(others).collect()
    }

    fn census(&self, live: &[(Arc<Manifest>, Status)], now: Instant) -> Census {
        let mut services: BTreeMap<ServiceName, (u32, u32)> = BTreeMap::new();
        for (manifest, _) in live {
            for service in &manifest.services {
                let (healthy, total) = services.entry(service.name.clone()).or_default();
                *total += 1;
                *healthy += u32::from(service.health == Health::Healthy && !manifest.draining);
            }
        }
        let own = (self.hash, self.id, Status::Alive, self.membership.version().epoch);
        let others = self
            .membership
            .members()
            .map(|(hash, member)| (*hash, member.id, member.claim.status, member.claim.version.epoch));
        let members = std::iter::once(own).chain(others);
        let members = members.map(|member| self.census_member(member, now)).collect();
        Census {
            members,
            services,
            workers: u32::try_from(live.len()).unwrap_or(u32::MAX),
            leader: self.election.leader().and_then(|leader| self.id_of(leader)),
            budget: live.iter().filter_map(|(manifest, _)| manifest.max_writes_per_day).min(),
            met_anybody: self.membership.met_anybody(),
            alive_members: self.membership.live_count() - 1,
        }
    }

    fn census_member(
        &self,
        (hash, id, status, epoch): (IdHash, NodeId, Status, u64),
        now: Instant,
    ) -> CensusMember {
        let manifest = self.gossip.store.fresh(hash, now);
        CensusMember {
            id,
            hash,
            status,
            url: manifest.map(|manifest| manifest.public_url.clone()).unwrap_or_default(),
            zone: manifest.map(|manifest| manifest.zone.clone()).unwrap_or_default(),
            epoch,
            version: manifest.map_or(0, |manifest| manifest.version.seq),
        }
    }

    /// The identity behind a hash, if it is a member's or the own one.
    pub(super) fn id_of(&self, hash: IdHash) -> Option<NodeId> {
        if hash == self.hash { Some(self.id) } else { self.membership.member(hash).map(|member| member.id) }
    }
}

/// The members that may lead, and whether they use different shared stores.
///
/// A store is shared when it is not a file, or when another live member names the same one. If anybody has a shared
/// store, only its users may lead: a private file would hide the mesh from its edges.
fn eligible(live: &[(Arc<Manifest>, Status)]) -> (Vec<Candidate>, bool) {
    let mut users: BTreeMap<u64, u32> = BTreeMap::new();
    for (manifest, _) in live {
        *users.entry(manifest.standing.store_id).or_default() += 1;
    }
    let is_shared = |standing: &Standing| {
        standing.store_remote || users.get(&standing.store_id).is_some_and(|users| *users > 1)
    };
    let shared: BTreeSet<u64> = live
        .iter()
        .filter(|(manifest, _)| is_shared(&manifest.standing))
        .map(|(manifest, _)| manifest.standing.store_id)
        .collect();
    let candidates = live
        .iter()
        .filter(|(manifest, status)| {
            let standing = &manifest.standing;
            // A leader that is only suspected leads on: a hold-down on every suspicion would leave no leader at all.
            (*status == Status::Alive || standing.leading_term > 0)
                && standing.offers
                && standing.store_ok
                && !standing.damped
                && (shared.is_empty() || is_shared(standing))
        })
        .map(|(manifest, _)| {
            let standing = &manifest.standing;
            Candidate::new(manifest.id, standing.priority, manifest.version.epoch, standing.leading_term)
        })
        .collect();
    (candidates, shared.len() > 1)
}
