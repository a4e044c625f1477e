//! The oracle of the membership: who believes whom alive, after the delays that the full mesh shows.

use meshnode::election::Candidate;
use meshnode::id::ServiceName;
use meshnode::summary::{Census, CensusMember};
use meshnode::time::Duration;
use meshnode::view::Status;
use meshnode::wire::link::WriteRecord;

use super::setting::Rule;
use super::world::{Event, World};

/// How long it takes until others know that somebody came, went, leads or leads no more, in milliseconds.
const NEWS: (u64, u64) = (100, 3_000);

/// Who stands still is held dead after this long.
const STANDS_STILL: Duration = Duration::from_secs(5);

/// Who crashed is believed alive for this long.
pub(super) const CRASH_IS_KNOWN: Duration = Duration::from_secs(1);

/// Two nodes compare notes at least so often, in milliseconds, though nothing seems to differ.
const SESSIONS: (u64, u64) = (590_000, 610_000);

/// A node that finds nobody passes its gate after this long.
const ALONE_AFTER: Duration = Duration::from_secs(30);

/// So many nodes of a part are told of candidates: the others would not lead for long.
const NEXT: usize = 12;

/// Peers with which a node compares notes before it passes its gate, and after it stood still.
const COMPARED: usize = 3;

impl World {
    /// All that are up in the part of the network, best rank first.
    fn part(&self, part: usize) -> Vec<usize> {
        let mut members: Vec<usize> =
            self.up.iter().copied().filter(|&other| self.nodes[other].part == part).collect();
        members.sort_unstable_by_key(|&other| (self.nodes[other].epoch, self.nodes[other].id));
        members
    }

    /// Whom the node believes alive, best rank first, itself included.
    pub(super) fn believed(&self, node: usize) -> Vec<usize> {
        let mut members = self.part(self.nodes[node].part);
        members.retain(|&other| other == node || !self.stands_still(other));
        members
    }

    /// Whom the node would give a copy of the write record, best rank first: who just crashed may be among them.
    pub(super) fn keepers(&self, node: usize, copies: usize) -> Vec<usize> {
        let mut others = self.believed(node);
        let lately = |&other: &usize| {
            let one = &self.nodes[other];
            !one.is_up()
                && one.part == self.nodes[node].part
                && self.now.since(one.down_since) < CRASH_IS_KNOWN
        };
        others.extend(self.crashed.iter().copied().filter(lately));
        others.retain(|&other| other != node);
        others.sort_by_key(|&other| (self.nodes[other].epoch, self.nodes[other].id));
        others.truncate(copies);
        others
    }

    fn stands_still(&self, node: usize) -> bool {
        self.nodes[node].frozen.is_some_and(|(since, _)| self.now.since(since) >= STANDS_STILL)
    }

    /// Something changed that all who may lead must hear of.
    pub(super) fn spread(&mut self) {
        let mut ranked = self.up.clone();
        ranked.sort_unstable_by_key(|&node| {
            let one = &self.nodes[node];
            (one.part, one.epoch, one.id)
        });
        let (mut part, mut place) = (usize::MAX, 0);
        for node in ranked {
            if self.nodes[node].part != part {
                (part, place) = (self.nodes[node].part, 0);
            }
            if place < NEXT || self.nodes[node].follows {
                self.tell_news(node);
            }
            place += 1;
        }
    }

    /// Something changed that only leaders care for.
    pub(super) fn tell_leaders(&mut self) {
        let leaders: Vec<usize> =
            self.up.iter().copied().filter(|&node| self.nodes[node].leading_term() > 0).collect();
        for node in leaders {
            self.tell_news(node);
        }
    }

    fn tell_news(&mut self, node: usize) {
        if !std::mem::replace(&mut self.nodes[node].is_told, true) {
            self.tell(node, NEWS, Event::Look);
        }
    }

    /// The node looks for others, compares notes with some, and offers to lead.
    pub(super) fn gate(&mut self, node: usize) {
        let mut others = self.believed(node);
        others.retain(|&other| other != node && self.nodes[other].frozen.is_none());
        let age = self.now.since(self.nodes[node].started);
        if others.is_empty() && !self.is_single && age < ALONE_AFTER {
            return self.tell(node, (900, 1_100), Event::Gate);
        }
        self.nodes[node].is_ready = true;
        for _ in 0..COMPARED {
            self.compare(node);
        }
        self.spread();
        self.tell(node, (0, SESSIONS.1), Event::Session);
    }

