//! What goes into a `Mesh` and what comes out of it: the closed list of everything that can happen.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::id::{NodeId, ServiceName};
use crate::manifest::{Capabilities, Route};
use crate::membership::{ConnectOutcome, Destination};
use crate::probe;
use crate::summary;
use crate::time::Duration;
use crate::view::Load;

/// Something happened in the world.
#[derive(Debug, Clone)]
pub enum Input {
    /// Time passed; `poll_timeout` said when this is worth saying.
    Tick,
    /// A datagram arrived, was meant for this node, and its seal was whole.
    Datagram {
        /// Where it came from: answers go there, nothing is learned from it.
        source: SocketAddr,
        /// The plaintext.
        bytes: Vec<u8>,
    },
    /// An admitted member asks something over a link.
    Request {
        /// Who asks, proven by TLS.
        from: NodeId,
        /// Names the request in [`Output::Respond`].
        id: RequestId,
        /// An encoded `wire::link::Request`.
        body: Vec<u8>,
    },
    /// What became of an [`Output::Request`].
    Response {
        /// The request's name.
        id: RequestId,
        /// An encoded `wire::link::Response`.
        result: Result<Vec<u8>, LinkFailure>,
    },
    /// A watch link to this member broke: no goodbye came before its end.
    LinkLost {
        /// The member.
        peer: NodeId,
    },
    /// What became of an [`Output::Connect`].
    Connected {
        /// Its name.
        id: RequestId,
        /// What answered.
        outcome: ConnectOutcome,
    },
    /// A link with a member was admitted, whichever side dialled it.
    Admitted {
        /// Who it is, proven by TLS.
        peer: NodeId,
        /// The boot nonce of its hello.
        boot_nonce: u64,
    },
    /// The machine was asleep for a while that the node's clock did not count.
    Slept,
    /// A health check of a service of this node ended.
    Checked {
        /// The service.
        service: ServiceName,
        /// What was seen.
        outcome: probe::Outcome,
    },
    /// The exit proxy was refused a connection by a service of this node.
    ConnectRefused(ServiceName),
    /// A call of the summary's store ended.
    Store(summary::StoreReply),
    /// Something about this node changed.
    Local(LocalChange),
    /// Leave the mesh: tell everyone, then say [`Output::Left`].
    Leave,
}

/// Something about this node changed.
#[derive(Debug, Clone)]
pub enum LocalChange {
    /// The address under which others reach it.
    Address(SocketAddr),
    /// The services that it runs (all of them), as configured.
    Services(Vec<probe::Target>),
    /// The routes that its operator configured (all of them).
    Routes(Vec<Route>),
    /// What the machine has.
    Capabilities {
        /// Measured.
        capabilities: Capabilities,
        /// Configured, or found out from the capabilities.
        tier: u8,
    },
    /// How busy it is, 0 to 1, and what memory is free.
    Load(Load),
    /// It takes nothing new.
    Draining,
    /// It took a higher epoch, persisted before, because the mesh knew one.
    Epoch(u64),
}

/// Names a request over a link; unique within its sender's boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Why a request over a link has no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkFailure {
    /// No link could be made, or it broke.
    #[error("unreachable")]
    Unreachable,
    /// The node at that address proved to be another one.
    #[error("another node has that address")]
    WrongPeer,
    /// No response in time.
    #[error("timed out")]
    TimedOut,
    /// No response in time, although the peer's kernel acknowledged every byte: its process stands still.
    #[error("the host answers, the process does not")]
    Stalled,
}

