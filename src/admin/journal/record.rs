//! One event as users see it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{NodeId, ServiceName};
use crate::manifest::Health;
use crate::mesh::Event;
use crate::view::View;

/// One event as users see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Counts the events of this boot, from 1.
    pub id: u64,
    /// When this node learned of it.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub what: Occurrence,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Occurrence {
    /// A member came, or came back.
    Joined(WorkerRef),
    /// A member is suspected.
    Suspect {
        /// The member.
        #[serde(flatten)]
        worker: WorkerRef,
        /// Who suspects it, if that is known.
        accuser: Option<NodeId>,
    },
    /// A member is dead.
    Dead(WorkerRef),
    /// A member left of its own will.
    Left(WorkerRef),
    /// A suspected or dead member is alive after all.
    Refuted(WorkerRef),
    /// Some members reach a member, and many do not.
    Unroutable(WorkerRef),
    /// It is reached again.
    Routable(WorkerRef),
    /// A service of a member changed its health.
    Health {
        /// The member.
        #[serde(flatten)]
        worker: WorkerRef,
        /// The service.
        service: ServiceName,
        /// Its health now.
        health: Health,
    },
    /// Another leader, or none.
    Leader {
        /// The leader.
        worker_id: Option<NodeId>,
        /// Its name.
        name: Option<String>,
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
}

/// A worker, by id and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRef {
    /// Its identity.
    pub worker_id: NodeId,
    /// A human's name for it, empty when not known.
    pub name: String,
}

impl WorkerRef {
    /// The worker `id`, with the name that `view` has for it.
    pub fn of(id: NodeId, view: &View) -> Self {
        let manifest = view.member(&id).and_then(|member| member.manifest.as_ref());
        Self { worker_id: id, name: manifest.map(|manifest| manifest.name.clone()).unwrap_or_default() }
    }
}

impl Occurrence {
    /// The name used in JSON and as the name of the server-sent event.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Joined(_) => "joined",
            Self::Suspect { .. } => "suspect",
            Self::Dead(_) => "dead",
            Self::Left(_) => "left",
            Self::Refuted(_) => "refuted",
            Self::Unroutable(_) => "unroutable",
            Self::Routable(_) => "routable",
            Self::Health { .. } => "health",
            Self::Leader { .. } => "leader",
            Self::Write { .. } => "write",
        }
    }

    /// What users see of `event`; `None` when it is for logs, counters or `why` alone.
    pub(super) fn of(event: &Event, view: &View) -> Option<Self> {
        let worker = |id: &NodeId| WorkerRef::of(*id, view);
        Some(match event {
            Event::Joined(id) => Self::Joined(worker(id)),
            Event::Suspect { subject, accuser } => {
                Self::Suspect { worker: worker(subject), accuser: *accuser }
            }
            Event::Dead(id) => Self::Dead(worker(id)),
            Event::Left(id) => Self::Left(worker(id)),
            Event::Refuted(id) => Self::Refuted(worker(id)),
            Event::Unroutable(id) => Self::Unroutable(worker(id)),
            Event::Routable(id) => Self::Routable(worker(id)),
            Event::Health { worker: id, service, health } => {
                Self::Health { worker: worker(id), service: service.clone(), health: *health }
            }
            Event::Leader { leader, term } => Self::Leader {
                worker_id: *leader,
                name: leader.as_ref().map(|id| worker(id).name),
                term: *term,
            },
            Event::Write { term, seq, error } => Self::Write { term: *term, seq: *seq, error: error.clone() },
            Event::Ready
            | Event::Isolated(_)
            | Event::JoinUnanswered
            | Event::Refused { .. }
            | Event::ManifestTooLarge(_)
            | Event::StoresDiffer
            | Event::EpochBehind { .. }
            | Event::Cloned { .. }
            | Event::Damped(_)
            | Event::Paused(_)
            | Event::Evidence { .. } => return None,
        })
    }
}
