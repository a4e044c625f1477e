//! Building the view: what readers get instead of the machines.

use std::sync::Arc;

use super::Mesh;
use crate::id::NodeId;
use crate::membership::Member;
use crate::time::Instant;
use crate::view::{LeaderView, MemberView, View};
use crate::wire::manifest::Verified;

impl Mesh {
    /// The view now: built anew when something changed, else the one from before.
    pub fn view(&mut self, now: Instant) -> Arc<View> {
        if let Some(view) = &self.view {
            return Arc::clone(view);
        }
        let view = Arc::new(self.build_view(now));
        self.view = Some(Arc::clone(&view));
        view
    }

    /// Members that are held alive or suspect, this node included; what the view would count, without making one.
    pub fn live_count(&self) -> usize {
        self.membership.live_count()
    }

    /// The view now, with the newest round trips, loads and times.
    pub fn refreshed_view(&mut self, now: Instant) -> Arc<View> {
        self.view = None;
        self.view(now)
    }

    /// Shares what is found out about signatures with other nodes of this process.
    #[must_use]
    pub fn sharing(mut self, verified: &Arc<Verified>) -> Self {
        self.gossip.verified = Arc::clone(verified);
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

    fn build_view(&self, now: Instant) -> View {
        let others =
            self.membership.members().values().map(|member| Arc::new(self.member_view(&member, now)));
        let mut members: Vec<_> = others.chain(std::iter::once(Arc::new(self.own_view(now)))).collect();
        members.sort_by_key(|member| member.id);
        View {
            version: self.view_version,
            local: self.id,
            members,
            leader: self.leader_view(now),
            ready: self.is_ready(),
            draining: self.draining || self.quarantined,
        }
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
