//! Anti-entropy: one session at a time compares buckets with a peer, fetches what is newer there, and pushes what is
//! newer here.

use super::{Gossip, Leaf, Output, Peer, Token};
use crate::id::{IdHash, ManifestVersion, NodeId, Version};
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
    began: Instant,
}

/// A session that takes longer has lost its peer.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

impl Gossip {
    /// Compares with `peer`, unless a session is running.
    pub fn start_sync(&mut self, peer: Peer, now: Instant) {
        if self.is_comparing(now) {
            return;
        }
        self.next_full_compare = now + FULL_COMPARE_INTERVAL;
        self.differs_since = None;
        let token = self.ask_digest(peer, 0);
        let (to_fetch, to_push) = (Vec::new(), Vec::new());
        self.session = Some(Session { peer, token, next_bucket: 0, to_fetch, to_push, began: now });
    }

    /// Whether a session is running.
    pub fn is_comparing(&self, now: Instant) -> bool {
        self.session.as_ref().is_some_and(|session| now.since(session.began) < SESSION_TIMEOUT)
    }

    fn ask_digest(&mut self, peer: Peer, first_bucket: u32) -> Token {
        let manifest = self.store.held(self.own).map(|held| held.signed.bytes().to_vec()).unwrap_or_default();
        let buckets = self.digest.buckets().to_vec();
        self.ask(peer, Ask::Digest(DigestRequest { buckets, first_bucket, manifest, record: None }))
    }

    pub(super) fn continue_sync(&mut self, reply: Option<Reply>, now: Instant) {
        let Some(mut session) = self.session.take() else { return };
        let teller = session.peer.hash();
        match reply {
            Some(Reply::Digest(digest)) => {
                if session.next_bucket == 0 && digest.differing.iter().all(|bits| *bits == 0) {
                    self.outputs.push_back(Output::Matched(teller));
                }
                self.compare(&mut session, &digest, teller, now);
            }
            Some(Reply::Fetch(records)) => {
                self.take_records(&records.records, teller, now);
                let brought = |id: &IdHash| records.records.iter().any(|record| hash_of(record) == Some(*id));
                let before = session.to_fetch.len();
                session.to_fetch.retain(|id| !brought(id));
                if session.to_fetch.len() == before {
                    session.to_fetch.clear();
                }
            }
            Some(Reply::Push(_)) => {}
            // The peer is gone or does not understand; the next root that differs starts again.
            Some(Reply::Keep(_) | Reply::Ping(_)) | None => return,
        }
        self.next_step(session, now);
    }

    fn next_step(&mut self, mut session: Session, now: Instant) {
        let peer = session.peer;
        session.token = if !session.to_fetch.is_empty() {
            let subjects = session.to_fetch.iter().take(MAX_FETCH).map(|id| id.0).collect();
            self.ask(peer, Ask::Fetch(FetchRequest { subjects }))
        } else if !session.to_push.is_empty() {
            let subjects: Vec<u64> = session.to_push.iter().map(|id| id.0).collect();
            let records = self.records(&subjects, now);
            session.to_push.drain(..records.records.len().clamp(1, subjects.len()));
            self.ask(peer, Ask::Push(records))
        } else if (session.next_bucket as usize) < BUCKETS {
            self.ask_digest(peer, session.next_bucket)
        } else {
            self.outputs.push_back(Output::Compared(peer.hash()));
            return;
        };
        self.session = Some(session);
    }

    /// Sorts what differs into what to learn, to fetch and to push.
    fn compare(&mut self, session: &mut Session, digest: &DigestResponse, teller: IdHash, now: Instant) {
        let first = session.next_bucket;
        // An answer that does not move on would never end.
        let next = if digest.next_bucket > first { digest.next_bucket } else { 256 };
        session.next_bucket = next;
        let mut theirs = std::collections::BTreeMap::new();
        for entry in &digest.entries {
            let Some((id, version, state)) = parse(entry) else { continue };
            theirs.insert(id.hash(), (version, state, manifest_version(entry)));
            let age = Duration::from_millis(entry.age_ms);
            if self.is_older_tombstone(id, version, state, age, now)
                || self.is_news(id, version, state)
                    && (state != EntryState::Alive || self.has_boot(id, version))
            {
                self.outputs.push_back(Output::Claim { id, version, state, age, teller });
            }
            let held = self.store.version(id.hash());
            if state == EntryState::Alive && held.is_none_or(|held| held < manifest_version(entry)) {
                session.to_fetch.push(id.hash());
            }
        }
        let differs = |bucket: u8| {
            (first..next).contains(&u32::from(bucket))
                && digest
                    .differing
                    .get(usize::from(bucket / 8))
                    .is_some_and(|bits| bits >> (bucket % 8) & 1 == 1)
        };
        for (_, hash, leaf) in self.digest.leaves().filter(|(bucket, ..)| differs(*bucket)) {
            let is_newer_here = theirs.get(&hash).is_none_or(|(version, state, manifest)| {
                (leaf.version, leaf.state) > (*version, *state)
                    || leaf.state == EntryState::Alive && self.store.version(hash) > Some(*manifest)
            });
            if is_newer_here && !self.digest.is_faded(hash) {
                session.to_push.push(hash);
            }
        }
    }

