//! Why a configuration is refused: which key, where it was set, its value, and what is accepted.

use std::fmt;
use std::path::PathBuf;

use crate::id::ServiceName;

/// The configuration cannot be used; the operator must change it. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value is not one of those accepted.
    #[error("{at}: '{value}' is not accepted; accepted is {accepted}")]
    Value {
        /// What was set.
        at: Origin,
        /// Its value.
        value: String,
        /// What would do.
        accepted: String,
    },
    /// A setting works only together with another one.
    #[error("{at} needs {needs}")]
    Needs {
        /// What was set.
        at: Origin,
        /// What is missing.
        needs: String,
    },
    /// Two services of this node have one name.
    #[error("{at}: service '{name}' is configured twice; accepted is each name once")]
    DuplicateService {
        /// The second one.
        at: Origin,
        /// The name.
        name: ServiceName,
    },
    /// Two routes are for one service.
    #[error("{at}: service '{service}' has two routes; accepted is one")]
    DuplicateRoute {
        /// The second one.
        at: Origin,
        /// The service.
        service: ServiceName,
    },
    /// A setting whose function this release does not have.
    #[error("{at}: {what} is not built yet; accepted is to leave it out")]
    NotBuilt {
        /// What was set.
        at: Origin,
        /// The function.
        what: &'static str,
    },
    /// The file is not TOML, or has keys or types that are not known.
    #[error("{path}, line {line}: {message}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What was expected.
        message: String,
    },
    /// A file that was named cannot be read.
    #[error("{at}: cannot read {path}: {reason}")]
    Unreadable {
        /// The setting that names it.
        at: Origin,
        /// The file.
        path: PathBuf,
        /// The system's word.
        reason: String,
    },
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The setting's name there.
    pub key: String,
    /// Which of the places.
    pub source: Source,
}

/// A place from which settings come, strongest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The TOML file.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// The body of an admin request, or the run-time services that it left in the data directory.
    Request,
    /// Nobody set it.
    Default,
}

impl Origin {
    /// The same place, another key.
    pub fn key(&self, key: impl Into<String>) -> Self {
        Self { key: key.into(), source: self.source.clone() }
    }

    /// The flag with this name (without the dashes).
    pub fn flag(key: impl Into<String>) -> Self {
        Self { key: key.into(), source: Source::Flag }
    }

    /// The environment variable with this name.
    pub fn environment(key: impl Into<String>) -> Self {
        Self { key: key.into(), source: Source::Environment }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.source {
            Source::Flag => write!(f, "--{key}"),
            Source::Environment => write!(f, "environment variable {key}"),
            Source::File { path, line } => write!(f, "{}, line {line}, key {key}", path.display()),
            Source::Request => write!(f, "field {key}"),
            Source::Default => write!(f, "{key} (default)"),
        }
    }
}
