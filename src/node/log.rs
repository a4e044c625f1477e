//! What of the mesh's events goes to the log, and how loudly.

use crate::config::HostPort;
use crate::id::NodeId;
use crate::mesh::{Event, Refused};
use crate::transport::KeyId;
use crate::view::View;

/// What an operator needs to know when nobody answers.
#[derive(Debug)]
pub(super) struct Joins<'a> {
    pub(super) seeds: &'a [HostPort],
    pub(super) cluster: &'a str,
    /// Names the key without giving it away.
    pub(super) key_id: KeyId,
}

/// Logs one event: state changes at info, evidence at debug, what was refused at trace.
pub(super) fn event(event: &Event, view: &View, joins: &Joins<'_>) {
    let name = |id: &NodeId| name_of(id, view);
    match event {
        Event::Joined(id) => tracing::info!(worker = %id, name = name(id), "joined"),
        Event::Suspect { subject, accuser } => {
            let accuser = accuser.as_ref().map(name).unwrap_or_default();
            tracing::info!(worker = %subject, name = name(subject), accuser, "suspect");
        }
        Event::Dead(id) => tracing::info!(worker = %id, name = name(id), "dead"),
        Event::Left(id) => tracing::info!(worker = %id, name = name(id), "left"),
        Event::Isolated(true) => tracing::warn!("most members are silent at once; this node doubts itself"),
        Event::Isolated(false) => tracing::info!("members answer again"),
        Event::Unroutable(id) => tracing::info!(worker = %id, name = name(id), "unroutable"),
        Event::Routable(id) => tracing::info!(worker = %id, name = name(id), "routable"),
        Event::Refuted(id) => tracing::info!(worker = %id, name = name(id), "refuted"),
        Event::Health { worker, service, health } => {
            tracing::info!(%worker, name = name(worker), %service, health = health.as_str(), "health");
        }
        Event::Leader { leader: Some(id), term } => {
            tracing::info!(worker = %id, name = name(id), term, "leader")
        }
        Event::Leader { leader: None, term } => tracing::info!(term, "no leader"),
        Event::Write { term, seq, error: None } => tracing::info!(term, seq, "summary written"),
        Event::Write { term, seq, error: Some(error) } => {
            tracing::warn!(term, seq, error, "summary not written")
        }
        Event::Ready => tracing::info!(members = view.live().count(), "ready"),
        Event::JoinUnanswered => join_unanswered(joins),
        Event::Refused { what, reason } => refused(*what, reason),
        Event::ManifestTooLarge(reason) => {
            tracing::error!(reason, "the manifest is too large and was not published; the old one stays");
        }
        Event::StoresDiffer => tracing::warn!("members use different shared stores for the summary"),
        Event::EpochBehind { known } => {
            tracing::info!(known, "this node needs an epoch higher than this one")
        }
        Event::Cloned { epoch, gives_way: true } => tracing::error!(
            epoch,
            "another process runs with a copy of this node's identity; this one, the older, is silent until it is stopped"
        ),
        Event::Cloned { epoch, gives_way: false } => tracing::error!(
            epoch,
            "another process runs with a copy of this node's identity; it is the older one, and was told to be silent"
        ),
        Event::Paused(late) => {
            tracing::warn!(?late, "this node stood still; it looks around before it accuses or leads again");
        }
        Event::Damped(true) => {
            tracing::warn!("this node died too often; it lets itself be held dead for a while")
        }
        Event::Damped(false) => tracing::info!("this node comes back, as its penalty for dying has decayed"),
        Event::Evidence { subject, text, by } => {
            let by = by.as_ref().map(name).unwrap_or_default();
            tracing::debug!(worker = %subject, name = name(subject), by, "{text}");
        }
    }
}

fn join_unanswered(Joins { seeds, cluster, key_id }: &Joins<'_>) {
    let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
    tracing::warn!(
        join = seeds.join(", "),
        cluster,
        %key_id,
        "nobody answers the joins: is a member up there, is UDP open on its port, and are --cluster and the cluster \
         key the same there?"
    );
}

fn refused(what: Refused, reason: &str) {
    match what {
        Refused::Packet | Refused::Link => tracing::trace!(?what, reason, "refused"),
        Refused::Manifest | Refused::Claim => tracing::debug!(?what, reason, "refused"),
    }
}

fn name_of(id: &NodeId, view: &View) -> String {
    let manifest = view.member(id).and_then(|member| member.manifest.clone());
    manifest.map(|manifest| manifest.name.clone()).unwrap_or_default()
}
