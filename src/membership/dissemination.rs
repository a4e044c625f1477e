//! Facts on their way: queued by urgency, carried by every datagram, dropped once told often enough.
//!
//! Urgent classes come first, but each lower class keeps a share of every datagram, so that none starves. A newer
//! fact about the same subject replaces the older one.

use std::collections::BTreeMap;

use crate::wire::{Fact, FactKind};

/// Copies of a fact, per decade of members.
const RETRANSMIT_MULTIPLIER: u32 = 4;

/// Deaths and refutations are pushed so often at once; that must not be all, as much of it may be lost.
const PUSHED: u32 = 8;

/// The most facts that wait; beyond it the least urgent go.
const MAX_QUEUED: usize = 8192;

/// The part of a datagram that each lower class can count on.
const RESERVED_SHARE: usize = 10;

/// The part of a datagram that load may take, however much room there is: nodes that share a machine all change at once.
const LOAD_SHARE: usize = 20;

/// How urgent a fact is; lower goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    DeathsAndRefutations,
    JoinsAndLeaves,
    Manifests,
    Load,
}

const CLASSES: [Class; 4] =
    [Class::DeathsAndRefutations, Class::JoinsAndLeaves, Class::Manifests, Class::Load];

/// What a newer fact replaces: per subject one fact on liveness, one manifest, one load, one term, one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    Liveness,
    Manifest,
    Load,
    Term,
    Route,
}

fn sort(kind: FactKind) -> Option<(Class, Topic)> {
    match kind {
        FactKind::Unknown | FactKind::Cloned => None,
        FactKind::Alive | FactKind::Suspect | FactKind::Dead => {
            Some((Class::DeathsAndRefutations, Topic::Liveness))
        }
        FactKind::Left | FactKind::Joined => Some((Class::JoinsAndLeaves, Topic::Liveness)),
        FactKind::Coordinator => Some((Class::JoinsAndLeaves, Topic::Term)),
        FactKind::Unroutable => Some((Class::JoinsAndLeaves, Topic::Route)),
        FactKind::Manifest => Some((Class::Manifests, Topic::Manifest)),
        FactKind::Load => Some((Class::Load, Topic::Load)),
    }
}

/// The number of times that a fact is told, for this many members (memberlist's retransmit limit).
pub(super) fn retransmit_limit(members: usize) -> u32 {
    #[expect(clippy::cast_precision_loss, reason = "a count of members is far below 2^52")]
    let decades = ((members + 1) as f64).log10().ceil().max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 20")]
    let decades = decades as u32;
    RETRANSMIT_MULTIPLIER * decades
}

/// The place of a fact in the queue: class, times told, newest first.
type Place = (Class, u32, std::cmp::Reverse<u64>);

/// The facts on their way.
#[derive(Debug, Default)]
pub(super) struct Dissemination {
    queue: BTreeMap<Place, Fact>,
    places: BTreeMap<(u64, Topic), Place>,
    added: u64,
}

impl Dissemination {
    /// Queues a fact in place of an older one on the same topic.
    pub(super) fn add(&mut self, fact: Fact) {
        let Some((class, topic)) = sort(fact.kind()) else { return };
        self.added += 1;
        let place = (class, 0, std::cmp::Reverse(self.added));
        let topic = (fact.subject, topic);
        if let Some(older) = self.places.insert(topic, place) {
            self.queue.remove(&older);
        }
        self.queue.insert(place, fact);
        if self.queue.len() > MAX_QUEUED
            && let Some((_, dropped)) = self.queue.pop_last()
        {
            self.forget(&dropped);
        }
    }

    /// Takes facts of at most `budget` packed bytes, and counts them as told once more.
    pub(super) fn fill(&mut self, budget: usize, limit: u32) -> Vec<Fact> {
        let mut taken = Vec::new();
        let mut left = budget;
        for (rank, class) in CLASSES.into_iter().enumerate() {
            let waiting_below = CLASSES[rank + 1..].iter().filter(|lower| self.has(**lower)).count();
            let reserved = (budget / RESERVED_SHARE * waiting_below).min(left);
            let most = if class == Class::Load { budget / LOAD_SHARE } else { budget };
            let room = (left - reserved).min(most);
            left = left - room + self.take_class(class, room, &mut taken);
        }
        for (place, fact) in &taken {
            self.count(*place, fact, limit);
        }
        taken.into_iter().map(|(_, fact)| fact).collect()
    }

    /// Whether something waits that is worth a datagram of its own.
    pub(super) fn is_urgent(&self) -> bool {
        self.queue.first_key_value().is_some_and(|((class, ..), _)| *class < Class::Load)
    }

    /// Whether a fact waits that was told to fewer than `copies` members, load apart.
    pub(super) fn is_new(&self, copies: usize) -> bool {
        let least = |class: Class| self.class(class).next().map(|((_, told, _), _)| *told as usize);
        CLASSES
            .into_iter()
            .filter(|class| *class < Class::Load)
            .any(|class| least(class).is_some_and(|n| n < copies))
    }

    /// Whether a death waits that nobody was told of.
    pub(super) fn has_new_deaths(&self) -> bool {
        let untold = self.class(Class::DeathsAndRefutations).take_while(|((_, told, _), _)| *told == 0);
        untold.into_iter().any(|(_, fact)| fact.kind() == FactKind::Dead)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    fn has(&self, class: Class) -> bool {
        self.class(class).next().is_some()
    }

    fn class(&self, class: Class) -> impl Iterator<Item = (&Place, &Fact)> {
        let first = (class, 0, std::cmp::Reverse(u64::MAX));
        let last = (class, u32::MAX, std::cmp::Reverse(0));
        self.queue.range(first..=last)
    }

    /// Takes what fits of one class; returns the bytes that are left.
    fn take_class(&self, class: Class, mut left: usize, taken: &mut Vec<(Place, Fact)>) -> usize {
        for (place, fact) in self.class(class) {
            let len = fact.packed_len();
            if len > left {
                break;
            }
            left -= len;
            taken.push((*place, fact.clone()));
        }
        left
    }

    fn count(&mut self, place: Place, fact: &Fact, limit: u32) {
        self.queue.remove(&place);
        let (class, told, order) = place;
        let limit = limit + if class == Class::DeathsAndRefutations { PUSHED } else { 0 };
        if told + 1 >= limit {
            self.forget(fact);
            return;
        }
        let place = (class, told + 1, order);
        if let Some((_, topic)) = sort(fact.kind()) {
            self.places.insert((fact.subject, topic), place);
        }
        self.queue.insert(place, fact.clone());
    }

    fn forget(&mut self, fact: &Fact) {
        if let Some((_, topic)) = sort(fact.kind()) {
            self.places.remove(&(fact.subject, topic));
        }
    }
}
