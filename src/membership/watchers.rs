//! Who watches whom: on each of eight hash rings the first live successor that no lower ring has chosen.
//!
//! As in Rapid (Suresh et al., ATC 2018) the rings make a graph of fixed degree that expands well: everybody has eight
//! watchers and watches about eight, and a member that comes or goes moves only the edges next to it.

use crate::id::IdHash;

/// The rings, and so the watchers of each member.
pub(super) const RINGS: usize = 8;

/// The watchers of `subject` among `candidates`, ring by ring; all of them when there are no more than rings.
pub(super) fn of(subject: IdHash, candidates: &[IdHash]) -> Vec<IdHash> {
    let mut chosen = Vec::with_capacity(RINGS);
    for ring in 0..RINGS {
        let free = candidates.iter().filter(|id| **id != subject && !chosen.contains(*id));
        chosen.extend(free.min_by_key(|id| distance(ring, subject, **id)).copied());
    }
    chosen
}

/// Whether `newcomer` changes the watchers of `subject`, which are `watchers` without it.
pub(super) fn is_displaced_by(subject: IdHash, watchers: &[IdHash], newcomer: IdHash) -> bool {
    let nearer =
        |(ring, held): (usize, &IdHash)| distance(ring, subject, newcomer) < distance(ring, subject, *held);
    watchers.len() < RINGS || watchers.iter().enumerate().any(nearer)
}

/// How far `to` comes after `from` on a ring.
fn distance(ring: usize, from: IdHash, to: IdHash) -> u64 {
    place(ring, to).wrapping_sub(place(ring, from))
}

/// The place of a member on a ring: the finaliser of `SplitMix64` (Steele, Lea, Flood, OOPSLA 2014) over its hash.
fn place(ring: usize, id: IdHash) -> u64 {
    let mut x = id.0 ^ (ring as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
