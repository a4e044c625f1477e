//! The rank of a member in the election, and what the election knows of a member.

use std::cmp::Reverse;

use crate::id::{IdHash, NodeId};

/// Ordered best first: the higher priority, then the older boot, then the smaller id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    priority: Reverse<i32>,
    epoch: u64,
    id: NodeId,
}

impl Rank {
    /// The rank of a member.
    pub const fn new(priority: i32, epoch: u64, id: NodeId) -> Self {
        Self { priority: Reverse(priority), epoch, id }
    }
}

/// An eligible member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its short name.
    pub id: IdHash,
    /// Its rank.
    pub rank: Rank,
    /// The term in which its manifest says that it leads, 0 when it does not.
    pub leading_term: u64,
}

impl Candidate {
    /// A member with this standing.
    pub fn new(id: NodeId, priority: i32, epoch: u64, leading_term: u64) -> Self {
        Self { id: id.hash(), rank: Rank::new(priority, epoch, id), leading_term }
    }
}