    fn is_news(&self, id: NodeId, version: Version, state: EntryState) -> bool {
        self.digest.leaf(id.hash()).is_none_or(|leaf| (version, state) > (leaf.version, leaf.state))
    }

    /// Whether a peer has known of the same end for longer. Ends must age together: else those who learned of one late
    /// would differ from the others from the time when it fades there until it fades here.
    fn is_older_tombstone(
        &self,
        id: NodeId,
        version: Version,
        state: EntryState,
        age: Duration,
        now: Instant,
    ) -> bool {
        self.digest.leaf(id.hash()).is_some_and(|leaf| {
            (leaf.version, leaf.state) == (version, state)
                && state != EntryState::Alive
                && age > leaf.since.elapsed(now).saturating_add(AGES_AGREE_WITHIN)
        })
    }

    /// Whether the boot that a live entry speaks of is known here; otherwise its manifest must be fetched first.
    fn has_boot(&self, id: NodeId, version: Version) -> bool {
        self.digest.leaf(id.hash()).is_some_and(|leaf| leaf.version.epoch == version.epoch)
    }

    pub(super) fn answer_digest(&mut self, request: &DigestRequest, now: Instant) -> Reply {
        if !request.manifest.is_empty() {
            self.handle_manifest(&request.manifest, Duration::ZERO, now);
        }
        let own = self.digest.buckets();
        let mut differing = vec![0_u8; BUCKETS / 8];
        for bucket in (0..BUCKETS).filter(|bucket| own[*bucket] != request.buckets[*bucket]) {
            differing[bucket / 8] |= 1 << (bucket % 8);
        }
        let mut by_bucket: Vec<Vec<Entry>> = vec![Vec::new(); BUCKETS];
        for (bucket, hash, leaf) in self.digest.leaves() {
            let bucket = usize::from(bucket);
            if differing[bucket / 8] >> (bucket % 8) & 1 == 1 {
                by_bucket[bucket].push(self.entry(hash, leaf, now));
            }
        }
        let mut entries = Vec::new();
        let mut next_bucket = request.first_bucket.min(256) as usize;
        while next_bucket < BUCKETS {
            let bucket = std::mem::take(&mut by_bucket[next_bucket]);
            if !entries.is_empty() && entries.len() + bucket.len() > ENTRIES_PER_ANSWER {
                break;
            }
            entries.extend(bucket);
            next_bucket += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 256")]
        let next_bucket = next_bucket as u32;
        Reply::Digest(DigestResponse { entries, next_bucket, record: None, warm: false, differing })
    }

    /// The records of these members, as far as they are held and fit into one message.
    pub(super) fn records(&self, subjects: &[u64], now: Instant) -> Records {
        let mut records = Vec::new();
        let mut bytes = 0;
        for hash in subjects.iter().map(|subject| IdHash(*subject)) {
            let Some(leaf) = self.digest.leaf(hash) else { continue };
            let held = self.store.held(hash).filter(|_| leaf.state == EntryState::Alive);
            bytes += RECORD_OVERHEAD + held.map_or(0, |held| held.signed.bytes().len());
            if bytes > RECORD_BYTES && !records.is_empty() {
                break;
            }
            records.push(Record {
                entry: Some(self.entry(hash, leaf, now)),
                manifest: held.map(|held| held.signed.bytes().to_vec()).unwrap_or_default(),
                manifest_age_ms: held.map_or(0, |held| millis(held.age(now))),
            });
        }
        Records { records }
    }

    pub(super) fn take_push(&mut self, from: NodeId, push: &Records, now: Instant) -> Reply {
        self.take_records(&push.records, from.hash(), now);
        Reply::Push(Nothing {})
    }

    pub(super) fn take_records(&mut self, records: &[Record], teller: IdHash, now: Instant) {
        for record in records {
            if !record.manifest.is_empty() {
                self.handle_manifest(&record.manifest, Duration::from_millis(record.manifest_age_ms), now);
            }
            if let Some((id, version, state)) = record.entry.as_ref().and_then(parse) {
                let age = Duration::from_millis(record.entry.as_ref().map_or(0, |entry| entry.age_ms));
                self.outputs.push_back(Output::Claim { id, version, state, age, teller });
            }
        }
    }

    fn entry(&self, hash: IdHash, leaf: &Leaf, now: Instant) -> Entry {
        let manifest = self.store.version(hash).unwrap_or_default();
        let is_tombstone = leaf.state != EntryState::Alive;
        Entry {
            id: leaf.id.public_key().to_vec(),
            epoch: leaf.version.epoch,
            incarnation: leaf.version.incarnation,
            state: leaf.state.into(),
            manifest_epoch: manifest.epoch,
            seq: manifest.seq,
            age_ms: if is_tombstone { millis(leaf.since.elapsed(now)) } else { 0 },
        }
    }
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
