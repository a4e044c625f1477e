//! Pings on behalf of others: a relay pings the target, and forwards its ack or says that there is none.

use std::collections::BTreeMap;

use rand::Rng as _;

use super::{Destination, Membership, PERIOD};
use crate::id::IdHash;
use crate::time::{Duration, Instant, earliest};
use crate::wire::Body;
use crate::wire::packet::{Ack, Nack, NackReason, Ping};

/// Pings on behalf of others that may be outstanding.
const MAX_RELAYS: usize = 256;

/// After this share of a relayed ping's time, in percent, the origin is told that nothing was heard, so that the
/// nack arrives before it gives up.
const NACK_AFTER_PERCENT: u32 = 80;

/// A ping on behalf of another member.
#[derive(Debug)]
pub(super) struct Relay {
    origin: Destination,
    origin_token: u64,
    nack_at: Option<Instant>,
    ends: Instant,
}

/// All of them, by the token of the relay's own ping.
pub(super) type Relays = BTreeMap<u64, Relay>;

impl Relay {
    pub(super) fn deadline(&self) -> Instant {
        earliest(self.nack_at, Some(self.ends)).unwrap_or(self.ends)
    }
}

impl Membership {
    pub(super) fn handle_ping_req(&mut self, ask: Ping, sender: Destination, now: Instant) {
        let target = IdHash(ask.target);
        let is_known = self.members.get(&target).is_some_and(|member| member.addr.is_some());
        if !is_known || self.relays.len() >= MAX_RELAYS {
            self.send_nack(sender, ask.token, NackReason::NotKnown);
            return;
        }
        let token = self.rng.next_u64();
        let wait: Duration = self.answer_time() * NACK_AFTER_PERCENT / 100;
        let relay =
            Relay { origin: sender, origin_token: ask.token, nack_at: Some(now + wait), ends: now + PERIOD };
        self.relays.insert(token, relay);
        self.ping(target, token, false, now);
    }

    /// True when the ack was for somebody else's ping.
    pub(super) fn forward_ack(&mut self, ack: Ack, is_direct: bool, now: Instant) -> bool {
        let Some(relay) = self.relays.remove(&ack.token) else { return false };
        if is_direct {
            self.handle_promise(IdHash(ack.target), ack.next_turn_ms, now);
            let forwarded = Ack { token: relay.origin_token, next_turn_ms: 0, ..ack };
            self.send(relay.origin, Some(Body::Ack(forwarded)));
        }
        true
    }

    pub(super) fn expire_relays(&mut self, now: Instant) {
        let mut nacks = Vec::new();
        for relay in self.relays.values_mut() {
            if relay.nack_at.is_some_and(|at| at <= now) {
                relay.nack_at = None;
                nacks.push((relay.origin, relay.origin_token));
            }
        }
        for (origin, token) in nacks {
            self.send_nack(origin, token, NackReason::NoAnswer);
        }
        self.relays.retain(|_, relay| relay.ends > now);
    }

    pub(super) fn send_nack(&mut self, to: Destination, token: u64, reason: NackReason) {
        self.send(to, Some(Body::Nack(Nack { token, reason: reason.into() })));
    }
}
