//! The draft: the stored value merged with what the writer knows.

use std::collections::BTreeMap;

use super::budget::DAY;
use super::census::{Census, CensusMember};
use super::value::{Instances, MAX_NODES, MAX_VALUE_LEN, Node, UnixTime, Value};
use crate::view::Status;

/// Live entries at most. The other places are for entries that the writer does not see, because another part of
/// the mesh may; were they shared, every expiry of one would be a change.
const MAX_SEEN: usize = MAX_NODES - 8;

/// Brings the entries, services and leader of `value` up to what `census` says at `now` (the store's clock).
pub(super) fn update(value: &mut Value, census: &Census, now: u64) {
    value.nodes = nodes(&value.nodes, census, now);
    value.heartbeat_leader = census.leader;
    value.workers = census.workers;
    value.services = census
        .services
        .iter()
        .map(|(name, &(healthy, total))| (name.clone(), Instances { healthy, total }))
        .collect();
    value.services_truncated = false;
    value.fit(MAX_VALUE_LEN);
}

/// The live entries, and after them those that are kept for a day although the writer does not see them.
fn nodes(stored: &[Node], census: &Census, now: u64) -> Vec<Node> {
    let known: BTreeMap<_, _> = census.members.iter().map(|member| (member.id, member)).collect();
    let mut unseen: Vec<Node> =
        stored.iter().filter_map(|node| unseen(node, known.get(&node.id).copied(), now)).collect();
    unseen.sort_by_key(|node| std::cmp::Reverse(node.unseen_since));

    let seen = census.entries().into_iter().take(MAX_SEEN);
    let mut nodes: Vec<Node> = seen.map(|member| newer(member, stored)).collect();
    unseen.truncate(MAX_NODES - nodes.len());
    nodes.append(&mut unseen);
    nodes
}

/// The entry of a stored node that is not alive, unless it left or is gone for a day.
fn unseen(node: &Node, member: Option<&CensusMember>, now: u64) -> Option<Node> {
    let is_alive = member.is_some_and(|member| member.status.is_live());
    let stays = !is_alive && !has_left(node, member);
    let since = node.unseen_since.unwrap_or(UnixTime(now));
    (stays && now.saturating_sub(since.0) < DAY).then(|| Node { unseen_since: Some(since), ..node.clone() })
}

/// Whether a stored node said goodbye.
fn has_left(node: &Node, member: Option<&CensusMember>) -> bool {
    member.is_some_and(|member| member.status == Status::Left && node.epoch <= member.epoch)
}

/// Whether an entry is kept of a node that said goodbye since: edges would try it for a day.
pub(super) fn lists_who_left(value: &Value, census: &Census) -> bool {
    value.nodes.iter().any(|node| has_left(node, census.member(&node.id)))
}

/// What the higher version says: the stored one may be ahead of what the writer heard.
fn newer(member: &CensusMember, stored: &[Node]) -> Node {
    let ahead = stored
        .iter()
        .find(|node| node.id == member.id && (node.epoch, node.version) > (member.epoch, member.version));
    match ahead {
        Some(node) => Node { unseen_since: None, ..node.clone() },
        None => Node {
            id: member.id,
            url: member.url.clone(),
            zone: member.zone.clone(),
            epoch: member.epoch,
            version: member.version,
            unseen_since: None,
        },
    }
}
