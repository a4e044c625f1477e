//! The journal: the last events and the evidence about members, bounded, for `events` and `why`.

mod evidence;
mod record;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, watch};

use super::moment::timestamp;
use crate::id::NodeId;
use crate::mesh::Event;
use crate::time::Duration;
use crate::view::View;

pub use evidence::{EVIDENCE_LINES, EVIDENCE_SUBJECTS, EvidenceLine};
pub use record::{EventRecord, Occurrence, WorkerRef};

use evidence::Evidence;

/// How many events are kept.
pub const EVENTS: usize = 1_000;

/// How many events a slow reader may be behind before it loses some.
const BACKLOG: usize = 256;

/// The last events and the evidence about members. One writer (the node), any number of readers.
#[derive(Debug)]
pub struct Journal {
    views: watch::Receiver<Arc<View>>,
    kept: Mutex<Kept>,
    live: broadcast::Sender<Arc<EventRecord>>,
}

#[derive(Debug, Default)]
struct Kept {
    last_id: u64,
    events: VecDeque<Arc<EventRecord>>,
    evidence: Evidence,
}

impl Journal {
    /// An empty journal, which finds the names of workers in `views`.
    pub fn new(views: watch::Receiver<Arc<View>>) -> Self {
        Self { views, kept: Mutex::default(), live: broadcast::Sender::new(BACKLOG) }
    }

    /// Keeps what users want to know of `event`, and tells those who follow. `now_unix` is the wall clock.
    ///
    /// Call it after the view that the event led to was published: names come from there.
    pub fn record(&self, event: &Event, now_unix: Duration) {
        let at = timestamp(now_unix);
        let view = Arc::clone(&self.views.borrow());
        let occurrence = Occurrence::of(event, &view);
        let mut kept = self.kept();
        if let Some(said) = evidence::of(event, &view) {
            kept.evidence.add(said, at);
        }
        let Some(what) = occurrence else { return };
        kept.last_id += 1;
        let record = Arc::new(EventRecord { id: kept.last_id, at, what });
        if kept.events.len() == EVENTS {
            kept.events.pop_front();
        }
        kept.events.push_back(Arc::clone(&record));
        // Sent under the lock, so that `follow` neither misses nor repeats one. Nobody listening is no error.
        let _ = self.live.send(record);
    }

    /// The kept events after the one with id `after`, and the stream of those to come.
    ///
    /// An id that was not given yet is one of an earlier boot: then all kept events are returned.
    pub fn follow(&self, after: u64) -> (Vec<Arc<EventRecord>>, broadcast::Receiver<Arc<EventRecord>>) {
        let kept = self.kept();
        let after = if after > kept.last_id { 0 } else { after };
        let past = kept.events.iter().filter(|record| record.id > after).cloned().collect();
        (past, self.live.subscribe())
    }

    /// The id of the last event, 0 when there was none.
    pub fn last_id(&self) -> u64 {
        self.kept().last_id
    }

    /// What led to the present status of `subject`, oldest first.
    pub fn evidence(&self, subject: &NodeId) -> Vec<EvidenceLine> {
        self.kept().evidence.about(subject)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
