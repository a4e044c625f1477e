//! Version selectors: which versions of a service a request or a split's entry means.

use std::str::FromStr;

use semver::{Version, VersionReq};

/// The longest selector that is accepted, in bytes.
const MAX_SELECTOR_LEN: usize = 128;

/// Which versions are meant: exactly one, or a range in Cargo's syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Exact(String),
    Range(VersionReq),
}

/// The text was not a version selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not a version selector ({cause}); expected a version like 1.4.2, or a range like ^1.4, ~1.4, >=1.2, <2 or 1.*"
)]
pub struct InvalidSelector {
    text: String,
    cause: String,
}

impl Selector {
    /// Whether this version is meant. Prereleases are in a range only when it names one; a version that is
    /// not semver is in no range.
    pub fn matches(&self, version: &InstanceVersion) -> bool {
        match &self.0 {
            Kind::Exact(exact) => *exact == version.text,
            Kind::Range(range) => version.semver.as_ref().is_some_and(|version| range.matches(version)),
        }
    }
}

impl FromStr for Selector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, InvalidSelector> {
        let invalid = |cause: String| InvalidSelector { text: text.chars().take(80).collect(), cause };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(invalid("it is empty".to_owned()));
        }
        if trimmed.len() > MAX_SELECTOR_LEN {
            return Err(invalid(format!("it is longer than {MAX_SELECTOR_LEN} bytes")));
        }
        if !trimmed.starts_with(['^', '~', '>', '<', '=']) && !trimmed.contains('*') {
            return Ok(Self(Kind::Exact(without_v(trimmed).to_owned())));
        }
        let comparators: Vec<String> = trimmed.split(',').map(comparator_without_v).collect();
        let range = VersionReq::parse(&comparators.join(",")).map_err(|error| invalid(error.to_string()))?;
        Ok(Self(Kind::Range(range)))
    }
}

/// The version of an instance, parsed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceVersion {
    text: String,
    semver: Option<Version>,
}

impl InstanceVersion {
    /// Parses what the instance says; anything is accepted.
    pub fn new(text: &str) -> Self {
        let text = without_v(text.trim()).to_owned();
        let semver = Version::parse(&text).ok();
        Self { text, semver }
    }
}

/// `v1.2` means `1.2`; a `v` that does not lead a number is part of a name.
fn without_v(text: &str) -> &str {
    match text.strip_prefix('v') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit() || c == '*') => rest,
        _ => text,
    }
}

fn comparator_without_v(comparator: &str) -> String {
    let comparator = comparator.trim();
    let version = comparator.trim_start_matches(['^', '~', '>', '<', '=']);
    let operator = &comparator[..comparator.len() - version.len()];
    format!("{operator}{}", without_v(version.trim_start()))
}
