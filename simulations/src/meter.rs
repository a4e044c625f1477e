//! The meter: what nodes send, and when each of them comes to hold something of another.

use std::collections::BTreeSet;

use meshnode::time::Instant;

/// What IPv4 and UDP add to each datagram.
pub const IP_UDP_HEADERS: usize = 28;

/// What IPv4, TCP, TLS and HTTP/2 add to a message over a link, and the acknowledgement that it costs; an estimate.
pub const LINK_HEADERS: usize = 200;

/// What one node has sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Datagrams.
    pub datagrams: u64,
    /// Bytes of datagrams on the wire: plaintext, seal, and the headers of UDP and IP.
    pub datagram_bytes: u64,
    /// Requests and responses over links.
    pub messages: u64,
    /// Bytes of messages over links, headers included.
    pub message_bytes: u64,
}

impl Sent {
    /// All bytes.
    pub const fn bytes(&self) -> u64 {
        self.datagram_bytes + self.message_bytes
    }
}

/// What one node came to hold of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// When.
    pub at: Instant,
    /// Who.
    pub observer: usize,
    /// Of whom.
    pub subject: usize,
    /// What.
    pub what: Sight,
}

/// What can be held of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// It does not answer, or somebody says so.
    Doubted,
    /// It is dead.
    Dead,
    /// It left.
    Left,
    /// It is alive after all.
    Refuted,
    /// It is not to be reached, though alive.
    Unroutable,
    /// It can be reached again.
    Routable,
    /// One of its services changed its health.
    Changed,
}

/// Somebody came to hold a node dead that nobody held dead before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// When.
    pub at: Instant,
    /// Whom.
    pub subject: usize,
}

/// Counts and notes while a cluster runs.
#[derive(Debug, Default)]
pub struct Meter {
    sent: Vec<Sent>,
    watched: BTreeSet<usize>,
    ignored: BTreeSet<usize>,
    sightings: Vec<Sighting>,
    /// Who is held dead by whom: (subject, observer).
    dead: BTreeSet<(usize, usize)>,
    deaths: Vec<Death>,
    most_queued: usize,
    events: u64,
    digest: u64,
}

impl Meter {
    /// Notes everything that is held of these nodes from now on.
    pub fn watch(&mut self, subjects: &[usize]) {
        self.watched.extend(subjects);
    }

    /// What these nodes hold of others does not count from now on.
    pub fn ignore(&mut self, observers: &[usize]) {
        self.ignored.extend(observers);
    }

    /// Forgets what was counted and noted.
    pub fn reset(&mut self) {
        self.sent.fill(Sent::default());
        self.sightings.clear();
        self.deaths.clear();
    }

    /// Deaths, each counted once, however many learn of it.
    pub fn deaths(&self) -> &[Death] {
        &self.deaths
    }

    /// What was noted, in the order in which it happened.
    pub fn sightings(&self) -> &[Sighting] {
        &self.sightings
    }

    /// What each node has sent.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// Who holds a node dead.
    pub fn holders(&self, subject: usize) -> impl Iterator<Item = usize> {
        self.dead.range((subject, 0)..=(subject, usize::MAX)).map(|(_, observer)| *observer)
    }

    /// Everything that happened so far.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The most events that were planned at one moment.
    pub const fn most_queued(&self) -> usize {
        self.most_queued
    }

    /// A number that follows from everything that happened, and when: two runs that agree in it were the same.
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Something happens, `queued` more being planned.
    pub const fn tick(&mut self, at: Instant, queued: usize) {
        self.events += 1;
        self.mix(at.as_nanos());
        if queued > self.most_queued {
            self.most_queued = queued;
        }
    }

    /// A node sends a datagram of so many bytes, seal included.
    pub fn datagram(&mut self, node: usize, sealed: usize) {
        self.mix(node as u64 ^ (sealed as u64) << 32);
        let sent = self.sent_by(node);
        sent.datagrams += 1;
        sent.datagram_bytes += (sealed + IP_UDP_HEADERS) as u64;
    }

    /// A node sends a request or a response over a link.
    pub fn message(&mut self, node: usize, len: usize) {
        self.mix(node as u64 ^ (len as u64) << 32);
        let sent = self.sent_by(node);
        sent.messages += 1;
        sent.message_bytes += (len + LINK_HEADERS) as u64;
    }

    /// A node came to hold something of another.
    pub fn sight(&mut self, sighting: Sighting) {
        let Sighting { at, observer, subject, what } = sighting;
        self.mix(observer as u64 ^ (subject as u64) << 32);
        if self.ignored.contains(&observer) {
            return;
        }
        match what {
            Sight::Dead => {
                let is_new = self.dead.range((subject, 0)..=(subject, usize::MAX)).next().is_none();
                self.dead.insert((subject, observer));
                if is_new {
                    self.deaths.push(Death { at, subject });
                }
            }
            Sight::Refuted | Sight::Left => {
                self.dead.remove(&(subject, observer));
            }
            Sight::Doubted | Sight::Unroutable | Sight::Routable | Sight::Changed => {}
        }
        if self.watched.contains(&subject) {
            self.sightings.push(sighting);
        }
    }

    fn sent_by(&mut self, node: usize) -> &mut Sent {
        if self.sent.len() <= node {
            self.sent.resize(node + 1, Sent::default());
        }
        &mut self.sent[node]
    }

    /// One step of a multiplicative hash (Fibonacci hashing, then a rotation).
    const fn mix(&mut self, value: u64) {
        self.digest = (self.digest.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
