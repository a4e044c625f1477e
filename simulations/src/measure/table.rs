//! The findings as a table: a line for each measure and setting, a column for each detector.

use std::fmt::Write as _;
use std::io;

use super::finding::Finding;
use super::setting::Mode;
use super::targets;

/// Prints the findings: a table for people, or a JSON object a line.
pub(super) fn print(
    findings: &[Finding],
    modes: &[Mode],
    json: bool,
    out: &mut impl io::Write,
) -> io::Result<()> {
    if json {
        return findings.iter().try_for_each(|finding| writeln!(out, "{}", finding.json()));
    }
    write!(out, "{}", text(findings, modes))
}

fn text(findings: &[Finding], modes: &[Mode]) -> String {
    let mut rows = vec![header(modes)];
    let mut done: Vec<&Finding> = Vec::new();
    for finding in findings {
        let is_same = |one: &&Finding| {
            (one.measure, one.nodes) == (finding.measure, finding.nodes)
                && one.loss.total_cmp(&finding.loss).is_eq()
        };
        if !done.iter().any(is_same) {
            done.push(finding);
            rows.push(row(finding, findings, modes));
        }
    }
    aligned(&rows)
}

fn header(modes: &[Mode]) -> Vec<String> {
    let names = ["measure", "nodes", "loss", "floor", "goal"].map(str::to_owned);
    names.into_iter().chain(modes.iter().map(ToString::to_string)).chain(["peer".to_owned()]).collect()
}

fn row(finding: &Finding, findings: &[Finding], modes: &[Mode]) -> Vec<String> {
    let target = targets::of(finding.measure);
    let figure = |mode: &Mode| {
        let wanted = Finding { mode: *mode, ..finding.clone() };
        findings.iter().find(|one| one.is_like(&wanted)).map_or_else(|| "-".to_owned(), Finding::text)
    };
    let fixed = [
        finding.measure.to_owned(),
        finding.nodes.to_string(),
        format!("{} %", finding.loss * 100.0),
        target.map_or("", |target| target.floor).to_owned(),
        target.map_or("", |target| target.goal).to_owned(),
    ];
    let peer = target.map_or("", |target| target.peer).to_owned();
    fixed.into_iter().chain(modes.iter().map(figure)).chain([peer]).collect()
}

/// Columns as wide as their widest cell.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
