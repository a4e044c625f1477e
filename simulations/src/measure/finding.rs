//! A finding: the numbers that one measure gave under one setting, over all seeds, and what they come to.

use std::fmt::Write as _;

use super::setting::{Mode, Setting};

/// What the numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds, one for each time that it happened; shown as median and 99th percentile.
    Seconds,
    /// Something per node and second, or a ratio; shown as the mean.
    Mean(&'static str),
    /// How often it happened in so many node-hours.
    Count,
}

/// What one measure gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What was measured.
    pub measure: &'static str,
    /// Nodes.
    pub nodes: usize,
    /// Share of the datagrams that are lost.
    pub loss: f64,
    /// The detector.
    pub mode: Mode,
    /// What the numbers are.
    pub unit: Unit,
    /// The numbers, ascending; what never happened is infinite.
    pub values: Vec<f64>,
    /// For counts: the node-hours that were watched.
    pub hours: f64,
    /// How something went over time, for the first seed.
    pub curves: Vec<(&'static str, Vec<(f64, f64)>)>,
}

impl Finding {
    /// A finding without numbers.
    pub const fn new(measure: &'static str, setting: &Setting, unit: Unit) -> Self {
        let Setting { nodes, loss, mode, .. } = *setting;
        Self { measure, nodes, loss, mode, unit, values: Vec::new(), hours: 0.0, curves: Vec::new() }
    }

    /// With these numbers.
    pub fn with(mut self, values: impl IntoIterator<Item = f64>) -> Self {
        self.values.extend(values);
        self.values.sort_by(f64::total_cmp);
        self
    }

    /// With `count` of them in `hours` node-hours.
    pub fn counted(self, count: usize, hours: f64) -> Self {
        Self { hours, ..self.with([count_as_f64(count)]) }
    }

    /// Whether both are of the same measure under the same setting, the seed apart.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.measure, self.nodes, self.mode) == (other.measure, other.nodes, other.mode)
            && self.loss.total_cmp(&other.loss).is_eq()
    }

    /// Takes the numbers of another seed.
    pub fn merge(&mut self, other: Self) {
        self.hours += other.hours;
        self.values.extend(other.values);
        self.values.sort_by(f64::total_cmp);
    }

    /// The number below which `share` of them are (nearest rank).
    pub fn quantile(&self, share: f64) -> Option<f64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within the list")]
        let rank = (count_as_f64(self.values.len()) * share).ceil() as usize;
        self.values.get(rank.max(1) - 1).copied()
    }

    /// The mean.
    pub fn mean(&self) -> Option<f64> {
        (!self.values.is_empty()).then(|| self.sum() / count_as_f64(self.values.len()))
    }

    /// The sum.
    pub fn sum(&self) -> f64 {
        self.values.iter().sum()
    }

    /// With 95 % confidence there are at most so many in an hour: 3/n when none was seen, else a normal bound.
    pub fn bound_per_hour(&self) -> f64 {
        let seen = self.sum();
        let most = if seen == 0.0 { 3.0 } else { seen + 1.96 * seen.sqrt() };
        most / self.hours
    }

    /// The numbers in one cell of the table.
    pub fn text(&self) -> String {
        match self.unit {
            Unit::Seconds => match (self.quantile(0.5), self.quantile(0.99)) {
                (Some(median), Some(p99)) => format!("{} / {}", seconds(median), seconds(p99)),
                _ => "-".to_owned(),
            },
            Unit::Mean(unit) => self.mean().map_or_else(
                || "-".to_owned(),
                |mean| format!("{} {unit}", short(mean)).trim_end().to_owned(),
            ),
            Unit::Count => {
                format!("{} in {} h, < {:.1e}/h", self.sum(), short(self.hours), self.bound_per_hour())
            }
        }
    }

    /// As a JSON object.
    pub fn json(&self) -> String {
        let Self { measure, nodes, loss, mode, hours, .. } = self;
        let number = |value: Option<f64>| {
            value
                .filter(|value| value.is_finite())
                .map_or_else(|| "null".to_owned(), |value| format!("{value:.6}"))
        };
        let unit = match self.unit {
            Unit::Seconds => "s",
            Unit::Mean(unit) => unit,
            Unit::Count => "count",
        };
        let mut json = format!(
            "{{\"measure\":\"{measure}\",\"nodes\":{nodes},\"loss\":{loss},\"mode\":\"{mode}\",\"unit\":\"{unit}\",\"n\":{}",
            self.values.len()
        );
        let stats = [
            ("min", self.quantile(0.0)),
            ("median", self.quantile(0.5)),
            ("p99", self.quantile(0.99)),
            ("max", self.quantile(1.0)),
            ("mean", self.mean()),
        ];
        for (name, value) in stats {
            // Writing to a String cannot fail.
            let _ = write!(json, ",\"{name}\":{}", number(value));
        }
        if self.unit == Unit::Count {
            let _ = write!(
                json,
                ",\"sum\":{},\"node_hours\":{hours:.3},\"bound_per_hour\":{:e}",
                self.sum(),
                self.bound_per_hour()
            );
        }
        json.push('}');
        json
    }
}

fn seconds(value: f64) -> String {
    if value.is_finite() { format!("{value:.2} s") } else { "never".to_owned() }
}

/// Three significant digits, as far as a reader wants them.
pub(super) fn short(value: f64) -> String {
    if value == 0.0 || value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) const fn count_as_f64(count: usize) -> f64 {
    count as f64
}
