//! Questions over links: those of this node, with who waits for the answer, and those of others.

use std::net::SocketAddr;

use super::{Event, LinkFailure, Mesh, Output, Refused, RequestId};
use crate::gossip::{Peer, Token};
use crate::id::{IdHash, NodeId, Version};
use crate::membership::{ConnectOutcome, LinkAnswer};
use crate::time::{Duration, Instant};
use crate::wire::encode;
use crate::wire::link::{Ask, Nothing, Pong, Reply, Request, Response, WriteRecord};

/// Questions on their way, of all kinds together.
const MAX_REQUESTS: usize = 64;

/// Who waits for an answer.
#[derive(Debug)]
pub(super) enum Pending {
    /// Gossip.
    Gossip(Token),
    /// The summary's write record was given to a member, before a write.
    Keep,
    /// It was given to a member after a write.
    Told,
    /// Membership pings a member over its watch link.
    Ping(IdHash),
    /// Membership wants to know who is at a member's address.
    Connect(IdHash),
}

impl Mesh {
    pub(super) fn handle_request(&mut self, from: NodeId, id: RequestId, body: &[u8], now: Instant) {
        let reply = match Request::decode(body) {
            Ok(request) => request.ask.and_then(|ask| self.answer(from, &ask, now)),
            Err(error) => {
                self.event(Event::Refused { what: Refused::Link, reason: error.to_string() });
                None
            }
        };
        // What the question taught goes out first: a record is on disk before its receipt is given.
        self.pump(now);
        self.outputs.push_back(Output::Respond { id, body: encode(&Response { reply }) });
    }

    fn answer(&mut self, from: NodeId, ask: &Ask, now: Instant) -> Option<Reply> {
        match ask {
            Ask::Keep(record) => {
                self.summary.handle_record(record, false, now);
                Some(Reply::Keep(Nothing {}))
            }
            Ask::Digest(digest) => {
                if let Some(record) = &digest.record {
                    self.summary.handle_record(record, false, now);
                }
                let mut reply = self.gossip.handle_ask(from, ask, self.membership.members(), now)?;
                if let Reply::Digest(digest) = &mut reply {
                    digest.record = Some(self.summary.record());
                    digest.warm = self.summary.warm(now);
                }
                Some(reply)
            }
            // As with datagrams: who leaves answers no ping.
            Ask::Ping(_) if self.membership.is_leaving() => None,
            Ask::Ping(_) => {
                let Version { epoch, incarnation } = self.membership.version();
                Some(Reply::Ping(Pong { epoch, incarnation }))
            }
            Ask::Fetch(_) | Ask::Push(_) => self.gossip.handle_ask(from, ask, self.membership.members(), now),
        }
    }

    pub(super) fn handle_response(
        &mut self,
        id: RequestId,
        result: Result<Vec<u8>, LinkFailure>,
        now: Instant,
    ) {
        let Some(pending) = self.requests.remove(&id) else { return };
        if let Pending::Ping(subject) = pending {
            let answer = link_answer(result);
            self.membership.handle_link_answer(subject, answer, now);
            return;
        }
        let reply = match result.map(|body| Response::decode(&body)) {
            Ok(Ok(response)) => response.reply,
            Ok(Err(error)) => {
                self.event(Event::Refused { what: Refused::Link, reason: error.to_string() });
                None
            }
            // The machine that asked goes on without; pings tell whether the peer lives.
            Err(_) => None,
        };
        if let Some(Reply::Digest(digest)) = &reply
            && let Some(record) = &digest.record
        {
            self.summary.handle_record(record, digest.warm, now);
        }
        self.settle(pending, reply, now);
    }

    /// Tells whoever waits what came of its question; `None` is nothing.
    fn settle(&mut self, pending: Pending, reply: Option<Reply>, now: Instant) {
        match pending {
            Pending::Gossip(token) => self.gossip.handle_reply(token, reply, self.membership.members(), now),
            Pending::Told => {}
            Pending::Keep => self.summary.handle_kept(matches!(reply, Some(Reply::Keep(_))), now),
            Pending::Ping(subject) => {
                self.membership.handle_link_answer(subject, LinkAnswer::Nothing, now);
            }
            Pending::Connect(subject) => {
                self.membership.handle_connected(subject, ConnectOutcome::Silent, now);
            }
        }
    }

    pub(super) fn ask_for_gossip(&mut self, to: Peer, token: Token, mut ask: Ask, now: Instant) {
        if let Ask::Digest(digest) = &mut ask {
            digest.record = Some(self.summary.record());
        }
        let target = match to {
            Peer::Contact { id, addr } => Some((id, addr)),
            Peer::Member(hash) => self.dialable(hash),
        };
        match target {
            Some((id, addr)) => self.request(id, addr, ask, Pending::Gossip(token), now),
            None => self.gossip.handle_reply(token, None, self.membership.members(), now),
        }
    }

