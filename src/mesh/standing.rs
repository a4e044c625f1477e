//! Who may lead, and what the summary's writer is told about the members.

use std::collections::BTreeMap;

use super::{Event, Mesh};
use crate::election::{Candidate, Rank};
use crate::id::{IdHash, NodeId, ServiceName};
use crate::manifest::{Health, Manifest, Standing};
use crate::members::Held;
use crate::summary::{Census, CensusMember};
use crate::time::{Duration, Instant, earliest};
use crate::view::Status;

/// Between two looks at the roster, for each member: so that a rush of changes in a large mesh costs little.
const ROSTER_REST_PER_MEMBER: Duration = Duration::from_micros(100);

/// Candidates that the election is told of, besides this node and those that lead: it asks the best three, and beyond
/// the first few places in the ranking all hold back equally long.
const CANDIDATES: usize = 64;

/// Changes of members that do not offer to lead are looked at after this long: they only change which stores are shared.
const LATER: Duration = Duration::from_secs(5);

/// When the roster (who may lead, and what the summary would say) is looked at anew.
#[derive(Debug)]
pub(super) struct Roster {
    is_stale: bool,
    /// The census, which only a leader's writes need at once, is older than the last change.
    is_census_stale: bool,
    not_before: Instant,
    /// When it is looked at although nobody changed who may lead.
    later: Option<Instant>,
}

impl Roster {
    pub(super) const fn new(now: Instant) -> Self {
        Self { is_stale: true, is_census_stale: true, not_before: now, later: None }
    }

    /// Members or manifests changed.
    pub(super) const fn touch(&mut self) {
        self.is_stale = true;
        self.is_census_stale = true;
    }

    /// A member changed that may not lead.
    pub(super) fn touch_later(&mut self, now: Instant) {
        self.is_census_stale = true;
        self.later.get_or_insert(now + LATER);
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.poll_timeout().is_some_and(|due| due <= now)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let later = self.later.map(|later| later.max(self.not_before));
        earliest(self.is_stale.then_some(self.not_before), later)
    }

    fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.is_due(now);
        if is_due {
            self.is_stale = false;
            self.later = None;
        }
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
        let (candidates, differ) = self.eligible(now);
        if differ && !self.stores_differ {
            self.event(Event::StoresDiffer);
        }
        self.stores_differ = differ;
        self.election.handle_candidates(candidates, now);
        if self.election.leading_term() > 0 {
            self.refresh_census(now);
        }
    }

    /// Whether a member offers to lead, or leads, or is not known well enough to say; always while this node leads, as
    /// what it writes names members that do not.
    pub(super) fn may_lead(&self, hash: IdHash) -> bool {
        let offers = |held: Held<'_>| {
            let standing = &held.signed.manifest().standing;
            standing.offers || standing.leading_term > 0
        };
        self.election.leading_term() > 0 || self.membership.members().held(hash).is_none_or(offers)
    }

    /// Tells the summary of the members as they are now, unless nothing changed since it was told last.
    pub(super) fn refresh_census(&mut self, now: Instant) {
        if std::mem::replace(&mut self.roster.is_census_stale, false) {
            let census = self.census(now);
            self.summary.handle_census(census, now);
        }
    }

    /// The manifests of all live members that may be used, this one's included, and whether they are suspect.
    fn live_manifests(&self, now: Instant) -> impl Iterator<Item = (&Manifest, Status)> {
        let members = self.membership.members();
        let own = members.fresh(self.hash, now).map(|manifest| (&**manifest, Status::Alive));
        own.into_iter().chain(members.live_manifests(now))
    }

    /// A member died: that it led is over. Should it come back, only what it says from then on counts; else its old
    /// manifest would push aside whoever took over.
    pub(super) fn end_claim(&mut self, id: NodeId) {
        let Some(held) = self.membership.members().held(id.hash()) else { return };
        let manifest = held.signed.manifest();
        let ended = (manifest.standing.leading_term > 0).then_some((id, manifest.version));
        let members = self.membership.members();
        self.ended.retain(|id, version| members.version(id.hash()) == Some(*version));
        self.ended.extend(ended);
    }

    /// The term in which a member says that it leads, 0 when it does not.
    fn claimed_term(&self, manifest: &Manifest) -> u64 {
        let is_over = self.ended.get(&manifest.id).is_some_and(|ended| manifest.version <= *ended);
        if is_over { 0 } else { manifest.standing.leading_term }
    }

    /// The members that may lead, and whether they use different shared stores.
    fn eligible(&self, now: Instant) -> (Vec<Candidate>, bool) {
        let mut stores = Stores::default();
        self.live_manifests(now).for_each(|(manifest, _)| stores.count(&manifest.standing));
        let any_shared = stores.shared().next().is_some();
        let mut best = BTreeMap::new();
        let mut always = Vec::new();
        for (manifest, status) in self.live_manifests(now) {
            let Manifest { id, version, standing, .. } = manifest;
            let term = self.claimed_term(manifest);
            // A leader that is only suspected leads on: a hold-down on every suspicion would leave no leader at all.
            let may_lead = (status == Status::Alive || term > 0)
                && standing.offers
                && standing.store_ok
                && !standing.damped
                && (!any_shared || stores.is_shared(standing));
            if !may_lead {
                continue;
            }
            let rank = Rank::new(standing.priority, version.epoch, *id);
            if *id == self.id || term > 0 {
                always.push(Candidate::new(*id, standing.priority, version.epoch, term));
            } else if best.len() < CANDIDATES || best.last_key_value().is_some_and(|(worst, _)| rank < *worst)
            {
                best.insert(rank, (*id, standing.priority, version.epoch));
                if best.len() > CANDIDATES {
                    best.pop_last();
                }
            }
        }
        let best = best.into_values().map(|(id, priority, epoch)| Candidate::new(id, priority, epoch, 0));
        (always.into_iter().chain(best).collect(), stores.differ())
    }

    fn census(&self, now: Instant) -> Census {
        let mut services: BTreeMap<ServiceName, (u32, u32)> = BTreeMap::new();
        let (mut workers, mut budget) = (0, None);
        for (manifest, _) in self.live_manifests(now) {
            workers += 1;
            budget = budget.into_iter().chain(manifest.max_writes_per_day).min();
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
            .values()
            .map(|member| (member.hash, member.id, member.claim.status, member.claim.version.epoch));
        let members = std::iter::once(own).chain(others);
        let members = members.map(|member| self.census_member(member, now)).collect();
        Census {
            members,
            services,
            workers,
            leader: self.election.leader().and_then(|leader| self.id_of(leader)),
            budget,
            met_anybody: self.membership.met_anybody(),
            alive_members: self.membership.live_count() - 1,
        }
    }

    fn census_member(
        &self,
        (hash, id, status, epoch): (IdHash, NodeId, Status, u64),
        now: Instant,
    ) -> CensusMember {
        let manifest = self.membership.members().fresh(hash, now);
        CensusMember {
            id,
            hash,
            status,
            url: manifest.map(|manifest| manifest.public_url.clone()).unwrap_or_default(),
            zone: manifest.map(|manifest| manifest.zone.clone()).unwrap_or_default(),
            epoch,
            version: manifest.map_or(0, |manifest| manifest.version.seq),
            draining: manifest.is_some_and(|manifest| manifest.draining),
        }
    }

    /// The identity behind a hash, if it is a member's or the own one.
    pub(super) fn id_of(&self, hash: IdHash) -> Option<NodeId> {
        if hash == self.hash { Some(self.id) } else { self.membership.member(hash).map(|member| member.id) }
    }
}

/// Who uses which store.
///
/// A store is shared when it is not a file, or when another live member names the same one. If anybody has a shared
/// store, only its users may lead: a private file would hide the mesh from its edges.
#[derive(Debug, Default)]
struct Stores {
    /// Users, and whether it is remote for any of them.
    users: BTreeMap<u64, (u32, bool)>,
}

impl Stores {
    fn count(&mut self, standing: &Standing) {
        let (users, is_remote) = self.users.entry(standing.store_id).or_default();
        *users += 1;
        *is_remote |= standing.store_remote;
    }

    fn is_shared(&self, standing: &Standing) -> bool {
        standing.store_remote || self.users.get(&standing.store_id).is_some_and(|(users, _)| *users > 1)
    }

    fn shared(&self) -> impl Iterator<Item = &u64> {
        self.users.iter().filter(|(_, (users, is_remote))| *users > 1 || *is_remote).map(|(store, _)| store)
    }

    fn differ(&self) -> bool {
        self.shared().nth(1).is_some()
    }
}