/// What the world shall do.
#[derive(Debug, Clone)]
pub enum Output {
    /// Seal and send a datagram.
    Datagram {
        /// To whom.
        to: Destination,
        /// The plaintext.
        bytes: Vec<u8>,
    },
    /// Send a request over a link, and feed back an [`Input::Response`] with the same id.
    Request {
        /// To whom; TLS must prove it.
        to: NodeId,
        /// Where it is dialled when no link stands.
        addr: SocketAddr,
        /// Its name.
        id: RequestId,
        /// An encoded `wire::link::Request`.
        body: Vec<u8>,
    },
    /// From now on keep a watch link to each of these members, and to nobody else.
    Watch(Vec<(NodeId, SocketAddr)>),
    /// Send a request over the watch link that stands, and feed back an [`Input::Response`] with the same id. Without
    /// such a link the answer is [`LinkFailure::Unreachable`], at once.
    PingLink {
        /// To whom.
        to: NodeId,
        /// Its name.
        id: RequestId,
        /// An encoded `wire::link::Request`.
        body: Vec<u8>,
        /// How long to wait for the answer.
        within: Duration,
    },
    /// Open a new connection, only to see who answers, and feed back an [`Input::Connected`] with the same id.
    Connect {
        /// Who should be there.
        to: NodeId,
        /// Where.
        addr: SocketAddr,
        /// Its name.
        id: RequestId,
    },
    /// Answer an [`Input::Request`].
    Respond {
        /// The request's name.
        id: RequestId,
        /// An encoded `wire::link::Response`.
        body: Vec<u8>,
    },
    /// Check the health of a service of this node, and feed back an [`Input::Checked`].
    Check(ServiceName),
    /// Call the summary's store, and feed back an [`Input::Store`].
    Store(summary::StoreCall),
    /// Write this down before anything that follows is done.
    Persist(Persist),
    /// Something that users want to know.
    Event(Event),
    /// The leave is said; the node may go.
    Left,
}

/// What survives a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Persist {
    /// The write record, encoded as `wire::link::WriteRecord`.
    WriteRecord(Vec<u8>),
    /// The addresses of members, the dead of the last 72 hours included; for rejoining.
    Peers(Vec<SocketAddr>),
}

/// Something that users want to know: a hint, never the truth. The truth is the `View`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A member came, or came back.
    Joined(NodeId),
    /// A member is suspected.
    Suspect {
        /// The member.
        subject: NodeId,
        /// Who suspects it, if that is known.
        accuser: Option<NodeId>,
    },
    /// A member is dead.
    Dead(NodeId),
    /// A member left of its own will.
    Left(NodeId),
    /// A suspected or dead member is alive after all.
    Refuted(NodeId),
    /// Some members reach a member, and many do not: the router avoids it.
    Unroutable(NodeId),
    /// It is reached again.
    Routable(NodeId),
    /// Most of what this node looks at is silent: it doubts itself, accuses nobody and is not ready; or that is over.
    Isolated(bool),
    /// A service of a member changed its health.
    Health {
        /// The member.
        worker: NodeId,
        /// The service.
        service: ServiceName,
        /// The health now.
        health: crate::manifest::Health,
    },
    /// Another leader, or none.
    Leader {
        /// The leader.
        leader: Option<NodeId>,
        /// Its term.
        term: u64,
    },
    /// The summary was written, or an attempt failed.
    Write {
        /// The term of the value.
        term: u64,
        /// The seq of the value.
        seq: u64,
        /// What went wrong.
        error: Option<String>,
    },
    /// This node is part of its mesh and may be used.
    Ready,
    /// Nobody answered the joins for ten seconds.
    JoinUnanswered,
    /// Something that was received was refused.
    Refused {
        /// Which kind of thing, for a counter.
        what: Refused,
        /// Why, for the log.
        reason: String,
    },
    /// A manifest of this node was not published, because it is too large.
    ManifestTooLarge(String),
    /// The members use different shared stores.
    StoresDiffer,
    /// This node needs a higher epoch: the mesh knows it at this one (its disk was lost or copied), or it refuted so often
    /// that the incarnations of this one are used up.
    EpochBehind {
        /// The epoch to exceed.
        known: u64,
    },
    /// Another process runs with a copy of this node's key.
    Cloned {
        /// The epoch of the other one.
        epoch: u64,
        /// This one went silent; otherwise the other one is told to.
        gives_way: bool,
    },
    /// This node stood still for about this long; zero when it slept for a time that its clock did not count.
    Paused(Duration),
    /// This node died too often, and lets itself be held dead for a while (true), or comes back (false).
    Damped(bool),
    /// How evidence about a member came and went, for `why`.
    Evidence {
        /// The member that it is about.
        subject: NodeId,
        /// One line.
        text: Arc<str>,
        /// Whose word it is.
        by: Option<NodeId>,
    },
}

/// Which kind of thing was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refused {
    /// A datagram that is not a packet.
    Packet,
    /// A link message that is not one.
    Link,
    /// A manifest.
    Manifest,
    /// A claim that breaks a rule, such as a jump of the incarnation.
    Claim,
}

/// How long the driver may take for one link request before it reports a time-out.
pub const LINK_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
