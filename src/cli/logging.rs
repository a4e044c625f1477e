//! The log: on standard error, as text or as JSON.

use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For humans.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter cannot be read.
    #[error(
        "--log '{filter}': {reason}; accepted is a level (error, warn, info, debug, trace, off) or a list such \
         as 'info,meshnode::router=debug'"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// Why it is refused.
        reason: String,
    },
    /// There is a log already.
    #[error("the log is set up twice")]
    Twice,
}

/// Sends the log lines that `filter` lets through to standard error.
pub fn init(filter: &str, format: Format) -> Result<(), LoggingError> {
    let filter = parse(filter)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match format {
        Format::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        Format::Json => log.json().flatten_event(true).try_init(),
    };
    installed.map_err(|_| LoggingError::Twice)
}

fn parse(filter: &str) -> Result<EnvFilter, LoggingError> {
    let refused = |reason: String| LoggingError::Filter { filter: filter.to_owned(), reason };
    // A lone word is read as a target by the filter's own rules, so that a mistyped level would silence all.
    let is_word = filter.chars().all(|c| c.is_ascii_alphanumeric());
    if is_word && filter.parse::<tracing_subscriber::filter::LevelFilter>().is_err() {
        return Err(refused("this is no level".to_owned()));
    }
    EnvFilter::builder().parse(filter).map_err(|error| refused(error.to_string()))
}
