//! Gossip: manifests and load of all members, spread by adverts and repaired by anti-entropy.
//!
//! Every manifest has one writer, so the higher (epoch, seq) wins and a merge is idempotent and commutative. A new one
//! is advertised as a fact and pushed along when small, else pulled over a link from whoever told of it. Two nodes
//! whose roots differ compare bucket sums and exchange what differs: never the whole state, and nothing at all while
//! the roots agree. Tombstones are part of the digest and travel with their age, so the dead cannot come back; a
//! manifest ages wherever it lies and routes only while its owner is alive in the membership view.
//!
//! This machine does not judge liveness and holds no manifests: it reports what it learned, and is shown the table of
//! members.

mod fetch;
mod load;
mod refusals;
mod sync;

#[cfg(test)]
mod tests;

pub use load::{Loads, QuantisedLoad};

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::id::{IdHash, ManifestVersion, NodeId, Version};
use crate::members::Members;
use crate::time::{Duration, Instant};
use crate::wire::WireError;
use crate::wire::link::{Ask, EntryState, Reply};
use crate::wire::manifest::{SignedManifest, Verified, Verifier};
use fetch::Wants;
use refusals::Refusals;
use sync::Session;

/// Whom to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A member; its address is known.
    Member(IdHash),
    /// Somebody who answered a join from this address.
    Contact {
        /// Who.
        id: NodeId,
        /// Where.
        addr: SocketAddr,
    },
}

impl Peer {
    /// The peer's short name.
    pub fn hash(&self) -> IdHash {
        match self {
            Self::Member(hash) => *hash,
            Self::Contact { id, .. } => id.hash(),
        }
    }
}

/// Names a question that is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(u64);

/// What gossip wants to be done or known.
#[derive(Debug)]
pub enum Output {
    /// Ask a peer over a link; `handle_reply` gets the answer.
    Ask {
        /// Whom.
        to: Peer,
        /// Names the question.
        token: Token,
        /// What.
        ask: Ask,
    },
    /// A manifest came that is newer than what is held.
    Manifest {
        /// The manifest.
        signed: SignedManifest,
        /// The time since it was first accepted anywhere.
        age: Duration,
    },
    /// A claim about a member's liveness came with anti-entropy.
    Claim {
        /// The member.
        id: NodeId,
        /// Its version.
        version: Version,
        /// Alive, dead or left.
        state: EntryState,
        /// The age of a tombstone.
        age: Duration,
        /// Who told.
        teller: IdHash,
    },
    /// A peer holds the same as this node, or nothing that this node did not know of.
    Matched(IdHash),
    /// A comparison with a peer came to its end.
    Compared(IdHash),
    /// A manifest was refused.
    Refused(String),
}

/// Differing roots are left alone for this long: facts on their way often settle them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where there is always news, differing roots are left alone for at most this long.
const MAX_PATIENCE: Duration = Duration::from_secs(10);

/// A node that has come to know its mesh, in which much is new, goes on comparing at once for at most this long.
const EAGER: Duration = Duration::from_secs(10);

/// Manifests, and refusals, that are remembered: copies of one come within seconds from many tellers.
const VERIFIED: usize = 128;

/// The gossip machine of one node.
#[derive(Debug)]
pub struct Gossip {
    own: IdHash,
    cluster: String,
    /// How busy everyone is.
    pub loads: Loads,
    /// Manifests whose signatures were checked lately.
    pub verified: Verified,
    /// Who checks signatures in its place.
    pub verifier: Option<Verifier>,
    wants: Wants,
    refusals: Refusals,
    /// Until then this node is new, and compares digests whenever they differ; `None` before it knows its mesh.
    eager_until: Option<Instant>,
    session: Option<Session>,
    next_token: u64,
    /// When something was last learned.
    last_news: Instant,
    /// Since when the roots that were told have differed, without a comparison.
    differs_since: Option<Instant>,
    /// When the bucket vector is compared although the roots agree.
    next_full_compare: Instant,
    outputs: VecDeque<Output>,
}

impl Gossip {
    /// An empty machine.
    pub fn new(own: IdHash, cluster: &str, now: Instant) -> Self {
        Self {
            own,
            cluster: cluster.to_owned(),
            loads: Loads::default(),
            verified: Verified::new(VERIFIED),
            verifier: None,
            wants: Wants::default(),
            refusals: Refusals::default(),
            eager_until: None,
            session: None,
            next_token: 0,
            last_news: now,
            differs_since: None,
            next_full_compare: now + sync::FULL_COMPARE_INTERVAL,
            outputs: VecDeque::new(),
        }
    }

