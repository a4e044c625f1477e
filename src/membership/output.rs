//! What membership wants to be done or known.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::id::{IdHash, NodeId, Version};
use crate::time::Duration;
use crate::wire::{Body, Fact};

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To a member; only it can open the seal.
    Member {
        /// Hash of its id.
        id: IdHash,
        /// Where it is, or where its question came from.
        addr: SocketAddr,
    },
    /// To whoever holds this address (a Join).
    Address(SocketAddr),
    /// To the configured seed of this index, resolved anew (a Join).
    Seed(usize),
}

/// What answered at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectOutcome {
    /// The host is there, and nobody listens.
    Refused,
    /// The member itself, proven by TLS.
    Proven,
    /// Another node.
    OtherPeer,
    /// Nothing in time, or nothing that makes sense.
    Silent,
}

/// What came of a ping over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkAnswer {
    /// The member answered, at this version.
    Alive(Version),
    /// Its host acknowledged, its process did not answer.
    Stalled,
    /// Nothing, or there was no link.
    Nothing,
}

/// What membership wants to be done or known.
#[derive(Debug)]
pub enum Output {
    /// Send this, filled up with facts.
    Send {
        /// To whom.
        to: Destination,
        /// The message; none carries only facts.
        body: Option<Body>,
    },
    /// Send this fact before all others that wait.
    Tell {
        /// To whom.
        to: Destination,
        /// What it must know.
        fact: Fact,
    },
    /// From now on keep watch links to these members, and to nobody else.
    Watch(Vec<IdHash>),
    /// Ping a member over the watch link that stands, and say what came of it by `handle_link_answer`.
    PingLink {
        /// The member.
        subject: IdHash,
        /// How long to wait.
        within: Duration,
    },
    /// Connect to a member's address, and say what came of it by `handle_connected`.
    Connect {
        /// The member.
        subject: IdHash,
    },
    /// A member becomes unroutable, or routable again.
    Route {
        /// The member.
        id: NodeId,
        /// Some reach it, and many do not.
        is_unroutable: bool,
    },
    /// This node begins or ends to doubt itself.
    Isolated(bool),
    /// What is held about a member changed (or the member was forgotten).
    Changed(IdHash),
    /// Somebody named a member, or a boot of one, whose manifest is not known here.
    Wanted {
        /// The member.
        subject: IdHash,
        /// Its epoch.
        epoch: u64,
        /// Who has it.
        teller: IdHash,
    },
    /// A member answered a join from this address.
    Contact {
        /// Who it is.
        id: NodeId,
        /// Where.
        addr: SocketAddr,
        /// The root of its digest.
        root: u64,
    },
    /// A member told the root of its digest.
    Root {
        /// The member.
        peer: IdHash,
        /// The root.
        root: u64,
    },
    /// A member came, or came back with a new epoch.
    Joined(NodeId),
    /// A member is suspected.
    Suspected {
        /// The member.
        subject: NodeId,
        /// Who says so.
        accuser: IdHash,
    },
    /// A member is dead.
    Died(NodeId),
    /// A member left.
    Departed(NodeId),
    /// A suspected or dead member is alive after all.
    Refuted(NodeId),
    /// Evidence about a member, in a sentence.
    Evidence {
        /// The member.
        subject: NodeId,
        /// The sentence, which ends where `by` follows.
        text: Arc<str>,
        /// Whose word it is.
        by: Option<IdHash>,
    },
    /// This node needs an epoch higher than this one: the mesh knows it there, or its incarnations are used up.
    EpochBehind {
        /// The epoch.
        epoch: u64,
        /// It holds that boot alive.
        is_alive: bool,
    },
    /// What this node publishes about its flapping changed.
    Flapping,
    /// This node died too often, and lets itself be held dead (true), or comes back (false).
    Damped(bool),
    /// Another process runs with this node's key.
    Cloned {
        /// The other one's epoch.
        epoch: u64,
        /// This one is to be silent.
        gives_way: bool,
    },
    /// A claim broke a rule and was not applied.
    Refused(String),
    /// Nobody answered the joins.
    Unanswered,
    /// The leave has been told.
    Left,
}
