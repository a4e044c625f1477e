//! Finds a node that answers: asks some at once, and others beside those that stay silent.

use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant as TokioInstant, sleep_until};

use super::Edge;
use super::asking::Asked;
use super::nodes::Node;
use super::rule::Mishap;
use crate::time::{Duration, Instant};

/// So many are asked at once.
const WAVE: usize = 6;

/// Who is silent for so long is waited for, but makes room for the next.
const PATIENCE: Duration = Duration::from_millis(350);

/// The most that are asked.
const MAX_ASKED: usize = 40;

/// What came of it.
#[derive(Debug, Clone)]
pub(super) enum Discovered {
    /// The first that answered.
    Node(Arc<Node>),
    /// Nobody did.
    Nobody {
        /// Those that failed.
        failed: Vec<Arc<Node>>,
        /// Why, when it was not silence.
        refused: Option<Mishap>,
    },
}

/// The last discovery: requests that waited for it share what it found.
#[derive(Debug, Default)]
pub(super) struct LastDiscovery(Option<(Instant, Discovered)>);

impl Edge {
    /// Whether a request has to find out first who answers.
    pub(super) fn must_discover(&self, is_repeatable: bool) -> bool {
        let directory = &self.directory;
        let is_live = directory.roster().is_live || directory.is_foreign();
        !is_live || !is_repeatable && !directory.has_answered()
    }

    /// Finds a node that answers, unless none is needed any more; one discovery serves all that wait for it.
    pub(super) async fn discover(self: &Arc<Self>, is_repeatable: bool) -> Option<Discovered> {
        let begun = self.clock.now();
        let mut last = self.discovery.clone().lock_owned().await;
        if let Some((ended, discovered)) = &last.0
            && *ended > begun
        {
            return Some(discovered.clone());
        }
        if !self.must_discover(is_repeatable) {
            return None;
        }
        let edge = self.clone();
        // It goes on when its client leaves, since others wait for it.
        let discovering = tokio::spawn(async move {
            let discovered = edge.ask_around().await;
            last.0 = Some((edge.clock.now(), discovered.clone()));
            discovered
        });
        discovering.await.ok()
    }

    fn ask_for(&self, index: usize, node: Arc<Node>) -> BoxFuture<'_, (usize, Asked)> {
        Box::pin(async move { (index, self.ask(&node).await) })
    }

    async fn ask_around(&self) -> Discovered {
        let mut asking = FuturesUnordered::new();
        let mut asked: Vec<Arc<Node>> = Vec::new();
        // Who may still be expected to answer at any moment, and until when.
        let mut expected: Vec<(usize, TokioInstant)> = Vec::new();
        let mut failed = Vec::new();
        let mut refused = None;
        loop {
            let now = TokioInstant::now();
            expected.retain(|(_, until)| *until > now);
            while expected.len() < WAVE && asked.len() < MAX_ASKED {
                let Some(node) = self.directory.pick(&asked) else { break };
                let index = asked.len();
                asked.push(node.clone());
                expected.push((index, now + PATIENCE));
                asking.push(self.ask_for(index, node));
            }
            let next = expected.iter().map(|(_, until)| *until).min();
            let patience = pin!(sleep_until(next.unwrap_or(now)));
            let (index, answer) = tokio::select! {
                answered = asking.next() => match answered {
                    Some(answered) => answered,
                    None => return Discovered::Nobody { failed, refused },
                },
                () = patience, if next.is_some() => continue,
            };
            expected.retain(|(expected, _)| *expected != index);
            let Some(node) = asked.get(index) else { continue };
            match answer {
                Asked::Summary => return Discovered::Node(node.clone()),
                Asked::Foreign => {}
                Asked::Refused(mishap) => {
                    refused = Some(mishap);
                    failed.push(node.clone());
                }
                Asked::Failed => failed.push(node.clone()),
            }
        }
    }
}
