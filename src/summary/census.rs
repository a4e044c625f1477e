//! The census: what the mesh tells the policy about its members.

use std::collections::BTreeMap;

use crate::id::{IdHash, NodeId, ServiceName};
use crate::view::Status;

/// The longest URL and zone that are listed, in bytes.
const MAX_TEXT_LEN: usize = 128;

/// What the mesh knows about its members, as far as the summary needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// All members, the local one included.
    pub members: Vec<CensusMember>,
    /// For each service: its healthy instances and all of them.
    pub services: BTreeMap<ServiceName, (u32, u32)>,
    /// Members that are alive.
    pub workers: u32,
    /// The leader.
    pub leader: Option<NodeId>,
    /// The smallest daily budget that any member has configured; `None` when no member has one.
    pub budget: Option<u32>,
    /// Another member was heard since boot.
    pub met_anybody: bool,
    /// Members that are alive, the local one not counted: who could keep a copy of the write record.
    pub alive_members: usize,
}

/// One member of the census.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CensusMember {
    /// Its identity.
    pub id: NodeId,
    /// Its short name.
    pub hash: IdHash,
    /// Whether it lives.
    pub status: Status,
    /// Where edges reach it; empty when they do not.
    pub url: String,
    /// Where it is; empty when not known.
    pub zone: String,
    /// The epoch of its manifest.
    pub epoch: u64,
    /// The seq of its manifest.
    pub version: u64,
    /// It is about to leave: edges that ask now should not turn to it.
    pub draining: bool,
}

impl Census {
    /// The member with this id.
    pub(super) fn member(&self, id: &NodeId) -> Option<&CensusMember> {
        self.members.iter().find(|member| member.id == *id)
    }

    /// The live members that can be listed, best first: those with a URL, or all when none has one; spread over
    /// the zones, and the longest running first, so that a join displaces nobody.
    pub(super) fn entries(&self) -> Vec<&CensusMember> {
        let mut entries: Vec<&CensusMember> =
            self.members.iter().filter(|m| m.status.is_live() && m.fits()).collect();
        if entries.iter().any(|m| !m.url.is_empty()) {
            entries.retain(|m| !m.url.is_empty());
        }
        entries.sort_unstable_by(|a, b| (&a.zone, a.epoch, a.hash).cmp(&(&b.zone, b.epoch, b.hash)));
        let mut in_zone: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ranked: Vec<(usize, &CensusMember)> = Vec::with_capacity(entries.len());
        for member in entries {
            let rank = in_zone.entry(&member.zone).or_default();
            ranked.push((*rank, member));
            *rank += 1;
        }
        ranked.sort_by_key(|(rank, m)| (*rank, m.epoch, m.hash));
        ranked.into_iter().map(|(_, member)| member).collect()
    }
}

impl CensusMember {
    fn fits(&self) -> bool {
        self.url.len() <= MAX_TEXT_LEN && self.zone.len() <= MAX_TEXT_LEN
    }
}
