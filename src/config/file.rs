//! The TOML file: settings with the place of each, so that errors name the line.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Origin, Source};
use super::settings::Settings;

/// A parsed file.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    path: PathBuf,
    text: String,
    pub(super) settings: Settings,
}

impl ConfigFile {
    /// Reads and parses the file that `at` names.
    pub fn load(path: &Path, at: Origin) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
            at,
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Self::parse(path, text)
    }

    /// Parses `text`; `path` is for messages.
    pub fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let settings = toml::from_str(&text).map_err(|error: toml::de::Error| ConfigError::Toml {
            path: path.to_owned(),
            line: line(&text, error.span().map_or(0, |span| span.start)),
            message: error.message().replace('\n', ", "),
        })?;
        Ok(Self { path: path.to_owned(), text, settings })
    }

    /// The origin of the key whose value is at `span`.
    pub(super) fn origin(&self, key: &str, span: &Range<usize>) -> Origin {
        let line = line(&self.text, span.start);
        Origin { key: key.to_owned(), source: Source::File { path: self.path.clone(), line } }
    }
}

fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
