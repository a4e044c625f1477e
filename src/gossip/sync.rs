//! Anti-entropy: one session at a time compares buckets with a peer, fetches what is newer there, and pushes what is
//! newer here.

use std::collections::{BTreeMap, BTreeSet};

use super::{Gossip, Output, Peer, Token};
use crate::id::{IdHash, ManifestVersion, NodeId, Version};
use crate::members::{Member, Members};
use crate::time::{Duration, Instant};
use crate::wire::link::{
    Ask, BUCKETS, DigestRequest, DigestResponse, Entry, EntryState, FetchRequest, MAX_FETCH, Nothing, Record,
    Records, Reply,
};

/// The bucket vectors are compared this often although the roots agree.
pub(super) const FULL_COMPARE_INTERVAL: Duration = Duration::from_secs(600);

/// Entries in one answer, but for its last bucket.
const ENTRIES_PER_ANSWER: usize = 4096;

/// Bytes of manifests in one message.
const RECORD_BYTES: usize = 700 * 1024;

/// What one entry or record adds to a message besides the manifest's bytes, at most.
const RECORD_OVERHEAD: usize = 96;

/// Ages of one tombstone that differ by less are the same: they tell when it was learned.
const AGES_AGREE_WITHIN: Duration = Duration::from_secs(60);

/// A running session.
#[derive(Debug)]
pub(super) struct Session {
    peer: Peer,
    pub(super) token: Token,
    /// The bucket at which the next digest request begins.
    next_bucket: u32,
    to_fetch: Vec<IdHash>,
    to_push: Vec<IdHash>,
    /// The peer knew of a member, of a boot or of an end that this node did not.
    is_news: bool,
    began: Instant,
}

/// A session that takes longer has lost its peer.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

impl Gossip {
    /// Compares with `peer`, unless a session is running.
    pub fn start_sync(&mut self, peer: Peer, members: &Members, now: Instant) {
        if self.is_comparing(now) {
            return;
        }
        self.next_full_compare = now + FULL_COMPARE_INTERVAL;
        self.differs_since = None;
        let token = self.ask_digest(peer, 0, members);
        let (to_fetch, to_push) = (Vec::new(), Vec::new());
        self.session =
            Some(Session { peer, token, next_bucket: 0, to_fetch, to_push, is_news: false, began: now });
    }

    /// Whether a session is running.
    pub fn is_comparing(&self, now: Instant) -> bool {
        self.session.as_ref().is_some_and(|session| now.since(session.began) < SESSION_TIMEOUT)
    }

    fn ask_digest(&mut self, peer: Peer, first_bucket: u32, members: &Members) -> Token {
        let manifest = members.held(self.own).map(|held| held.signed.bytes().to_vec()).unwrap_or_default();
        let buckets = members.buckets().to_vec();
        self.ask(peer, Ask::Digest(DigestRequest { buckets, first_bucket, manifest, record: None }))
    }

    pub(super) fn continue_sync(&mut self, reply: Option<Reply>, members: &Members, now: Instant) {
        let Some(mut session) = self.session.take() else { return };
        let teller = session.peer.hash();
        match reply {
            Some(Reply::Digest(digest)) => {
                self.compare(&mut session, &digest, members, now);
            }
            Some(Reply::Fetch(records)) => {
                self.take_records(&records.records, teller, members, now);
                let brought: BTreeSet<IdHash> = records.records.iter().filter_map(hash_of).collect();
                let before = session.to_fetch.len();
                session.to_fetch.retain(|id| !brought.contains(id));
                if session.to_fetch.len() == before {
                    session.to_fetch.clear();
                }
            }
            Some(Reply::Push(_)) => {}
            // The peer is gone or does not understand; the next root that differs starts again.
            Some(Reply::Keep(_) | Reply::Ping(_)) | None => return,
        }
        self.next_step(session, members, now);
    }

