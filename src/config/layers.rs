//! Precedence: what the command line says is stronger than the environment, and that than the file.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::args::variable;
use super::error::{ConfigError, Origin};
use super::file::ConfigFile;
use super::parse;
use super::settings::{Setting, Settings};
use crate::time::Duration;

/// The places that settings come from.
pub(super) struct Layers<'a> {
    pub(super) flags: &'a Settings,
    pub(super) environment: &'a Settings,
    pub(super) file: Option<&'a ConfigFile>,
}

/// A value, and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) at: Origin,
    pub(super) text: String,
}

impl<'a> Layers<'a> {
    /// The strongest value of a setting.
    pub(super) fn get(&self, key: &str, field: fn(&Settings) -> &Option<Setting>) -> Option<Found> {
        self.strongest(key, |settings| field(settings).as_slice()).into_iter().next()
    }

    /// All values of a list; a stronger place replaces the whole list of a weaker one.
    pub(super) fn list(&self, key: &str, field: fn(&Settings) -> &Vec<Setting>) -> Vec<Found> {
        self.strongest(key, |settings| field(settings).as_slice())
    }

    /// The strongest value, parsed; `default` when nobody set it.
    pub(super) fn value<T>(
        &self,
        key: &str,
        field: fn(&Settings) -> &Option<Setting>,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        default: T,
    ) -> Result<T, ConfigError> {
        Ok(self.optional(key, field, accepted, parse)?.unwrap_or(default))
    }

    /// The strongest value, parsed, if anybody set it.
    pub(super) fn optional<T>(
        &self,
        key: &str,
        field: fn(&Settings) -> &Option<Setting>,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.get(key, field).map(|found| found.parse(accepted, parse)).transpose()
    }

    pub(super) fn duration(
        &self,
        key: &str,
        field: fn(&Settings) -> &Option<Setting>,
        default: Duration,
    ) -> Result<Duration, ConfigError> {
        self.value(key, field, parse::DURATION, parse::duration, default)
    }

    pub(super) fn boolean(
        &self,
        key: &str,
        field: fn(&Settings) -> &Option<Setting>,
    ) -> Result<Option<bool>, ConfigError> {
        self.optional(key, field, parse::BOOL, parse::boolean)
    }

    pub(super) fn listen(
        &self,
        key: &str,
        field: fn(&Settings) -> &Option<Setting>,
    ) -> Result<Option<SocketAddr>, ConfigError> {
        self.optional(key, field, parse::LISTEN, parse::listen)
    }

    fn strongest(&self, key: &str, field: impl Fn(&'a Settings) -> &'a [Setting]) -> Vec<Found> {
        let found = |at: &dyn Fn(&Setting) -> Origin, settings: &'a Settings| -> Vec<Found> {
            field(settings).iter().map(|s| Found { at: at(s), text: s.text.clone() }).collect()
        };
        let mut values = found(&|_| Origin::flag(key), self.flags);
        if values.is_empty() {
            values = found(&|_| Origin::environment(variable(key)), self.environment);
        }
        if let (true, Some(file)) = (values.is_empty(), self.file) {
            values = found(&|setting| file.origin(key, &setting.span), &file.settings);
        }
        values
    }
}

impl Found {
    /// The value that `parse` makes of the text; `accepted` says what would do.
    pub(super) fn parse<T>(
        &self,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        parse(&self.text).ok_or_else(|| self.refused(accepted))
    }

    pub(super) fn refused(&self, accepted: &str) -> ConfigError {
        ConfigError::Value { at: self.at.clone(), value: shown(&self.text), accepted: accepted.to_owned() }
    }

    pub(super) fn needs(&self, needs: impl Into<String>) -> ConfigError {
        ConfigError::Needs { at: self.at.clone(), needs: needs.into() }
    }
}

/// A message stays readable whatever the value was, and does not tell the password of a URL.
pub(super) fn shown(text: &str) -> String {
    let text = without_userinfo(text);
    text.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn without_userinfo(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return Cow::Borrowed(text) };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => Cow::Owned(format!("{scheme}://…{}", &rest[at..])),
        None => Cow::Borrowed(text),
    }
}
