//! Which nodes an edge knows, and in which order it tries them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;
use http::uri::Scheme;
use rand::{Rng, RngExt};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant as TokioInstant;

use super::summary::{NodeUrl, Summary};
use crate::clock::Clock;
use crate::router::proxy::connections::{Connections, Settings};
use crate::router::proxy::dial::Dialler;
use crate::time::{Duration, Instant};

/// A node that failed is tried last for so long.
const PENALTY: Duration = Duration::from_secs(10);

/// For a new connection. Nothing was sent before it stands, so that giving up costs nothing but time.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// How long a connection to a node is kept unused: less than nodes keep it.
const IDLE_FOR: Duration = Duration::from_secs(20);

/// Connections to a node that are dialled at the same time. Nodes may be far away, and who waits for a turn counts as late.
const DIALS: usize = 256;

/// A node that answered within this time is there.
const HEARD: Duration = Duration::from_secs(1);

/// A node that an edge knows.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) url: NodeUrl,
    /// What it gets as `Host`.
    pub(super) host: HeaderValue,
    pub(super) connections: Arc<Connections>,
    /// HTTP/2, for gRPC.
    pub(super) streams: Arc<Connections>,
    /// Until when it is tried last, in nanoseconds since the clock's origin.
    penalised: AtomicU64,
    /// Since when it is known, and how long after that it answered last, in nanoseconds; 0 is never.
    known: TokioInstant,
    heard: AtomicU64,
    /// What came of the last question whether it is there, and when.
    pub(super) word: AsyncMutex<Option<(TokioInstant, bool)>>,
}

impl Node {
    /// It did not do what a node does.
    pub(super) fn failed(&self, now: Instant) {
        self.penalised.store((now + PENALTY).as_nanos(), Ordering::Relaxed);
    }

    /// It answered for itself.
    pub(super) fn answered(&self) {
        self.heard();
        if self.penalised.load(Ordering::Relaxed) != 0 {
            self.penalised.store(0, Ordering::Relaxed);
        }
    }

    /// It said something, be it good or bad.
    pub(super) fn heard(&self) {
        let at = u64::try_from(self.known.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.heard.store(at.max(1), Ordering::Relaxed);
    }

    /// Whether it said anything of late.
    pub(super) fn is_heard(&self) -> bool {
        let at = self.heard.load(Ordering::Relaxed);
        at != 0 && self.known.elapsed().saturating_sub(Duration::from_nanos(at)) < HEARD
    }

    /// Most never failed, and need no look at the clock.
    fn is_penalised(&self, now: impl Fn() -> Instant) -> bool {
        let until = self.penalised.load(Ordering::Relaxed);
        until != 0 && until > now().as_nanos()
    }
}

/// How good a choice a node is, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Live,
    LiveUnseen,
    Fallback,
    FallbackUnseen,
}

/// All nodes that are known at a time.
#[derive(Debug, Default)]
pub(super) struct Roster {
    entries: Vec<(Rank, Arc<Node>)>,
    /// A live list is known.
    pub(super) is_live: bool,
    /// A list from the store is known.
    pub(super) is_stored: bool,
    /// What the last summary listed.
    pub(super) services: Vec<String>,
}

impl Roster {
    /// A random one of the best nodes that are not in `tried`.
    pub(super) fn pick(
        &self,
        tried: &[Arc<Node>],
        now: impl Fn() -> Instant,
        rng: &mut impl Rng,
    ) -> Option<Arc<Node>> {
        let mut best: Option<((bool, Rank), &Arc<Node>)> = None;
        let mut equals = 0_u32;
        for (rank, node) in &self.entries {
            if tried.iter().any(|tried| Arc::ptr_eq(tried, node)) {
                continue;
            }
            let rank = (node.is_penalised(&now), *rank);
            match best {
                Some((other, _)) if other < rank => {}
                Some((other, _)) if other == rank => {
                    equals += 1;
                    if rng.random_range(0..equals) == 0 {
                        best = Some((rank, node));
                    }
                }
                Some(_) | None => {
                    equals = 1;
                    best = Some((rank, node));
                }
            }
        }
        best.map(|(_, node)| node.clone())
    }

    /// Whether no node is known.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// What became of a live answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adoption {
    /// It is the live list now.
    Adopted,
    /// What is known is as good, or better.
    Kept,
    /// It tells of another history of the cluster than the store does.
    Foreign,
}

