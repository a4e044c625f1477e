//! The ablation: each rule is left out in every scenario, and what breaks is shown beside what holds with it.

use clap::ValueEnum as _;
use meshnode::time::Duration;

use super::figures::Figures;
use super::scenarios::Scenario;
use super::setting::Rule;

/// The names of the columns.
pub(super) const HEADER: [&str; 9] =
    ["without", "scenario", "S", "applied", "sent", "age", "blind", "lost", "promises broken"];

/// A difference smaller than this is chance: the same seed draws other faults once a rule is missing.
const CHANCE: u32 = 3;

/// The worst of all runs of one scenario with one staleness.
#[derive(Debug, Clone)]
pub(super) struct Worst<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) staleness: Duration,
    applied: u32,
    sent: u32,
    age: Duration,
    blind: Duration,
    lost: u32,
    broken: Vec<&'static str>,
}

impl<'a> Worst<'a> {
    pub(super) fn of<'f>(
        scenario: &'a Scenario,
        staleness: Duration,
        runs: impl Iterator<Item = &'f Figures>,
    ) -> Self {
        let none = Duration::ZERO;
        let mut worst = Self {
            scenario,
            staleness,
            applied: 0,
            sent: 0,
            age: none,
            blind: none,
            lost: 0,
            broken: Vec::new(),
        };
        for figures in runs {
            worst.applied = worst.applied.max(figures.worst_applied());
            worst.sent = worst.sent.max(figures.worst_sent());
            worst.age = worst.age.max(figures.oldest);
            worst.blind = worst.blind.max(figures.blind);
            worst.lost = worst.lost.max(figures.lost_updates);
            worst.broken.extend(figures.breaches.iter().map(|breach| breach.promise));
        }
        worst.broken.sort_unstable();
        worst.broken.dedup();
        worst
    }

    /// How much worse this is than with all rules: promises first, then writes, then edges that wait.
    fn harm(&self, with: &Self) -> (usize, u32, u64) {
        let broken = self.broken.iter().filter(|promise| !with.broken.contains(promise)).count();
        let more = (self.applied.saturating_sub(with.applied)).max(self.sent.saturating_sub(with.sent));
        let longer = self.blind.saturating_sub(with.blind).as_secs() / 120;
        (broken, if more < CHANCE { 0 } else { more }, longer)
    }
}

/// The line of a rule: the scenario that it matters in most, or that it matters in none.
pub(super) fn row(rule: Rule, with: &[Worst<'_>], without: &[Worst<'_>]) -> Vec<String> {
    let pairs = with.iter().zip(without);
    let most = pairs.max_by_key(|(with, without)| without.harm(with));
    let Some((with, without)) = most.filter(|(with, without)| without.harm(with) > (0, 0, 0)) else {
        return vec![rule.name(), "(none of those played)".to_owned()];
    };
    let both = |with: String, without: String| format!("{with} -> {without}");
    let hours = |time: Duration| format!("{:.1} h", time.as_secs_f64() / 3_600.0);
    let minutes = |time: Duration| format!("{} m", time.as_secs() / 60);
    vec![
        rule.name(),
        without.scenario.name.to_owned(),
        without.staleness.as_secs().to_string(),
        both(with.applied.to_string(), without.applied.to_string()),
        both(with.sent.to_string(), without.sent.to_string()),
        both(hours(with.age), hours(without.age)),
        both(minutes(with.blind), minutes(without.blind)),
        both(with.lost.to_string(), without.lost.to_string()),
        without.broken.join(", "),
    ]
}

/// All rules.
pub(super) fn rules() -> Vec<Rule> {
    Rule::value_variants().to_vec()
}
