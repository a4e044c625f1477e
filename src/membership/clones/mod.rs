//! Clones: two processes that run with one key, as after a copied disk, found by the nonces of their boots.
//!
//! A process that was seen before a later one, and answers a fresh challenge after it, was not replaced by it: both run. A
//! newer epoch or nonce alone is a restart, and what nobody asked for may be a replay; neither is evidence.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::id::IdHash;
use crate::time::{Duration, Instant};

/// An answer of the earlier boot counts when the later one answered at most this long before.
const WITHIN: Duration = Duration::from_secs(5);

/// Members whose boots are remembered; those that answered longest ago are forgotten.
const MAX_KNOWN: usize = 512;

/// Challenges that wait for their answers.
const MAX_CHALLENGES: usize = 64;

/// An address other than the published one from which a member speaks (it has several) is not asked more often.
const ALIAS_REST: Duration = Duration::from_secs(60);

/// Otherwise one member is challenged at most this often.
const CHALLENGE_REST: Duration = Duration::from_millis(250);

/// One boot of a member, as it says so itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Boot {
    pub(super) epoch: u64,
    pub(super) nonce: u64,
}

/// An answer to a fresh challenge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) boot: Boot,
    /// Where it came from; none for a link, which says nothing of the address for datagrams.
    pub(super) addr: Option<SocketAddr>,
    /// When the challenge was sent, and when the answer came.
    pub(super) asked: Instant,
    pub(super) answered: Instant,
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// Another boot was seen here before: ask whether it still answers.
    AskAgain(SocketAddr),
    /// Both run. The lower one gives way.
    Clone { lower: (Boot, Option<SocketAddr>), higher: (Boot, Option<SocketAddr>) },
}

/// What is known of one member's boots.
#[derive(Debug, Clone, Copy)]
struct Known {
    first: Answer,
    /// A later boot, and when its first answer came.
    second: Option<(Answer, Instant)>,
    /// Where it was last found to speak from besides the published address.
    alias: Option<(SocketAddr, Instant)>,
    challenged: Option<Instant>,
}

/// A challenge on its way.
#[derive(Debug, Clone, Copy)]
struct Challenge {
    member: IdHash,
    addr: SocketAddr,
    sent: Instant,
}

/// The boots of the members that answered lately.
#[derive(Debug, Default)]
pub(super) struct Clones {
    known: BTreeMap<IdHash, Known>,
    challenges: BTreeMap<u64, Challenge>,
}

impl Clones {
    /// A member answered a fresh challenge, or a link with it was admitted.
    pub(super) fn handle_answer(&mut self, member: IdHash, answer: Answer) -> Option<Finding> {
        let Some(known) = self.known.get_mut(&member) else {
            self.remember(member, answer);
            return None;
        };
        let now = answer.answered;
        if answer.boot.nonce == known.first.boot.nonce {
            let addr = answer.addr.or(known.first.addr);
            known.first = Answer { addr, ..answer };
            let (second, _) = known.second?;
            if now.since(second.answered) > WITHIN {
                // Both may run, but this may as well be the last that was heard of the first.
                known.second = None;
                return second.addr.map(Finding::AskAgain);
            }
            return (answer.asked >= second.answered).then(|| clone(known.first, second));
        }
        match &mut known.second {
            Some((second, since)) if second.boot.nonce == answer.boot.nonce => {
                let since = *since;
                *second = Answer { addr: answer.addr.or(second.addr), ..answer };
                if now.since(since) > WITHIN {
                    // The first one was asked and is silent: this is its restart.
                    (known.first, known.second) = (*second, None);
                }
                None
            }
            _ => {
                known.second = Some((answer, now));
                known.first.addr.map(Finding::AskAgain)
            }
        }
    }

    /// A member spoke from `source`, which is not the address that it publishes. True when it is to be challenged there.
    pub(super) fn is_strange(&mut self, member: IdHash, source: SocketAddr, now: Instant) -> bool {
        let Some(known) = self.known.get(&member) else { return true };
        let is_alias = known.alias.is_some_and(|(addr, at)| addr == source && now.since(at) < ALIAS_REST);
        let is_asked = known.challenged.is_some_and(|at| now.since(at) < CHALLENGE_REST);
        !is_alias && !is_asked
    }

    /// A challenge with this token goes to `addr`. False when there are too many already.
    pub(super) fn handle_challenge(
        &mut self,
        token: u64,
        member: IdHash,
        addr: SocketAddr,
        now: Instant,
    ) -> bool {
        self.challenges.retain(|_, challenge| now.since(challenge.sent) < WITHIN);
        if self.challenges.len() >= MAX_CHALLENGES {
            return false;
        }
        self.challenges.insert(token, Challenge { member, addr, sent: now });
        if let Some(known) = self.known.get_mut(&member) {
            known.challenged = Some(now);
        }
        true
    }

    /// The answer to a challenge of this machine came; every token counts once.
    pub(super) fn take_challenge(
        &mut self,
        token: u64,
        member: IdHash,
        boot: Boot,
        now: Instant,
    ) -> Option<Answer> {
        let challenge = self.challenges.remove(&token)?;
        if challenge.member != member {
            return None;
        }
        if let Some(known) = self.known.get_mut(&member)
            && known.first.boot.nonce == boot.nonce
            && known.first.addr != Some(challenge.addr)
        {
            known.alias = Some((challenge.addr, now));
        }
        Some(Answer { boot, addr: Some(challenge.addr), asked: challenge.sent, answered: now })
    }

    fn remember(&mut self, member: IdHash, first: Answer) {
        if self.known.len() >= MAX_KNOWN {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.first.answered).map(|(id, _)| *id);
            oldest.and_then(|id| self.known.remove(&id));
        }
        self.known.insert(member, Known { first, second: None, alias: None, challenged: None });
    }
}

fn clone(a: Answer, b: Answer) -> Finding {
    let (lower, higher) = if a.boot < b.boot { (a, b) } else { (b, a) };
    Finding::Clone { lower: (lower.boot, lower.addr), higher: (higher.boot, higher.addr) }
}
