//! `meshsim budget`: which scenarios, with which seeds and staleness, and how what was found is shown.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;

use meshnode::time::{Duration, Instant};

use super::ablation::{self, Worst};
use super::full_mesh::{self, Comparison};
use super::report::{self, Group};
use super::scenarios::{self, Scenario};
use super::setting::{Rule, Setting};
use super::world::play;
use crate::checkers::{Kind, Violation};
use crate::measure::{aligned, jobs};
use crate::trace::Trace;

/// Play the summary's writer for days: how often it writes, whatever fails, and whom edges find.
#[derive(Debug, Clone, clap::Args)]
pub struct BudgetArgs {
    /// Scenarios by name, with commas; `all` is every one, `list` names them.
    #[arg(long, value_delimiter = ',', default_value = "all")]
    scenario: Vec<String>,
    /// Runs of each, each from a seed of its own.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Virtual days; the faults end a day before.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=366))]
    days: u64,
    /// How old answers of the store may be, in seconds; several with commas.
    #[arg(long, value_delimiter = ',', default_value = "0,90,180")]
    staleness: Vec<u64>,
    /// How old the nodes take answers to be at most (their `--store-staleness`), in seconds.
    #[arg(long, default_value_t = 180)]
    declared: u64,
    /// Leave these rules out.
    #[arg(long, value_delimiter = ',', value_enum)]
    without: Vec<Rule>,
    /// Leave out each rule in turn, and show the scenario in which that costs most.
    #[arg(long, conflicts_with_all = ["without", "strict", "trace"])]
    ablation: bool,
    /// Play quiet days in the full mesh, too, with so many nodes (3 or 10), and compare; several with commas.
    #[arg(long, value_delimiter = ',', value_name = "NODES", value_parser = ["3", "10"])]
    full_mesh: Vec<String>,
    /// Fail (exit code 17) when a promise is broken.
    #[arg(long)]
    strict: bool,
    /// Runs at the same time.
    #[arg(long, default_value_t = jobs::cores())]
    threads: usize,
    /// What happened in the first run, line by line, into this file (`-` is the output).
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

impl BudgetArgs {
    /// Plays and prints; with `--strict` a broken promise is a violation.
    pub fn run(&self) -> io::Result<Result<(), Violation>> {
        let mut out = io::stdout().lock();
        if self.scenario.iter().any(|name| name == "list") {
            for scenario in scenarios::all() {
                writeln!(out, "{:<16} {}", scenario.name, scenario.about)?;
            }
            return Ok(Ok(()));
        }
        let scenarios = self.chosen()?;
        if self.ablation {
            write!(out, "{}", aligned(&self.ablate(&scenarios)))?;
            return Ok(Ok(()));
        }
        self.trace_first(&scenarios)?;
        let mut rows = vec![report::HEADER.map(str::to_owned).to_vec()];
        let mut broken = Vec::new();
        for group in self.play(&scenarios, &self.without) {
            rows.push(group.row());
            for (setting, figures) in &group.runs {
                let line = report::replay(group.scenario, setting);
                broken.extend(figures.breaches.iter().map(|breach| format!("{breach}\n    {line}")));
            }
        }
        write!(out, "{}", aligned(&rows))?;
        let compared = self.compare();
        if !compared.is_empty() {
            let rows = compared.iter().map(Comparison::row);
            let rows: Vec<_> =
                std::iter::once(full_mesh::HEADER.map(str::to_owned).to_vec()).chain(rows).collect();
            write!(out, "{}", aligned(&rows))?;
        }
        broken.extend(compared.iter().filter_map(Comparison::check).map(|breach| breach.to_string()));
        for breach in &broken {
            writeln!(out, "{breach}")?;
        }
        Ok(match broken.first() {
            Some(first) if self.strict => {
                Err(Violation { kind: Kind::Budget, at: Instant::ORIGIN, text: first.clone() })
            }
            _ => Ok(()),
        })
    }

