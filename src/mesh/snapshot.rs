//! Building the view: what readers get instead of the machines.
//!
//! Of a member of which nothing changed the same copy goes from view to view.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Mesh;
use crate::id::{IdHash, NodeId};
use crate::membership::Member;
use crate::time::{Duration, Instant};
use crate::view::{LeaderView, MemberView, View};
use crate::wire::manifest::Verifier;

/// Loads and manifests age without a word: this often all members are looked at anew.
const REBUILD_INTERVAL: Duration = Duration::from_secs(10);

/// When more members than this have changed, all are looked at anew.
const MAX_STALE: usize = 4096;

/// The view that was built last, and what it does not show.
#[derive(Debug)]
pub(super) struct Snapshot {
    last: Option<Arc<View>>,
    is_current: bool,
    /// Members that changed since, or were heard.
    stale: BTreeSet<IdHash>,
    rebuild_at: Instant,
}

impl Snapshot {
    pub(super) const fn new(now: Instant) -> Self {
        Self { last: None, is_current: false, stale: BTreeSet::new(), rebuild_at: now }
    }

    /// Something changed that all should see.
    pub(super) const fn expire(&mut self) {
        self.is_current = false;
    }

    /// A member is not what the view shows.
    pub(super) fn touch(&mut self, hash: IdHash) {
        if self.last.is_none() {
            return;
        }
        self.stale.insert(hash);
        if self.stale.len() > MAX_STALE {
            self.forget();
        }
    }

    /// Nothing that was shown can be shown again.
    pub(super) fn forget(&mut self) {
        self.last = None;
        self.is_current = false;
        self.stale.clear();
    }
}

impl Mesh {
    /// The view now: built anew when something changed, else the one from before.
    pub fn view(&mut self, now: Instant) -> Arc<View> {
        if let Some(view) = self.snapshot.last.as_ref().filter(|_| self.snapshot.is_current) {
            return Arc::clone(view);
        }
        let view = Arc::new(self.build_view(now));
        self.snapshot.last = Some(Arc::clone(&view));
        self.snapshot.is_current = true;
        view
    }

    /// Members that are held alive or suspect, this node included; what the view would count, without making one.
    pub fn live_count(&self) -> usize {
        self.membership.live_count()
    }

    /// The view now, with the newest round trips, loads and times.
    pub fn refreshed_view(&mut self, now: Instant) -> Arc<View> {
        self.snapshot.expire();
        self.view(now)
    }

    /// Has the signatures of manifests checked by somebody else, who may do so for many nodes of one process.
    #[must_use]
    pub fn with_verifier(mut self, verifier: Verifier) -> Self {
        self.gossip.verifier = Some(verifier);
        self
    }

    /// Whether this node is part of its mesh.
    pub const fn is_ready(&self) -> bool {
        self.is_fit() && !self.draining
    }

    /// The root of the digest: nodes with the same one hold the same.
    pub fn root(&self) -> u64 {
        self.membership.members().root()
    }

    fn build_view(&mut self, now: Instant) -> View {
        let stale = std::mem::take(&mut self.snapshot.stale);
        let last = self.snapshot.last.as_ref().filter(|_| now < self.snapshot.rebuild_at);
        let members = if let Some(last) = last {
            self.renew(last.members.clone(), stale, now)
        } else {
            self.snapshot.rebuild_at = now + REBUILD_INTERVAL;
            self.all_members(now)
        };
        View {
            version: self.view_version,
            local: self.id,
            members,
            leader: self.leader_view(now),
            ready: self.is_ready(),
            draining: self.draining || self.quarantined,
        }
    }

    fn all_members(&self, now: Instant) -> Vec<Arc<MemberView>> {
        let others =
            self.membership.members().values().map(|member| Arc::new(self.member_view(&member, now)));
        let mut members: Vec<_> = others.chain(std::iter::once(Arc::new(self.own_view(now)))).collect();
        members.sort_by_key(|member| member.id);
        members
    }

    /// The members that were shown, those that are stale anew.
    fn renew(
        &self,
        mut shown: Vec<Arc<MemberView>>,
        stale: BTreeSet<IdHash>,
        now: Instant,
    ) -> Vec<Arc<MemberView>> {
        let mut gone = BTreeSet::new();
        for hash in stale.into_iter().filter(|hash| *hash != self.hash) {
            match self.membership.member(hash) {
                Some(member) => show(&mut shown, self.member_view(&member, now)),
                None => drop(gone.insert(hash)),
            }
        }
        if !gone.is_empty() {
            shown.retain(|member| !gone.contains(&member.hash));
        }
        show(&mut shown, self.own_view(now));
        shown
    }

    fn member_view(&self, member: &Member, now: Instant) -> MemberView {
        let hash = member.hash;
        let seen = self.membership.members().seen(hash);
        MemberView {
            id: member.id,
            hash,
            status: member.claim.status,
            unroutable: self.membership.is_unroutable(hash),
            version: member.claim.version,
            manifest: self.membership.members().fresh(hash, now).cloned(),
            addr: member.addr,
            rtt: seen.and_then(|seen| seen.rtt),
            load: self.gossip.loads.of(hash, now),
            first_seen: seen.map_or(now, |seen| seen.first),
            last_heard: seen.map_or(now, |seen| seen.last),
        }
    }

    fn own_view(&self, now: Instant) -> MemberView {
        let claim = self.own_claim();
        MemberView {
            id: self.id,
            hash: self.hash,
            status: claim.status,
            unroutable: false,
            version: claim.version,
            manifest: self
                .membership
                .members()
                .held(self.hash)
                .map(|held| Arc::clone(held.signed.manifest())),
            addr: self.config.addr,
            rtt: None,
            load: self.gossip.loads.own_exact(),
            first_seen: Instant::ORIGIN,
            last_heard: now,
        }
    }

    fn leader_view(&self, now: Instant) -> LeaderView {
        let candidates = self.election.candidates().iter().filter_map(|candidate| self.id_of(candidate.id));
        let candidates: Vec<NodeId> = candidates.collect();
        LeaderView {
            leader: self.election.leader().and_then(|leader| self.id_of(leader)),
            term: self.election.term(),
            since: self.election.leader_since(),
            candidates,
            summary: self.summary.status(now),
        }
    }
}

/// Puts a member into its place.
fn show(shown: &mut Vec<Arc<MemberView>>, member: MemberView) {
    match shown.binary_search_by(|one| one.id.cmp(&member.id)) {
        Ok(at) => shown[at] = Arc::new(member),
        Err(at) => shown.insert(at, Arc::new(member)),
    }
}
