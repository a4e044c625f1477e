//! Findings as charts: what `--plot` draws for each measure.

use super::finding::{Finding, count_as_f64};
use super::setting::Mode;
use super::{Measure, crash};
use crate::plot::{Axis, Chart, Curve, Join, Scale};

/// A distribution is drawn with at most so many steps.
const STEPS: usize = 200;

/// The chart of a measure, when it has one.
pub(super) fn chart(measure: Measure, findings: &[Finding]) -> Option<Chart> {
    match measure {
        Measure::Host => Some(distribution(
            "A silent host: who knows, after how long",
            crash::Fault::Host.measure_of_each(),
            findings,
        )),
        Measure::Process => Some(distribution(
            "A killed process: who knows, after how long",
            crash::Fault::Process.measure_of_each(),
            findings,
        )),
        Measure::News => {
            Some(distribution("News: who knows, after how long", super::news::OF_EACH, findings))
        }
        Measure::Bootstrap => Some(views(findings)),
        Measure::Idle => Some(bytes(findings)),
        Measure::Calm => Some(false_deaths(findings)),
        Measure::Starved
        | Measure::Deaf
        | Measure::Mute
        | Measure::Lossy
        | Measure::Pause
        | Measure::Speed => None,
    }
}

fn axis(label: &str, scale: Scale) -> Axis {
    Axis { label: label.to_owned(), scale }
}

fn name(finding: &Finding) -> String {
    let Finding { mode, nodes, loss, .. } = finding;
    let loss = if *loss > 0.0 { format!(", {:.0} % loss", loss * 100.0) } else { String::new() };
    format!("{mode}, {nodes}{loss}")
}

/// Which share of the nodes knows, over time, a curve for each setting.
fn distribution(title: &str, measure: &str, findings: &[Finding]) -> Chart {
    let curve = |finding: &Finding| {
        let known = finding.values.len();
        let step = known.div_ceil(STEPS).max(1);
        let ranks = (0..known).filter(|rank| rank % step == 0 || rank + 1 == known);
        let points = ranks.filter_map(|rank| {
            let after = finding.values[rank];
            after.is_finite().then(|| (after, count_as_f64(rank + 1) / count_as_f64(known)))
        });
        Curve { name: name(finding), points: points.collect(), join: Join::Steps }
    };
    Chart {
        title: title.to_owned(),
        x: axis("seconds", Scale::Linear),
        y: axis("share of the nodes", Scale::Linear),
        curves: findings.iter().filter(|finding| finding.measure == measure).map(curve).collect(),
    }
}

/// The sizes of the views of the first seed, over time.
fn views(findings: &[Finding]) -> Chart {
    let curves = findings.iter().flat_map(|finding| {
        let named = |(which, points): &(&str, Vec<(f64, f64)>)| Curve {
            name: format!("{which}, {}", name(finding)),
            points: points.clone(),
            join: Join::Lines,
        };
        finding.curves.iter().map(named)
    });
    Chart {
        title: "Bootstrap through one seed: members in the views".to_owned(),
        x: axis("seconds since the first start", Scale::Linear),
        y: axis("members", Scale::Linear),
        curves: curves.collect(),
    }
}

/// A curve for each detector: what `y` makes of its findings of one measure, over what `x` does.
fn by_mode(
    findings: &[Finding],
    measure: &str,
    x: impl Fn(&Finding) -> f64,
    y: impl Fn(&Finding) -> Option<f64>,
) -> Vec<Curve> {
    let of = |mode: Mode| {
        let wanted = findings.iter().filter(|finding| finding.measure == measure && finding.mode == mode);
        let mut points: Vec<(f64, f64)> =
            wanted.filter_map(|finding| Some((x(finding), y(finding)?))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Curve { name: mode.to_string(), points, join: Join::MarkedLines }
    };
    Mode::ALL.into_iter().map(of).filter(|curve| !curve.points.is_empty()).collect()
}

fn bytes(findings: &[Finding]) -> Chart {
    Chart {
        title: "Idle: what a node sends".to_owned(),
        x: axis("nodes", Scale::Log),
        y: axis("bytes per node and second, all headers included", Scale::Linear),
        curves: by_mode(findings, "idle: bytes sent", |finding| count_as_f64(finding.nodes), Finding::mean),
    }
}

fn false_deaths(findings: &[Finding]) -> Chart {
    Chart {
        title: "False deaths: at most so many (95 %)".to_owned(),
        x: axis("% of the datagrams are lost, each way", Scale::Linear),
        y: axis("deaths per node-hour", Scale::Log),
        curves: by_mode(
            findings,
            "false deaths",
            |finding| finding.loss * 100.0,
            |finding| Some(finding.bound_per_hour()),
        ),
    }
}