/// Makes connections to nodes: of HTTP/1.1, which one request has for itself, or of what both sides have.
#[derive(Debug)]
pub(super) struct Diallers {
    http1: Dialler,
    any: Dialler,
}

impl Diallers {
    pub(super) fn new() -> Result<Self, rustls::Error> {
        Ok(Self { http1: Dialler::http1()?, any: Dialler::new()? })
    }
}

/// The lists, and where each of them comes from.
#[derive(Debug)]
pub(super) struct Book {
    diallers: Diallers,
    clock: Clock,
    seeds: Vec<NodeUrl>,
    stored: Option<Summary>,
    live: Option<Summary>,
    /// By origin and base, so that a node keeps its connections whatever list names it.
    known: BTreeMap<String, Arc<Node>>,
}

impl Book {
    pub(super) const fn new(seeds: Vec<NodeUrl>, diallers: Diallers, clock: Clock) -> Self {
        Self { diallers, clock, seeds, stored: None, live: None, known: BTreeMap::new() }
    }

    /// The store was read; what it held before stays when it has nothing usable now.
    pub(super) fn stored(&mut self, summary: Summary) {
        self.stored = Some(summary);
    }

    /// A node told what it knows.
    pub(super) fn heard(&mut self, summary: Summary) -> Adoption {
        if let Some(stored) = &self.stored
            && !stored.cluster_id.is_empty()
            && stored.cluster_id != summary.cluster_id
        {
            return Adoption::Foreign;
        }
        // Terms of different histories cannot be compared, unless nothing else tells which one is right.
        let comparable = |live: &Summary| self.stored.is_none() || live.cluster_id == summary.cluster_id;
        // Nodes without a public URL, which are known as seeds, may list nobody.
        let is_worse = |live: &Summary| {
            comparable(live)
                && (live.term > summary.term || summary.nodes.is_empty() && !live.nodes.is_empty())
        };
        if self.live.as_ref().is_some_and(is_worse) {
            return Adoption::Kept;
        }
        self.live = Some(summary);
        Adoption::Adopted
    }

    /// The nodes of all lists.
    pub(super) fn roster(&mut self) -> Roster {
        let before = std::mem::take(&mut self.known);
        let mut roster =
            Roster { is_live: self.live.is_some(), is_stored: self.stored.is_some(), ..Roster::default() };
        let seen = |summary: &Option<Summary>, unseen: bool| -> Vec<NodeUrl> {
            let nodes = summary.iter().flat_map(|summary| &summary.nodes);
            nodes.filter(|node| node.unseen == unseen).map(|node| node.url.clone()).collect()
        };
        let lists = [
            (Rank::Live, seen(&self.live, false)),
            (Rank::LiveUnseen, seen(&self.live, true)),
            (Rank::Fallback, seen(&self.stored, false)),
            (Rank::Fallback, self.seeds.clone()),
            (Rank::FallbackUnseen, seen(&self.stored, true)),
        ];
        for (rank, urls) in lists {
            for url in urls {
                let key = format!("{}{}", url.origin, url.base);
                if self.known.contains_key(&key) {
                    continue;
                }
                let node = before.get(&key).cloned().or_else(|| self.node(url));
                if let Some(node) = node {
                    self.known.insert(key, node.clone());
                    roster.entries.push((rank, node));
                }
            }
        }
        let latest = self.live.as_ref().or(self.stored.as_ref());
        roster.services = latest.map(|summary| summary.services.clone()).unwrap_or_default();
        roster
    }

    fn node(&self, url: NodeUrl) -> Option<Arc<Node>> {
        let http1 = Settings {
            origin: url.origin.clone(),
            h2c: false,
            connect_within: CONNECT_WITHIN,
            idle_for: IDLE_FOR,
            dials: DIALS,
        };
        let is_clear = url.origin.scheme() == Some(&Scheme::HTTP);
        let any = Settings { h2c: is_clear, ..http1.clone() };
        let host = HeaderValue::from_str(&url.authority).ok()?;
        let connections = Connections::new(http1, self.diallers.http1.clone(), self.clock);
        let streams = Connections::new(any, self.diallers.any.clone(), self.clock);
        Some(Arc::new(Node {
            url,
            host,
            connections,
            streams,
            penalised: AtomicU64::new(0),
            known: TokioInstant::now(),
            heard: AtomicU64::new(0),
            word: AsyncMutex::default(),
        }))
    }
}
