//! The log: on standard error, as text or as JSON.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter cannot be read; the configuration accepts none of these.
    #[error("--log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// There is a log already.
    #[error("the log is set up twice")]
    Twice,
}

/// Sends the lines that `filter` (checked as the setting `log`) lets through to standard error.
pub fn init(filter: &str, format: LogFormat) -> Result<(), LoggingError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let installed = match format {
        LogFormat::Text => log.with_ansi(stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).with_ansi(false).try_init(),
    };
    installed.map_err(|_| LoggingError::Twice)
}
