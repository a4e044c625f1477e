//! The `[[route]]` tables: what belongs to a service as a whole.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::{ConfigError, Origin};
use super::fields::Fields;
use crate::id::ServiceName;
use crate::manifest::{Route, Split};
use crate::router::Selector;
use crate::time::Duration;

const MAX_SPLITS: usize = 32;
const SELECTOR: &str = "a version such as 1.4.2, or a selector that starts with ^ ~ > < = or contains *";

/// The fields of a route; what is left out has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteTable {
    /// The service that it rules.
    pub service: String,
    /// The operator's revision; the highest in the mesh wins.
    pub rev: Option<i64>,
    /// Weighted versions.
    pub split: Vec<SplitTable>,
    /// How many retries are allowed.
    pub retry_budget: RetryBudgetTable,
    /// A duration; `0s` is never.
    pub hedge_after: Option<String>,
    /// A header's name; empty is none.
    pub affinity_header: Option<String>,
}

/// One entry of a canary split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitTable {
    /// A version selector.
    pub version: String,
    /// 0 to 100.
    pub percent: i64,
}

/// How many retries are allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryBudgetTable {
    /// In percent of requests.
    pub percent: Option<i64>,
    /// Whatever the percentage says.
    pub min_per_second: Option<i64>,
}

impl RouteTable {
    /// The route that the table describes; `at` is the table's origin, for messages.
    pub fn resolve(&self, at: &Origin) -> Result<Route, ConfigError> {
        let fields = Fields { at };
        let service = fields.found("service", &self.service);
        let service =
            service.parse("1 to 63 of a-z, 0-9 and '-'", |text| ServiceName::from_str(text).ok())?;
        let defaults = Route::default_of(service);
        let (budget, header) = (&self.retry_budget, self.affinity_header.as_ref());
        Ok(Route {
            rev: fields.number("rev", self.rev, 0..=i64::MAX, defaults.rev)?,
            split: self.split(&fields)?,
            retry_percent: fields.number(
                "retry_budget.percent",
                budget.percent,
                0..=100,
                defaults.retry_percent,
            )?,
            retry_min_per_second: fields.number(
                "retry_budget.min_per_second",
                budget.min_per_second,
                0..=1_000,
                defaults.retry_min_per_second,
            )?,
            hedge_after: fields.duration("hedge_after", self.hedge_after.as_ref(), Duration::ZERO)?,
            affinity_header: fields.text(
                "affinity_header",
                header,
                "a header's name, or nothing",
                String::new(),
                header_name,
            )?,
            ..defaults
        })
    }

    fn split(&self, fields: &Fields<'_>) -> Result<Vec<Split>, ConfigError> {
        if self.split.len() > MAX_SPLITS {
            let found = fields.found("split", &format!("{} entries", self.split.len()));
            return Err(found.refused("up to 32 entries"));
        }
        let entry = |entry: &SplitTable| {
            let version = fields.found("split.version", &entry.version).parse(SELECTOR, selector)?;
            let percent = fields.number("split.percent", Some(entry.percent), 0..=100, 0u8)?;
            Ok(Split { version, percent })
        };
        let split = self.split.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let total: u32 = split.iter().map(|split| u32::from(split.percent)).sum();
        if total > 100 {
            let found = fields.found("split.percent", &format!("{total} in all"));
            return Err(found.refused("up to 100 in all; the rest goes to other versions"));
        }
        Ok(split)
    }
}

fn selector(text: &str) -> Option<String> {
    text.parse::<Selector>().is_ok().then(|| text.to_owned())
}

fn header_name(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(String::new());
    }
    http::HeaderName::from_str(text).ok().map(|name| name.as_str().to_owned())
}
