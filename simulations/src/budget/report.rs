//! The runs of a scenario as a line of a table.

use std::collections::BTreeSet;

use meshnode::time::Duration;

use super::figures::Figures;
use super::scenarios::Scenario;
use super::setting::Setting;

/// The runs of one scenario with one staleness.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) staleness: Duration,
    pub(super) runs: Vec<(Setting, Figures)>,
}

/// The names of the columns.
pub(super) const HEADER: [&str; 14] = [
    "scenario",
    "S",
    "applied",
    "sent",
    "seed",
    "mean/d",
    "age",
    "blind",
    "stale",
    "converged",
    "bytes",
    "GETs/d",
    "lost",
    "429",
];

impl Group<'_> {
    /// The worst of the runs.
    pub(super) fn row(&self) -> Vec<String> {
        let runs = || self.runs.iter().map(|(_, figures)| figures);
        let longest = |of: fn(&Figures) -> Duration| runs().map(of).max().unwrap_or_default();
        let worst = self.runs.iter().max_by_key(|(setting, figures)| {
            (figures.worst_applied(), figures.worst_sent(), std::cmp::Reverse(setting.seed))
        });
        let count = |of: fn(&Figures) -> u32| runs().map(of).max().unwrap_or(0).to_string();
        let days = self.runs.first().map_or(1, |(setting, _)| setting.days);
        let mean = runs().map(|figures| figures.mean(days)).sum::<f64>() / as_f64(self.runs.len());
        let converged: Option<Vec<Duration>> = runs().map(|figures| figures.converged).collect();
        vec![
            self.scenario.name.to_owned(),
            self.staleness.as_secs().to_string(),
            count(Figures::worst_applied),
            count(Figures::worst_sent),
            worst.map_or_else(String::new, |(setting, _)| setting.seed.to_string()),
            format!("{mean:.1}"),
            hours(longest(|figures| figures.oldest)),
            minutes(longest(|figures| figures.blind)),
            minutes(longest(|figures| figures.blind_by_staleness)),
            match converged.and_then(|all| all.into_iter().max()) {
                Some(last) => hours(last),
                None if self.scenario.heals => "never".to_owned(),
                None => "-".to_owned(),
            },
            runs().map(|figures| figures.largest).max().unwrap_or(0).to_string(),
            count(Figures::most_gets),
            count(|figures| figures.lost_updates),
            count(|figures| figures.limited),
        ]
    }
}

/// The command that repeats a run.
pub(super) fn replay(scenario: &Scenario, setting: &Setting) -> String {
    let mut line = format!(
        "meshsim budget --scenario {} --seed {} --seeds 1 --staleness {} --declared {} --days {}",
        scenario.name,
        setting.seed,
        setting.staleness.as_secs(),
        setting.declared.as_secs(),
        setting.days
    );
    let without: BTreeSet<String> = setting.without.iter().map(super::setting::Rule::name).collect();
    if !without.is_empty() {
        line.push_str(" --without ");
        line.push_str(&without.into_iter().collect::<Vec<_>>().join(","));
    }
    line
}

fn hours(time: Duration) -> String {
    format!("{:.1} h", time.as_secs_f64() / 3_600.0)
}

fn minutes(time: Duration) -> String {
    format!("{:.1} m", time.as_secs_f64() / 60.0)
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX))
}
