//! The bearer token of the admin API.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Secret;

/// The shortest token that is accepted, in bytes.
const MIN_LEN: usize = 16;

/// A bearer token; never shown.
#[derive(Clone)]
pub struct Token(Arc<str>);

/// A token file was refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("--admin-token-file {path}: {error}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The text is no token.
    #[error("--admin-token-file {path}: expected one line of at least {MIN_LEN} visible ASCII characters")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl Token {
    /// Reads the token that is the only line of `path`.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| TokenError::Unreadable { path: path.to_owned(), error })?;
        Self::parse(text.trim()).ok_or_else(|| TokenError::Malformed { path: path.to_owned() })
    }

    /// The token `text`; `None` when it is too short, or cannot stand in a header.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() >= MIN_LEN && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.into()))
    }

    /// The value of an `Authorization` header that carries it.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether the value of an `Authorization` header carries it; takes the same time for every wrong one of
    /// the right length.
    pub fn matches(&self, authorization: &[u8]) -> bool {
        let Some((scheme, token)) = authorization.split_at_checked("Bearer ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ")
            && aws_lc_rs::constant_time::verify_slices_are_equal(token, self.0.as_bytes()).is_ok()
    }
}

impl From<&Secret> for Token {
    /// The configuration has checked it.
    fn from(secret: &Secret) -> Self {
        Self(secret.expose().into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
