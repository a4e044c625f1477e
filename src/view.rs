//! The view: an immutable, versioned snapshot of all that a node knows, for the router, the admin API and others.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{IdHash, NodeId, Version};
use crate::manifest::Manifest;
use crate::time::{Duration, Instant};

/// All that a node knows at one moment.
#[derive(Debug, Clone)]
pub struct View {
    /// Raised with every change.
    pub version: u64,
    /// The node whose view this is.
    pub local: NodeId,
    /// All members that are known, the local one included, ordered by id. Dead and left ones stay for 24 hours.
    pub members: Vec<Arc<MemberView>>,
    /// What is known of the leader.
    pub leader: LeaderView,
    /// The node is part of its mesh and may be used.
    pub ready: bool,
    /// The node takes nothing new.
    pub draining: bool,
}

/// One member, as this node sees it.
#[derive(Debug, Clone)]
pub struct MemberView {
    /// Its identity.
    pub id: NodeId,
    /// Its short name on the wire.
    pub hash: IdHash,
    /// Whether it lives.
    pub status: Status,
    /// Alive, but not to be reached; avoided by the router when it has a choice.
    pub unroutable: bool,
    /// The order of the claims about it.
    pub version: Version,
    /// What it says of itself; `None` when only its death or leave is known. Routes only while `status` routes.
    pub manifest: Option<Arc<Manifest>>,
    /// Where it is reached.
    pub addr: Option<SocketAddr>,
    /// The round trip last measured.
    pub rtt: Option<Duration>,
    /// Its load, when a fresh one is known.
    pub load: Option<Load>,
    /// When this node first heard of it (this boot).
    pub first_seen: Instant,
    /// When this node last heard from it directly.
    pub last_heard: Instant,
}

/// Whether a member lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It answers.
    Alive,
    /// Somebody says that it does not answer; it may refute that.
    Suspect,
    /// It did not refute in time.
    Dead,
    /// It left of its own will.
    Left,
}

impl Status {
    /// The name used in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Left => "left",
        }
    }

    /// Alive or suspect: the member still counts, and its manifest routes.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

/// What is known of the leader, and of the summary that it writes.
#[derive(Debug, Clone, Default)]
pub struct LeaderView {
    /// The leader, `None` while there is none.
    pub leader: Option<NodeId>,
    /// Its term; the highest seen when there is none.
    pub term: u64,
    /// Since when this node knows it.
    pub since: Option<Instant>,
    /// The members that may lead, best first.
    pub candidates: Vec<NodeId>,
    /// The summary's write record and the policy's state, as far as this node knows them.
    pub summary: SummaryStatus,
}

impl View {
    /// The member with this id.
    pub fn member(&self, id: &NodeId) -> Option<&Arc<MemberView>> {
        self.members.binary_search_by(|member| member.id.cmp(id)).ok().map(|i| &self.members[i])
    }

    /// The members that are alive or suspect.
    pub fn live(&self) -> impl Iterator<Item = &Arc<MemberView>> {
        self.members.iter().filter(|member| member.status.is_live())
    }
}

/// How busy a node is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Load {
    /// 0 idle to 1 fully busy.
    pub busy: f32,
    /// Memory that can still be had, in bytes.
    pub available_memory: u64,
    /// Requests that its services are working on.
    pub in_flight: u32,
}

/// What is known of the summary, for the admin API.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SummaryStatus {
    /// This node may write at once when it leads.
    pub warm: bool,
    /// This node's store is not known to fail.
    pub store_ok: bool,
    /// Attempts of all writers on the store's current day.
    pub writes_today: u32,
    /// What the pacing still allows today; `None` when the store has no budget.
    pub budget_left: Option<u32>,
    /// When the value was last stored, in unix seconds of the store's clock.
    pub last_write: Option<u64>,
    /// When the next slot begins, in unix seconds of the store's clock.
    pub next_slot: Option<u64>,
    /// The term and seq of the value last stored.
    pub stored: Option<(u64, u64)>,
    /// The mark of the cluster's history, 0 when not known.
    pub cluster_id: u64,
    /// The last failure.
    pub last_error: Option<String>,
}