    /// Somebody holds a manifest that may be newer than what is held here.
    pub fn want(
        &mut self,
        subject: IdHash,
        version: ManifestVersion,
        teller: IdHash,
        members: &Members,
        now: Instant,
    ) {
        let is_news = members.version(subject).is_none_or(|held| held < version);
        if subject != self.own && is_news && !self.refusals.has(teller, subject, version, now) {
            self.wants.add(subject, version, teller, now);
        }
    }

    /// The bytes of a manifest arrived, `age` after it was first accepted anywhere.
    pub fn handle_manifest(&mut self, bytes: &[u8], age: Duration, members: &Members, now: Instant) {
        self.take_manifest(bytes, age, members, now);
    }

    /// False when it was not to be used, and will not be when it comes again.
    fn take_manifest(&mut self, bytes: &[u8], age: Duration, members: &Members, now: Instant) -> bool {
        let signed = match self.check(bytes) {
            Ok(signed) => signed,
            Err(error) => {
                self.outputs.push_back(Output::Refused(error.to_string()));
                return false;
            }
        };
        let (owner, manifest) = (signed.owner(), signed.manifest());
        if owner == self.own || members.version(owner).is_some_and(|held| held >= manifest.version) {
            return true;
        }
        if age >= manifest.ttl {
            return false;
        }
        self.wants.satisfy(owner, manifest.version);
        self.last_news = now;
        self.outputs.push_back(Output::Manifest { signed, age });
        true
    }

    fn check(&mut self, bytes: &[u8]) -> Result<SignedManifest, WireError> {
        let signed = match &self.verifier {
            Some(verifier) => verifier.verify(bytes)?,
            None => self.verified.verify(bytes)?,
        };
        let is_ours = signed.manifest().cluster == self.cluster;
        is_ours.then_some(signed).ok_or(WireError::Field { what: "manifest", field: "cluster" })
    }

    /// A member told the root of its digest.
    pub fn handle_root(&mut self, peer: IdHash, root: u64, members: &Members, now: Instant) {
        if root == members.root() && now < self.next_full_compare {
            self.differs_since = None;
            self.eager_until = self.eager_until.map(|until| until.min(now));
            self.outputs.push_back(Output::Matched(peer));
            return;
        }
        let since = *self.differs_since.get_or_insert(now);
        let is_patient = self.eager_until.is_some_and(|until| until <= now)
            && now.since(self.last_news) < PATIENCE
            && now.since(since) < MAX_PATIENCE;
        if !is_patient || now >= self.next_full_compare {
            self.start_sync(Peer::Member(peer), members, now);
        }
    }

    /// Something else than gossip learned news: differing roots are expected for a while.
    pub fn note_news(&mut self, now: Instant) {
        self.last_news = now;
    }

    /// This node knows its mesh: once it agrees with somebody, facts on their way are left time to settle what differs.
    pub fn calm_down(&mut self, now: Instant) {
        self.eager_until = Some(now + EAGER);
    }

    /// A peer asks something over a link.
    pub fn handle_ask(&mut self, from: NodeId, ask: &Ask, members: &Members, now: Instant) -> Option<Reply> {
        match ask {
            Ask::Digest(digest) => Some(self.answer_digest(digest, members, now)),
            Ask::Fetch(fetch) => Some(Reply::Fetch(sync::records(&fetch.subjects, members, now))),
            Ask::Push(records) => Some(self.take_push(from, records, members, now)),
            // The write record is the summary's business.
            Ask::Keep(_) | Ask::Ping(_) => None,
        }
    }

    /// The answer to a question, or none.
    pub fn handle_reply(&mut self, token: Token, reply: Option<Reply>, members: &Members, now: Instant) {
        if self.session.as_ref().is_some_and(|session| session.token == token) {
            self.continue_sync(reply, members, now);
        } else {
            self.finish_fetch(token, reply, members, now);
        }
    }

    /// This node stood still: whoever compared with it has given up.
    pub fn handle_pause(&mut self) {
        self.session = None;
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, members: &Members, now: Instant) {
        self.fetch_wanted(members, now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When `handle_timeout` is next due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wants.next_due()
    }

    /// Forgets all about a member.
    pub fn forget(&mut self, member: IdHash) {
        self.loads.forget(member);
    }

    fn ask(&mut self, to: Peer, ask: Ask) -> Token {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.outputs.push_back(Output::Ask { to, token, ask });
        token
    }
}
