//! The summary's value: the JSON that edges read, at most 8,000 bytes of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::budget::{DAY, SLOT};
use super::record::{Mark, Record};
use crate::id::{IdHash, NodeId, ServiceName};

/// The most bytes of a value.
pub const MAX_VALUE_LEN: usize = 8_000;

/// The most entries of a value.
pub const MAX_NODES: usize = 32;

/// Entries that a value which is too long gives up before it gives up services.
const SPARE_NODES: usize = 16;

/// Services that a value which is too long keeps while it can.
const MANY_SERVICES: usize = 64;

/// Entries that are never given up.
const MIN_NODES: usize = 4;

/// 9999-12-30, the last day that can be written.
pub(super) const LAST_SECOND: u64 = 253_402_207_200;

/// The value at the summary's key. Times are those of the store's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// The version of this format.
    pub v: u32,
    /// The cluster's name.
    pub cluster: String,
    /// The mark of the cluster's history.
    pub cluster_id: ClusterId,
    /// The term of the writer.
    pub term: u64,
    /// Raised with every value.
    pub seq: u64,
    /// When it was written.
    pub at: UnixTime,
    /// Who wrote it.
    pub by: NodeId,
    /// The hour of the day of `at`.
    pub slot: u64,
    /// Nodes to which an edge can turn.
    pub nodes: Vec<Node>,
    /// The leader.
    pub heartbeat_leader: Option<NodeId>,
    /// Members that are alive.
    pub workers: u32,
    /// What the mesh serves.
    pub services: BTreeMap<ServiceName, Instances>,
    /// Some services did not fit.
    #[serde(default)]
    pub services_truncated: bool,
    /// Attempts to write, by day (UTC) and writer.
    #[serde(default)]
    pub writes: BTreeMap<String, BTreeMap<String, u32>>,
}

/// A node to which an edge can turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its identity.
    pub id: NodeId,
    /// Where edges reach it.
    pub url: String,
    /// Where it is.
    pub zone: String,
    /// The epoch of its manifest.
    pub epoch: u64,
    /// The seq of its manifest.
    pub version: u64,
    /// Since when no writer holds it alive; edges try such entries last.
    pub unseen_since: Option<UnixTime>,
}

/// How many instances a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instances {
    /// Healthy ones.
    pub healthy: u32,
    /// All of them.
    pub total: u32,
}

impl Value {
    /// Reads a stored value.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut value: Self = serde_json::from_slice(bytes)?;
        value.nodes.truncate(MAX_NODES);
        Ok(value)
    }

    /// The value as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether both would send an edge to the same nodes, for the same services, under the same leader.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let services = |value: &Self| value.services.keys().cloned().collect::<BTreeSet<_>>();
        self.heartbeat_leader == other.heartbeat_leader
            && self.listed() == other.listed()
            && services(self) == services(other)
    }

    /// The entries that were alive when the value was written.
    fn listed(&self) -> BTreeMap<NodeId, &str> {
        let seen = self.nodes.iter().filter(|node| node.unseen_since.is_none());
        seen.map(|node| (node.id, node.url.as_str())).collect()
    }

    /// Which value this is.
    pub(super) const fn mark(&self) -> Mark {
        Mark { term: self.term, seq: self.seq, cluster_id: self.cluster_id.0 }
    }

    /// The counters as the write record knows them; those that are none are passed over.
    pub(super) fn attempts(&self) -> impl Iterator<Item = (u64, IdHash, u32)> {
        self.writes.iter().filter_map(|(date, writers)| Some((day_of(date)?, writers))).flat_map(
            |(day, writers)| {
                let counts = writers.iter();
                counts.filter_map(move |(writer, &count)| {
                    Some((day, IdHash(u64::from_str_radix(writer, 16).ok()?), count))
                })
            },
        )
    }

    /// Copies the counters of `day` and the day before.
    pub(super) fn set_attempts(&mut self, record: &Record, day: u64) {
        self.writes.clear();
        for day in [day.saturating_sub(1), day] {
            let writers: BTreeMap<_, _> =
                record.writers_on(day).map(|(writer, count)| (writer.to_string(), count)).collect();
            if !writers.is_empty() {
                self.writes.insert(date_of(day), writers);
            }
        }
    }

    /// Gives up what edges miss least until at most `limit` bytes are left.
    pub(super) fn fit(&mut self, limit: usize) {
        while self.to_json().len() > limit {
            if !self.give_up() {
                return;
            }
        }
    }

    fn give_up(&mut self) -> bool {
        if let Some(longest) = self.longest_unseen() {
            self.nodes.remove(longest);
        } else if self.nodes.len() > SPARE_NODES {
            self.nodes.pop();
        } else if self.services.len() > MANY_SERVICES {
            let last_kept = self.services.keys().nth(MANY_SERVICES).cloned();
            if let Some(name) = last_kept {
                self.services.split_off(&name);
            }
            self.services_truncated = true;
        } else if self.services.pop_last().is_some() {
            self.services_truncated = true;
        } else if self.nodes.len() > MIN_NODES {
            self.nodes.pop();
        } else {
            return self.give_up_counter();
        }
        true
    }

    fn longest_unseen(&self) -> Option<usize> {
        let unseen = self.nodes.iter().enumerate();
        unseen.filter_map(|(i, node)| Some((node.unseen_since?, i))).min().map(|(_, i)| i)
    }

    /// The write record still knows what is given up here.
    fn give_up_counter(&mut self) -> bool {
        if self.writes.len() > 1 {
            return self.writes.pop_first().is_some();
        }
        let Some(mut day) = self.writes.first_entry() else { return false };
        let least = day.get().iter().min_by_key(|&(_, &count)| count).map(|(writer, _)| writer.clone());
        least.is_some_and(|writer| day.get_mut().remove(&writer).is_some())
    }
}

/// The hour of the day of `unix`.
pub(super) const fn hour_of(unix: u64) -> u64 {
    unix % DAY / SLOT
}

fn date_of(day: u64) -> String {
    let mut text = UnixTime(day.saturating_mul(DAY)).to_string();
    text.truncate("2026-11-22".len());
    text
}

fn day_of(date: &str) -> Option<u64> {
    let midnight: Timestamp = format!("{date}T00:00:00Z").parse().ok()?;
    Some(u64::try_from(midnight.as_second()).ok()? / DAY)
}

/// Seconds since 1970, written as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub u64);

impl std::fmt::Display for UnixTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let second = i64::try_from(self.0.min(LAST_SECOND)).unwrap_or_default();
        Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH).fmt(f)
    }
}

impl Serialize for UnixTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time: Timestamp = String::deserialize(deserializer)?.parse().map_err(de::Error::custom)?;
        u64::try_from(time.as_second()).map(Self).map_err(de::Error::custom)
    }
}

/// The mark of a cluster's history, written as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterId(pub u64);

impl Serialize for ClusterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for ClusterId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map(Self).map_err(de::Error::custom)
    }
}
