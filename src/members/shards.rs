//! The slots of all members, ordered by hash, so that what is walked is walked in the same order everywhere.

use super::slot::Slot;
use crate::id::IdHash;

/// How many of the first bits of a hash name its shard. Hashes are random, so the shards are of about one size.
const SHARD_BITS: u32 = 6;

/// A shard that is full grows by one part in this many: doubling would waste a third of the memory on average.
const GROWTH: usize = 8;

/// The slots.
#[derive(Debug)]
pub(super) struct Shards {
    shards: Vec<Vec<Slot>>,
    len: usize,
}

impl Shards {
    pub(super) fn new() -> Self {
        Self { shards: vec![Vec::new(); 1 << SHARD_BITS], len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// How many slots there is room for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.shards.iter().map(Vec::capacity).sum()
    }

    pub(super) fn get(&self, hash: IdHash) -> Option<&Slot> {
        let shard = &self.shards[place(hash)];
        shard.binary_search_by_key(&hash, |slot| slot.hash).ok().map(|at| &shard[at])
    }

    pub(super) fn get_mut(&mut self, hash: IdHash) -> Option<&mut Slot> {
        let shard = &mut self.shards[place(hash)];
        shard.binary_search_by_key(&hash, |slot| slot.hash).ok().map(|at| &mut shard[at])
    }

    /// Takes a slot in the place of the one with the same hash, if any.
    pub(super) fn insert(&mut self, slot: Slot) {
        let shard = &mut self.shards[place(slot.hash)];
        match shard.binary_search_by_key(&slot.hash, |slot| slot.hash) {
            Ok(at) => shard[at] = slot,
            Err(at) => {
                if shard.len() == shard.capacity() {
                    shard.reserve_exact(shard.len() / GROWTH + 2);
                }
                shard.insert(at, slot);
                self.len += 1;
            }
        }
    }

    pub(super) fn remove(&mut self, hash: IdHash) -> Option<Slot> {
        let shard = &mut self.shards[place(hash)];
        let at = shard.binary_search_by_key(&hash, |slot| slot.hash).ok()?;
        self.len -= 1;
        Some(shard.remove(at))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.shards.iter().flatten()
    }
}

const fn place(hash: IdHash) -> usize {
    (hash.0 >> (u64::BITS - SHARD_BITS)) as usize
}