    /// Gives the write record to the members that would lead next, then to others.
    pub(super) fn replicate(&mut self, record: &WriteRecord, copies: usize, now: Instant) {
        // A receipt for an earlier record says nothing about this one.
        self.requests.retain(|_, pending| !matches!(pending, Pending::Keep));
        let keepers = self.keepers(copies);
        for _ in keepers.len()..copies {
            self.summary.handle_kept(false, now);
        }
        for (id, addr) in keepers {
            self.request(id, addr, Ask::Keep(record.clone()), Pending::Keep, now);
        }
    }

    /// Gives the write record of a write that is done to the same members; nobody waits for their receipts.
    pub(super) fn announce(&mut self, record: &WriteRecord, copies: usize, now: Instant) {
        for (id, addr) in self.keepers(copies) {
            self.request(id, addr, Ask::Keep(record.clone()), Pending::Told, now);
        }
    }

    fn keepers(&self, copies: usize) -> Vec<(NodeId, SocketAddr)> {
        let next = self.election.candidates().iter().map(|candidate| candidate.id);
        let others = self.membership.live().iter().copied();
        let mut chosen: Vec<IdHash> = Vec::new();
        for hash in next.chain(others) {
            if hash != self.hash && !chosen.contains(&hash) && chosen.len() < copies {
                chosen.push(hash);
            }
        }
        chosen.into_iter().filter_map(|hash| self.dialable(hash)).collect()
    }

    /// Members to which watch links are to be kept.
    pub(super) fn watch(&mut self, watched: &[IdHash]) {
        let peers = watched.iter().filter_map(|hash| self.dialable(*hash)).collect();
        self.outputs.push_back(Output::Watch(peers));
    }

    pub(super) fn ping_link(&mut self, subject: IdHash, within: Duration, now: Instant) {
        // Many looks may begin at once; they must not push out what others wait for.
        let target = self.dialable(subject).filter(|_| self.requests.len() < MAX_REQUESTS);
        let Some((to, _)) = target else {
            self.membership.handle_link_answer(subject, LinkAnswer::Nothing, now);
            return;
        };
        let id = self.name_request(Pending::Ping(subject), now);
        let body = encode(&Request { ask: Some(Ask::Ping(Nothing {})) });
        self.outputs.push_back(Output::PingLink { to, id, body, within });
    }

    pub(super) fn connect(&mut self, subject: IdHash, now: Instant) {
        let Some((to, addr)) = self.dialable(subject) else {
            self.membership.handle_connected(subject, ConnectOutcome::Silent, now);
            return;
        };
        let id = self.name_request(Pending::Connect(subject), now);
        self.outputs.push_back(Output::Connect { to, addr, id });
    }

    pub(super) fn handle_connected(&mut self, id: RequestId, outcome: ConnectOutcome, now: Instant) {
        if let Some(Pending::Connect(subject)) = self.requests.remove(&id) {
            self.membership.handle_connected(subject, outcome, now);
        }
    }

    fn dialable(&self, hash: IdHash) -> Option<(NodeId, SocketAddr)> {
        let member = self.membership.member(hash)?;
        Some((member.id, member.addr?))
    }

    fn name_request(&mut self, pending: Pending, now: Instant) -> RequestId {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.requests.insert(id, pending);
        // The driver reports a time-out for every question; one that forgets cannot make this grow.
        if self.requests.len() > MAX_REQUESTS
            && let Some((_, oldest)) = self.requests.pop_first()
        {
            self.settle(oldest, None, now);
        }
        id
    }

    fn request(&mut self, to: NodeId, addr: SocketAddr, ask: Ask, pending: Pending, now: Instant) {
        let id = self.name_request(pending, now);
        self.outputs.push_back(Output::Request { to, addr, id, body: encode(&Request { ask: Some(ask) }) });
    }
}

/// What the result of a ping over a link says.
fn link_answer(result: Result<Vec<u8>, LinkFailure>) -> LinkAnswer {
    match result {
        Ok(body) => match Response::decode(&body).map(|response| response.reply) {
            Ok(Some(Reply::Ping(Pong { epoch, incarnation }))) => {
                LinkAnswer::Alive(Version { epoch, incarnation })
            }
            Ok(_) | Err(_) => LinkAnswer::Nothing,
        },
        Err(LinkFailure::Stalled) => LinkAnswer::Stalled,
        Err(LinkFailure::Unreachable | LinkFailure::WrongPeer | LinkFailure::TimedOut) => LinkAnswer::Nothing,
    }
}

/// The write record of an earlier boot; `None` when it is damaged, as it will be rebuilt from others.
pub(super) fn decode_record(bytes: &[u8]) -> Option<WriteRecord> {
    WriteRecord::decode_bounded(bytes).ok()
}