    /// The full mesh beside the oracle's. A store without staleness is a file there, which has no budget.
    fn compare(&self) -> Vec<Comparison> {
        let nodes = self.full_mesh.iter().filter_map(|nodes| nodes.parse().ok());
        let settings: Vec<Setting> = self
            .staleness
            .iter()
            .filter(|staleness| **staleness > 0)
            .map(|staleness| Setting {
                seed: self.seed,
                staleness: Duration::from_secs(*staleness),
                declared: Duration::from_secs(*staleness),
                days: 2,
                without: BTreeSet::new(),
            })
            .collect();
        let planned: Vec<(usize, &Setting)> =
            nodes.flat_map(|nodes| settings.iter().map(move |setting| (nodes, setting))).collect();
        let compared =
            jobs::run(&planned, self.threads, |(nodes, setting)| full_mesh::compare(*nodes, setting));
        compared.into_iter().flatten().collect()
    }

    fn chosen(&self) -> io::Result<Vec<Scenario>> {
        let all = scenarios::all();
        if self.scenario.iter().any(|name| name == "all") {
            return Ok(all);
        }
        let find = |name: &String| {
            all.iter().find(|scenario| scenario.name == name).copied().ok_or_else(|| {
                io::Error::other(format!("--scenario: there is no '{name}'; `--scenario list` names them"))
            })
        };
        self.scenario.iter().map(find).collect()
    }

    /// A line for each rule.
    fn ablate(&self, scenarios: &[Scenario]) -> Vec<Vec<String>> {
        let worst = |without: &[Rule]| -> Vec<Worst<'_>> {
            let groups = self.play(scenarios, without);
            groups
                .iter()
                .map(|group| {
                    let runs = group.runs.iter().map(|(_, figures)| figures);
                    Worst::of(group.scenario, group.staleness, runs)
                })
                .collect()
        };
        let with = worst(&[]);
        let mut rows = vec![ablation::HEADER.map(str::to_owned).to_vec()];
        rows.extend(ablation::rules().into_iter().map(|rule| ablation::row(rule, &with, &worst(&[rule]))));
        rows
    }

    fn settings(&self, without: &[Rule]) -> Vec<Setting> {
        let mut settings = Vec::new();
        for &staleness in &self.staleness {
            for seed in self.seed..self.seed.saturating_add(self.seeds) {
                let staleness = Duration::from_secs(staleness);
                let without = without.iter().copied().collect::<BTreeSet<_>>();
                let declared = Duration::from_secs(self.declared);
                settings.push(Setting { seed, staleness, declared, days: self.days, without });
            }
        }
        settings
    }

    fn play<'a>(&self, scenarios: &'a [Scenario], without: &[Rule]) -> Vec<Group<'a>> {
        let mut planned = Vec::new();
        for scenario in scenarios {
            planned.extend(self.settings(without).into_iter().map(|setting| (scenario, setting)));
        }
        let played = jobs::run(&planned, self.threads, |(scenario, setting)| scenario.play(setting));
        let mut groups: Vec<Group<'_>> = Vec::new();
        for ((scenario, setting), figures) in planned.into_iter().zip(played) {
            let is_same = |group: &Group<'_>| {
                group.scenario.name == scenario.name && group.staleness == setting.staleness
            };
            match groups.last_mut().filter(|group| is_same(group)) {
                Some(group) => group.runs.push((setting, figures)),
                None => groups.push(Group {
                    scenario,
                    staleness: setting.staleness,
                    runs: vec![(setting, figures)],
                }),
            }
        }
        groups
    }

    fn trace_first(&self, scenarios: &[Scenario]) -> io::Result<()> {
        let settings = self.settings(&self.without);
        let (Some(path), Some(scenario), Some(setting)) = (&self.trace, scenarios.first(), settings.first())
        else {
            return Ok(());
        };
        let sink: Box<dyn io::Write> = if path.as_os_str() == "-" {
            Box::new(io::stdout())
        } else {
            Box::new(BufWriter::new(File::create(path)?))
        };
        play(scenario, setting, Trace::to(sink));
        Ok(())
    }
}