    fn next_step(&mut self, mut session: Session, members: &Members, now: Instant) {
        let peer = session.peer;
        session.token = if !session.to_fetch.is_empty() {
            let subjects = session.to_fetch.iter().take(MAX_FETCH).map(|id| id.0).collect();
            self.ask(peer, Ask::Fetch(FetchRequest { subjects }))
        } else if !session.to_push.is_empty() {
            let subjects: Vec<u64> = session.to_push.iter().map(|id| id.0).collect();
            let records = records(&subjects, members, now);
            session.to_push.drain(..records.records.len().clamp(1, subjects.len()));
            self.ask(peer, Ask::Push(records))
        } else if (session.next_bucket as usize) < BUCKETS {
            self.ask_digest(peer, session.next_bucket, members)
        } else {
            if !session.is_news {
                self.outputs.push_back(Output::Matched(peer.hash()));
            }
            self.outputs.push_back(Output::Compared(peer.hash()));
            return;
        };
        self.session = Some(session);
    }

    /// Sorts what differs into what to learn, to fetch and to push.
    fn compare(&mut self, session: &mut Session, digest: &DigestResponse, members: &Members, now: Instant) {
        let (first, teller) = (session.next_bucket, session.peer.hash());
        // An answer that does not move on would never end.
        let next = if digest.next_bucket > first { digest.next_bucket } else { 256 };
        session.next_bucket = next;
        let mut theirs = BTreeMap::new();
        for entry in &digest.entries {
            let Some((id, version, state)) = parse(entry) else { continue };
            let (hash, told) = (id.hash(), manifest_version(entry));
            theirs.insert(hash, (version, state, told));
            let age = Duration::from_millis(entry.age_ms);
            let held = members.covered(hash);
            let is_news = held.is_none_or(|held| (version, state) > (held.claim.version, held.state()));
            session.is_news |= is_news;
            // An alive entry of a boot that is not known here counts only once its manifest came.
            let counts = state != EntryState::Alive
                || held.is_some_and(|held| held.claim.version.epoch == version.epoch);
            let is_older = held.is_some_and(|held| is_older_tombstone(&held, version, state, age, now));
            if is_older || is_news && counts {
                self.outputs.push_back(Output::Claim { id, version, state, age, teller });
            }
            if state == EntryState::Alive
                && members.version(hash).is_none_or(|held| held < told)
                && !self.refusals.has(teller, hash, told, now)
            {
                session.to_fetch.push(hash);
            }
        }
        let differs = |bucket: u8| {
            (first..next).contains(&u32::from(bucket)) && is_set(&digest.differing, usize::from(bucket))
        };
        for (_, member) in members.covered_in(differs) {
            let (claim, state) = (member.claim, member.state());
            let is_newer_here = theirs.get(&member.hash).is_none_or(|(version, theirs, manifest)| {
                (claim.version, state) > (*version, *theirs)
                    || state == EntryState::Alive && members.version(member.hash) > Some(*manifest)
            });
            if is_newer_here && !members.is_faded(member.hash) {
                session.to_push.push(member.hash);
            }
        }
    }

