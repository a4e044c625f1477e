//! Reads the fields of one table, so that each message names the table, its place and the field.

use std::ops::RangeInclusive;

use super::error::{ConfigError, Origin};
use super::layers::Found;
use super::parse;
use crate::time::Duration;

const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// The fields of the table at this origin.
pub(super) struct Fields<'a> {
    pub(super) at: &'a Origin,
}

impl Fields<'_> {
    pub(super) fn found(&self, field: &str, text: &str) -> Found {
        let table = &self.at.key;
        let key = if table.is_empty() { field.to_owned() } else { format!("{table}.{field}") };
        Found { at: self.at.key(key), text: text.to_owned() }
    }

    pub(super) fn text(
        &self,
        field: &str,
        text: Option<&String>,
        accepted: &str,
        default: String,
        parse: fn(&str) -> Option<String>,
    ) -> Result<String, ConfigError> {
        text.map_or(Ok(default), |text| self.found(field, text).parse(accepted, parse))
    }

    pub(super) fn duration(
        &self,
        field: &str,
        text: Option<&String>,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        text.map_or(Ok(default), |text| self.found(field, text).parse(parse::DURATION, parse::duration))
    }

    pub(super) fn interval(&self, text: Option<&String>, default: Duration) -> Result<Duration, ConfigError> {
        let interval = self.duration("interval", text, default)?;
        if interval < SHORTEST_INTERVAL {
            let text = text.map_or("", String::as_str);
            return Err(self.found("interval", text).refused("at least 100ms"));
        }
        Ok(interval)
    }

    pub(super) fn number<T: TryFrom<i64> + TryInto<i64> + Copy>(
        &self,
        field: &str,
        number: Option<i64>,
        range: RangeInclusive<i64>,
        default: T,
    ) -> Result<T, ConfigError> {
        let Some(number) = number else { return Ok(default) };
        let accepted = format!("a number from {} to {}", range.start(), range.end());
        let in_range = |_: &str| range.contains(&number).then(|| T::try_from(number).ok()).flatten();
        self.found(field, &number.to_string()).parse(&accepted, in_range)
    }

    pub(super) fn one_of<T: Copy + Default, const N: usize>(
        &self,
        field: &str,
        text: Option<&String>,
        choices: &[(&str, T); N],
    ) -> Result<T, ConfigError> {
        let Some(text) = text else { return Ok(T::default()) };
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let choice = |text: &str| choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        self.found(field, text).parse(&names.join(", "), choice)
    }
}
