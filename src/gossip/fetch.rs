//! Fetching manifests that somebody told of: batched by teller, retried with others, given up to anti-entropy.
//!
//! Many at once are a sign that much is missing here: then the digests are compared instead, which brings all.

use std::collections::{BTreeMap, BTreeSet};

use super::{Gossip, Peer, Token};
use crate::id::{IdHash, ManifestVersion};
use crate::members::Members;
use crate::time::{Duration, Instant};
use crate::wire::link::{Ask, FetchRequest, MAX_FETCH, Reply};

/// Small manifests ride on datagrams: a fetch waits this long for that.
const GRACE: Duration = Duration::from_millis(30);

/// Between two tries for the same manifest.
const RETRY: Duration = Duration::from_millis(700);

/// After this many tries anti-entropy will bring it.
const MAX_TRIES: u32 = 5;

/// Whom else to ask.
const MAX_TELLERS: usize = 3;

/// Manifests that are wanted at the same time; what is beyond comes by anti-entropy.
const MAX_WANTS: usize = 8192;

/// Fetches on their way.
const MAX_FETCHES: usize = 8;

/// When more than this are due at once, digests are compared in place of fetches from many tellers.
const MANY: usize = 32;

/// What a comparison may bring is left alone for this long.
const COMPARE_FIRST: Duration = Duration::from_millis(250);

/// A manifest that is wanted.
#[derive(Debug)]
struct Want {
    version: ManifestVersion,
    tellers: Vec<IdHash>,
    tries: u32,
    due: Instant,
    in_flight: bool,
}

/// A fetch on its way.
#[derive(Debug)]
struct Fetch {
    teller: IdHash,
    subjects: Vec<IdHash>,
}

/// All manifests that are wanted.
#[derive(Debug, Default)]
pub(super) struct Wants {
    wants: BTreeMap<IdHash, Want>,
    /// The wants that are not on their way, soonest first.
    queue: BTreeSet<(Instant, IdHash)>,
    fetches: BTreeMap<Token, Fetch>,
}

impl Wants {
    pub(super) fn add(&mut self, subject: IdHash, version: ManifestVersion, teller: IdHash, now: Instant) {
        if self.wants.len() >= MAX_WANTS && !self.wants.contains_key(&subject) {
            return;
        }
        let want = self.wants.entry(subject).or_insert_with(|| {
            self.queue.insert((now + GRACE, subject));
            Want { version, tellers: Vec::new(), tries: 0, due: now + GRACE, in_flight: false }
        });
        if version > want.version {
            want.version = version;
            want.tellers.clear();
            want.tries = 0;
        }
        if !want.tellers.contains(&teller) && want.tellers.len() < MAX_TELLERS {
            want.tellers.push(teller);
        }
    }

    pub(super) fn satisfy(&mut self, subject: IdHash, version: ManifestVersion) {
        if self.wants.get(&subject).is_some_and(|want| version >= want.version) {
            self.remove(subject);
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        if self.fetches.len() >= MAX_FETCHES {
            return None;
        }
        self.queue.first().map(|(due, _)| *due)
    }

    /// When many are due: puts all of them off, and says who told of the first one.
    fn put_off_many(&mut self, now: Instant) -> Option<IdHash> {
        let due: Vec<IdHash> = self.due(now).collect();
        if due.len() <= MANY {
            return None;
        }
        let teller = due.first().and_then(|subject| self.wants.get(subject)?.tellers.first().copied());
        for subject in due {
            self.delay(subject, now + COMPARE_FIRST);
        }
        teller
    }

    /// What to ask of whom now.
    fn take_due(&mut self, now: Instant) -> BTreeMap<IdHash, Vec<IdHash>> {
        let mut batches: BTreeMap<IdHash, Vec<IdHash>> = BTreeMap::new();
        let room = MAX_FETCHES.saturating_sub(self.fetches.len());
        let due: Vec<IdHash> = self.due(now).collect();
        for subject in due {
            let Some(want) = self.wants.get_mut(&subject) else { continue };
            // Whoever is asked for others anyway may as well be asked for this one.
            let asked = want.tellers.iter().find(|teller| want.tries == 0 && batches.contains_key(teller));
            let turn = want.tries as usize % want.tellers.len().max(1);
            let Some(teller) = asked.or_else(|| want.tellers.get(turn)).copied() else { continue };
            if batches.len() >= room && !batches.contains_key(&teller) {
                continue;
            }
            let batch = batches.entry(teller).or_default();
            if batch.len() < MAX_FETCH {
                batch.push(subject);
                want.in_flight = true;
                want.tries += 1;
                self.queue.remove(&(want.due, subject));
            }
        }
        batches
    }

    /// What a fetch was for and has not brought is tried again later, or given up.
    fn give_back(&mut self, token: Token, now: Instant) {
        let subjects = self.fetches.remove(&token).map(|fetch| fetch.subjects).unwrap_or_default();
        for subject in subjects {
            let Some(want) = self.wants.get_mut(&subject) else { continue };
            want.in_flight = false;
            let tries = want.tries;
            self.delay(subject, now + RETRY * tries.max(1));
            if tries >= MAX_TRIES {
                self.remove(subject);
            }
        }
    }

    fn due(&self, now: Instant) -> impl Iterator<Item = IdHash> {
        self.queue.iter().take_while(move |(due, _)| *due <= now).map(|(_, subject)| *subject)
    }

    fn delay(&mut self, subject: IdHash, due: Instant) {
        if let Some(want) = self.wants.get_mut(&subject) {
            self.queue.remove(&(want.due, subject));
            want.due = due;
            if !want.in_flight {
                self.queue.insert((due, subject));
            }
        }
    }

    fn remove(&mut self, subject: IdHash) {
        if let Some(want) = self.wants.remove(&subject) {
            self.queue.remove(&(want.due, subject));
        }
    }
}

impl Gossip {
    pub(super) fn fetch_wanted(&mut self, members: &Members, now: Instant) {
        if let Some(teller) = self.wants.put_off_many(now) {
            self.start_sync(Peer::Member(teller), members, now);
        }
        for (teller, subjects) in self.wants.take_due(now) {
            let request = FetchRequest { subjects: subjects.iter().map(|subject| subject.0).collect() };
            let token = self.ask(Peer::Member(teller), Ask::Fetch(request));
            self.wants.fetches.insert(token, Fetch { teller, subjects });
        }
    }

    pub(super) fn finish_fetch(
        &mut self,
        token: Token,
        reply: Option<Reply>,
        members: &Members,
        now: Instant,
    ) {
        let teller = self.wants.fetches.get(&token).map(|fetch| fetch.teller);
        if let (Some(Reply::Fetch(records)), Some(teller)) = (reply, teller) {
            self.take_records(&records.records, teller, members, now);
        }
        self.wants.give_back(token, now);
    }
}