    /// The node hears who may lead; a leader also what to write.
    pub(super) fn look(&mut self, node: usize) {
        let believed = self.believed(node);
        let one = &mut self.nodes[node];
        one.follows = true;
        one.is_told = false;
        one.met_anybody |= believed.len() > 1;
        let mut candidates = Vec::new();
        for other in believed {
            let member = &self.nodes[other];
            let term = member.leading_term();
            let offers = member.is_ready && member.store_failed_until <= self.now;
            if offers && (candidates.len() < 2 * NEXT || term > 0 || other == node) {
                candidates.push(Candidate::new(member.id, 0, member.epoch, term));
            }
        }
        let census = (self.nodes[node].leading_term() > 0).then(|| self.census(node));
        self.with(node, |process, now| {
            if let Some(census) = census {
                process.policy.handle_census(census, now);
            }
            process.election.handle_candidates(candidates, now);
        });
    }

    /// What the node knows of the members.
    pub(super) fn census(&self, node: usize) -> Census {
        let believed = self.believed(node);
        let count = believed.len();
        let mut members: Vec<CensusMember> =
            believed.iter().map(|&other| self.member(other, Status::Alive)).collect();
        let gone = |one: &&super::node::Node| {
            one.left && !one.is_up() && self.now.since(one.down_since) < Duration::from_secs(86_400)
        };
        members.extend(self.left.iter().map(|&other| &self.nodes[other]).filter(gone).map(|one| {
            CensusMember { status: Status::Left, ..self.member(self.by_hash[&one.hash], Status::Left) }
        }));
        let service = |name: &str| name.parse::<ServiceName>().ok();
        let names = ["rag".to_owned(), format!("v{}", self.services)];
        Census {
            members,
            services: names.iter().filter_map(|name| Some((service(name)?, (1, 1)))).collect(),
            workers: u32::try_from(count).unwrap_or(u32::MAX),
            leader: self.nodes[node].process.as_ref().and_then(|process| {
                let leader = self.by_hash.get(&process.election.leader()?)?;
                Some(self.nodes[*leader].id)
            }),
            budget: Some(super::checkers::BUDGET),
            met_anybody: self.nodes[node].met_anybody,
            alive_members: count.saturating_sub(1),
        }
    }

    fn member(&self, node: usize, status: Status) -> CensusMember {
        let one = &self.nodes[node];
        CensusMember {
            id: one.id,
            hash: one.hash,
            status,
            url: format!("https://n{node}-{}.mesh.example.com", one.version),
            zone: ["eu", "us", "ap"][node % 3].to_owned(),
            epoch: one.epoch,
            version: u64::from(one.version),
            draining: false,
        }
    }

    /// The mark of the history that the node's mesh would begin.
    pub(super) const fn cluster_id(&self, node: usize) -> u64 {
        if self.has_two_keys { 0x5be1 + (node % 2) as u64 } else { 0x5be1 }
    }

    /// Now and then a node compares notes with a random member.
    pub(super) fn session(&mut self, node: usize) {
        self.compare(node);
        self.tell(node, SESSIONS, Event::Session);
    }

    /// A random member that answers.
    fn a_peer(&mut self, node: usize) -> Option<usize> {
        let part = self.nodes[node].part;
        let answers = |world: &Self, other: usize| {
            other != node && world.nodes[other].part == part && world.nodes[other].frozen.is_none()
        };
        // Most often the first that is drawn will do, which saves a look at all of a large mesh.
        for _ in 0..3 {
            if let Some(peer) = self.pick_up().filter(|&peer| answers(self, peer)) {
                return Some(peer);
            }
        }
        let others: Vec<usize> = self.up.iter().copied().filter(|&other| answers(self, other)).collect();
        self.pick(&others)
    }

    /// The node asks a random member for its digest; the write records travel with it.
    pub(super) fn compare(&mut self, node: usize) {
        let Some(peer) = self.a_peer(node) else { return };
        let gossips = self.setting.holds(Rule::Gossip);
        let record_of = |world: &mut Self, node: usize| {
            world.nodes[node].met_anybody = true;
            let process = world.nodes[node].process.as_ref();
            let warm = process.is_some_and(|process| process.policy.warm(world.now));
            let record = process.filter(|_| gossips).map(|process| process.policy.record());
            (record.unwrap_or_default(), warm)
        };
        let (told, _): (WriteRecord, bool) = record_of(self, node);
        self.with(peer, |process, now| process.policy.handle_record(&told, false, now));
        let (answer, is_warm) = record_of(self, peer);
        self.with(node, |process, now| process.policy.handle_record(&answer, is_warm, now));
    }
}