    pub(super) fn answer_digest(
        &mut self,
        request: &DigestRequest,
        members: &Members,
        now: Instant,
    ) -> Reply {
        if !request.manifest.is_empty() {
            self.handle_manifest(&request.manifest, Duration::ZERO, members, now);
        }
        let own = members.buckets();
        let mut differing = vec![0_u8; BUCKETS / 8];
        for bucket in (0..BUCKETS).filter(|bucket| own[*bucket] != request.buckets[*bucket]) {
            differing[bucket / 8] |= 1 << (bucket % 8);
        }
        let first = request.first_bucket.min(256) as usize;
        let mut by_bucket: Vec<Vec<Member>> = vec![Vec::new(); BUCKETS];
        let asked = |bucket: u8| usize::from(bucket) >= first && is_set(&differing, usize::from(bucket));
        for (bucket, member) in members.covered_in(asked) {
            by_bucket[usize::from(bucket)].push(member);
        }
        let mut entries = Vec::new();
        let mut next_bucket = first;
        while next_bucket < BUCKETS {
            let bucket = &by_bucket[next_bucket];
            if !entries.is_empty() && entries.len() + bucket.len() > ENTRIES_PER_ANSWER {
                break;
            }
            entries.extend(bucket.iter().map(|member| entry(member, members, now)));
            next_bucket += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 256")]
        let next_bucket = next_bucket as u32;
        Reply::Digest(DigestResponse { entries, next_bucket, record: None, warm: false, differing })
    }

    pub(super) fn take_push(
        &mut self,
        from: NodeId,
        push: &Records,
        members: &Members,
        now: Instant,
    ) -> Reply {
        self.take_records(&push.records, from.hash(), members, now);
        Reply::Push(Nothing {})
    }

    pub(super) fn take_records(
        &mut self,
        records: &[Record],
        teller: IdHash,
        members: &Members,
        now: Instant,
    ) {
        for record in records {
            let age = Duration::from_millis(record.manifest_age_ms);
            let is_useless =
                !record.manifest.is_empty() && !self.take_manifest(&record.manifest, age, members, now);
            let Some(entry) = &record.entry else { continue };
            if let Some((id, version, state)) = parse(entry) {
                if is_useless {
                    self.refusals.add(teller, id.hash(), manifest_version(entry), now);
                }
                let age = Duration::from_millis(entry.age_ms);
                self.outputs.push_back(Output::Claim { id, version, state, age, teller });
            }
        }
    }
}

/// The records of these members, as far as they are held and fit into one message.
pub(super) fn records(subjects: &[u64], members: &Members, now: Instant) -> Records {
    let mut records = Vec::new();
    let mut bytes = 0;
    for hash in subjects.iter().map(|subject| IdHash(*subject)) {
        let Some(member) = members.covered(hash) else { continue };
        let held = members.held(hash).filter(|_| member.is_live());
        bytes += RECORD_OVERHEAD + held.map_or(0, |held| held.signed.bytes().len());
        if bytes > RECORD_BYTES && !records.is_empty() {
            break;
        }
        records.push(Record {
            entry: Some(entry(&member, members, now)),
            manifest: held.map(|held| held.signed.bytes().to_vec()).unwrap_or_default(),
            manifest_age_ms: held.map_or(0, |held| millis(held.age(now))),
        });
    }
    Records { records }
}

fn entry(member: &Member, members: &Members, now: Instant) -> Entry {
    let manifest = members.version(member.hash).unwrap_or_default();
    Entry {
        id: member.id.public_key().to_vec(),
        epoch: member.claim.version.epoch,
        incarnation: member.claim.version.incarnation,
        state: member.state().into(),
        manifest_epoch: manifest.epoch,
        seq: manifest.seq,
        age_ms: if member.is_live() { 0 } else { millis(member.age(now)) },
    }
}

/// Whether a peer has known of the same end for longer. Ends must age together: else those who learned of one late
/// would differ from the others from the time when it fades there until it fades here.
fn is_older_tombstone(
    held: &Member,
    version: Version,
    state: EntryState,
    age: Duration,
    now: Instant,
) -> bool {
    (held.claim.version, held.state()) == (version, state)
        && state != EntryState::Alive
        && age > held.age(now).saturating_add(AGES_AGREE_WITHIN)
}

/// Whether a bit is set, of bits that may be too few.
fn is_set(bits: &[u8], at: usize) -> bool {
    bits.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

fn parse(entry: &Entry) -> Option<(NodeId, Version, EntryState)> {
    let id = NodeId::from_public_key(entry.id.as_slice().try_into().ok()?);
    let version = Version { epoch: entry.epoch, incarnation: entry.incarnation };
    let state = entry.state();
    (state != EntryState::Unknown).then_some((id, version, state))
}

const fn manifest_version(entry: &Entry) -> ManifestVersion {
    ManifestVersion { epoch: entry.manifest_epoch, seq: entry.seq }
}

fn hash_of(record: &Record) -> Option<IdHash> {
    record.entry.as_ref().and_then(parse).map(|(id, ..)| id.hash())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
