//! Load, quantised: a node's own with hysteresis, and what is known of others, for as long as it is fresh.

use std::collections::BTreeMap;

use crate::id::IdHash;
use crate::time::{Duration, Instant};
use crate::view::Load;

/// The busiest bucket; a bucket is four bits.
const MAX_BUCKET: u8 = 15;

/// How far beyond its bucket's edge a load must be before another bucket is told: one full bucket.
const HYSTERESIS: f32 = 1.0;

/// Between two facts about the own load, at least.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// What is known of another's load is used for this long.
const FRESH_FOR: Duration = Duration::from_secs(30);

/// A load as it travels: 4 bits of busy, 5 bits of in-flight requests, 7 bits of free memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuantisedLoad(u16);

impl QuantisedLoad {
    /// The value on the wire.
    pub const fn to_wire(self) -> u64 {
        self.0 as u64
    }

    /// From the value on the wire; a later version's higher bits are ignored.
    pub const fn from_wire(value: u64) -> Self {
        Self((value & 0xffff) as u16)
    }

    fn new(bucket: u8, load: &Load) -> Self {
        let in_flight = (u32::BITS - load.in_flight.leading_zeros()).min(31);
        let memory = half_octaves(load.available_memory);
        Self(u16::from(bucket & MAX_BUCKET) | (in_flight as u16) << 4 | u16::from(memory) << 9)
    }

    /// The load in the middle of its buckets.
    pub fn load(self) -> Load {
        let in_flight = (self.0 >> 4) & 31;
        let memory = u32::from(self.0 >> 9);
        Load {
            busy: f32::from(self.0 & 15) / f32::from(MAX_BUCKET),
            in_flight: if in_flight == 0 { 0 } else { 1 << (in_flight - 1) },
            available_memory: octave(memory),
        }
    }
}

/// Twice the binary logarithm, rounded down, of a number of bytes.
#[expect(clippy::cast_possible_truncation, reason = "below 128")]
fn half_octaves(bytes: u64) -> u8 {
    let Some(log) = bytes.checked_ilog2() else { return 0 };
    // 181/128 is the square root of two.
    let half = u128::from(bytes) * 128 >= (181_u128 << log);
    (log * 2 + u32::from(half)) as u8
}

fn octave(half_octaves: u32) -> u64 {
    let whole = 1_u64.checked_shl(half_octaves / 2).unwrap_or(u64::MAX);
    if half_octaves == 0 {
        0
    } else if half_octaves.is_multiple_of(2) {
        whole
    } else {
        whole.saturating_add(whole / 128 * 53)
    }
}

/// The loads that a node knows.
#[derive(Debug, Default)]
pub struct Loads {
    own: Option<(u8, Load)>,
    told: Option<(QuantisedLoad, Instant)>,
    tellings: u64,
    others: BTreeMap<IdHash, Known>,
}

/// What is known of another's load.
#[derive(Debug, Clone, Copy)]
struct Known {
    load: QuantisedLoad,
    at: Instant,
    /// The number of its last telling; 0 when only acks spoke of it.
    telling: u64,
}

impl Loads {
    /// Counts tellings from `epoch` on: with seconds between two of them, those of the next boot are higher again.
    pub fn count_from(&mut self, epoch: u64) {
        self.tellings = self.tellings.max(epoch);
    }

    /// Measures the own load. Returns it, and the number of this telling, when others should hear of it.
    pub fn measure(&mut self, load: Load, now: Instant) -> Option<(QuantisedLoad, u64)> {
        let scaled = load.busy.clamp(0.0, 1.0) * f32::from(MAX_BUCKET);
        let bucket = match self.own {
            Some((held, _)) if (scaled - f32::from(held)).abs() < HYSTERESIS => held,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 15")]
            _ => scaled.round() as u8,
        };
        self.own = Some((bucket, load));
        let quantised = QuantisedLoad::new(bucket, &load);
        let due = self
            .told
            .is_none_or(|(told, at)| quantised.0 & 15 != told.0 & 15 && now.since(at) >= TELL_INTERVAL);
        if !due {
            return None;
        }
        self.told = Some((quantised, now));
        self.tellings = self.tellings.saturating_add(1);
        Some((quantised, self.tellings))
    }

    /// The own load, for acks.
    pub fn own(&self) -> Option<QuantisedLoad> {
        self.own.map(|(bucket, load)| QuantisedLoad::new(bucket, &load))
    }

    /// The own load as measured.
    pub fn own_exact(&self) -> Option<Load> {
        self.own.map(|(_, load)| load)
    }

    /// A member's own ack says how busy it is.
    pub fn observe(&mut self, of: IdHash, load: QuantisedLoad, now: Instant) {
        let known = self.others.entry(of).or_insert(Known { load, at: now, telling: 0 });
        known.load = load;
        known.at = now;
    }

    /// Somebody tells another's load. True when it is news, to be passed on.
    ///
    /// Without the order of tellings two values of one load would chase each other through the mesh for ever.
    pub fn learn(&mut self, of: IdHash, load: QuantisedLoad, telling: u64, now: Instant) -> bool {
        if self.others.get(&of).is_some_and(|known| telling <= known.telling) {
            return false;
        }
        self.others.insert(of, Known { load, at: now, telling });
        true
    }

    /// Another's load, while it is fresh.
    pub fn of(&self, member: IdHash, now: Instant) -> Option<Load> {
        let known = self.others.get(&member)?;
        (now.since(known.at) < FRESH_FOR).then(|| known.load.load())
    }

    /// Forgets a member.
    pub fn forget(&mut self, member: IdHash) {
        self.others.remove(&member);
    }
}
