//! What one run is: a scenario, a seed, how stale the store is, and the rules that are left out.

use std::collections::BTreeSet;

use clap::ValueEnum as _;
use meshnode::summary::Rules;
use meshnode::time::Duration;

/// One run; the same setting gives the same run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How old an answer of the store may be.
    pub staleness: Duration,
    /// How old the nodes take it to be at most.
    pub declared: Duration,
    /// Virtual days; faults end a day before.
    pub days: u64,
    /// The rules that do not hold.
    pub without: BTreeSet<Rule>,
}

impl Setting {
    /// Whether a rule holds.
    pub fn holds(&self, rule: Rule) -> bool {
        !self.without.contains(&rule)
    }

    /// The rules that the policy itself leaves out.
    pub(super) fn rules(&self) -> Rules {
        Rules {
            pacing: self.holds(Rule::Pacing),
            slots: self.holds(Rule::Slots),
            stagger: self.holds(Rule::Stagger),
            tail: self.holds(Rule::Tail),
            distance: self.holds(Rule::Distance),
        }
    }

    /// When the faults end, in seconds from the start.
    pub const fn faults_end(&self) -> u64 {
        if self.days > 1 { (self.days - 1) * 86_400 } else { 64_800 }
    }
}

/// A rule of the summary's writer that can be left out, to see what breaks without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Rule {
    /// A leader writes only when it can know what was written before.
    Warmth,
    /// What stood still waits like one that boots.
    Resume,
    /// Write records are exchanged between members.
    Gossip,
    /// A member must have kept the record before a value is sent.
    Receipt,
    /// The value carries the attempts of all writers.
    Counters,
    /// The counters of a value with another `cluster_id` count as well.
    AllHistories,
    /// The record is on disk.
    Disk,
    /// The attempt is counted before it is sent, and not once it succeeded.
    CountFirst,
    /// Not all of the day's budget may be used in its first hours.
    Pacing,
    /// One change in an hour.
    Slots,
    /// Writers have different places in the hour.
    Stagger,
    /// Nothing is written in the last minute of an hour.
    Tail,
    /// Between an attempt and an urgent one is a distance.
    Distance,
    /// Who expected company and met nobody waits.
    Lone,
    /// A value is sent within 5 s of the read, on its connection.
    Gap,
    /// Entries that the writer does not see stay for a day.
    Unseen,
}

impl Rule {
    /// Its name on the command line.
    pub fn name(&self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
