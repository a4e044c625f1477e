//! Pings outside the rounds: each one's answer proves that its target lived after it was sent.

use std::collections::BTreeMap;

use crate::id::IdHash;
use crate::time::{Duration, Instant};

/// Pings that may be outstanding; the oldest goes first.
const MAX_CHALLENGES: usize = 512;

/// An answer later than this is no answer.
const EXPIRE_AFTER: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy)]
struct Challenge {
    target: IdHash,
    sent: Instant,
}

/// Pings that wait for their acks.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    by_token: BTreeMap<u64, Challenge>,
}

impl Challenges {
    pub(super) fn add(&mut self, token: u64, target: IdHash, now: Instant) {
        if self.by_token.len() >= MAX_CHALLENGES {
            self.by_token.retain(|_, challenge| now.since(challenge.sent) < EXPIRE_AFTER);
        }
        if self.by_token.len() >= MAX_CHALLENGES {
            let oldest =
                self.by_token.iter().min_by_key(|(_, challenge)| challenge.sent).map(|(token, _)| *token);
            oldest.map(|oldest| self.by_token.remove(&oldest));
        }
        self.by_token.insert(token, Challenge { target, sent: now });
    }

    /// The ack of `target` to this token: how long it took.
    pub(super) fn take(&mut self, token: u64, target: IdHash, now: Instant) -> Option<Duration> {
        let challenge = *self.by_token.get(&token).filter(|challenge| challenge.target == target)?;
        self.by_token.remove(&token);
        let took = now.since(challenge.sent);
        (took < EXPIRE_AFTER).then_some(took)
    }

    /// Forgets all: answers that come now were given before a pause of this node.
    pub(super) fn clear(&mut self) {
        self.by_token.clear();
    }
}
