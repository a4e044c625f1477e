//! `meshsim explore`: its flags and its report.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::thread;

use meshnode::mesh::Detector;
use serde_json::json;

use super::{Findings, Search};
use crate::options::parse_mode;

/// Looks for seeds whose random schedules of faults violate something, and shrinks what it finds.
///
/// The exit code is that of the first failure, as of `run`.
#[derive(Debug, clap::Args)]
pub struct ExploreArgs {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// The fewest and the most nodes, such as 2..12.
    #[arg(long, default_value = "2..12", value_parser = parse_range)]
    nodes: (usize, usize),
    /// Which failure detector the nodes have: swim, lifeguard or witness.
    #[arg(long, default_value = "witness", value_parser = parse_mode)]
    mode: Detector,
    /// Runs at a time; one per processor when it is not given.
    #[arg(long)]
    threads: Option<usize>,
    /// How many of the failures are shrunk.
    #[arg(long, default_value_t = 3)]
    shrink: usize,
    /// Where the shrunk schedules are written.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

impl ExploreArgs {
    /// Searches, and says the exit code.
    pub fn run(&self) -> io::Result<u8> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.unwrap_or(cores);
        let Self { seeds, first, nodes, mode, .. } = *self;
        let search = Search { first, seeds, nodes, mode, threads };
        let findings = search.run();
        let few = findings.failures.len().min(self.shrink);
        let shrunk = search.shrink(&findings.failures[..few], &self.out)?;
        let replay =
            |seed: u64, path: &PathBuf| format!("meshsim run {} --seed {seed} --trace -", path.display());
        let mut out = io::stdout().lock();
        if self.json {
            let failures: Vec<_> = findings
                .failures
                .iter()
                .map(|(seed, violation)| {
                    let smaller = shrunk.iter().find(|(shrunk, _, _)| shrunk == seed);
                    json!({
                        "seed": seed,
                        "kind": violation.kind.name(),
                        "text": violation.to_string(),
                        "replay": smaller.map(|(seed, path, _)| replay(*seed, path)),
                    })
                })
                .collect();
            let report = json!({"seeds": seeds, "node_hours": findings.node_hours, "failures": failures});
            writeln!(out, "{report}")?;
            return Ok(exit_code(&findings));
        }
        for (seed, violation) in &findings.failures {
            writeln!(out, "seed {seed}: {violation}")?;
        }
        for (seed, path, shrunk) in &shrunk {
            let steps = shrunk.scenario.steps.len();
            writeln!(
                out,
                "\nseed {seed}, shrunk to {steps} steps in {} plays: {}",
                shrunk.plays, shrunk.violation
            )?;
            writeln!(out, "replay: {}", replay(*seed, path))?;
        }
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, violation) in &findings.failures {
            *kinds.entry(violation.kind.name()).or_default() += 1;
        }
        let kinds: Vec<String> = kinds.into_iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let (failed, hours) = (findings.failures.len(), findings.node_hours);
        writeln!(out, "{seeds} seeds, {hours:.1} node-hours: {failed} failed {}", kinds.join(", "))?;
        Ok(exit_code(&findings))
    }
}

fn exit_code(findings: &Findings) -> u8 {
    findings.failures.first().map_or(0, |(_, violation)| violation.kind.exit_code())
}

fn parse_range(text: &str) -> Result<(usize, usize), String> {
    let accepted = || format!("'{text}' is not a range; accepted are a number and ranges such as 2..12");
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let parse = |number: &str| number.parse().ok().filter(|number| (1..=1_000).contains(number));
    let (least, most) = parse(least).zip(parse(most)).ok_or_else(accepted)?;
    if least <= most { Ok((least, most)) } else { Err(accepted()) }
}
