//! Secrets: text that is never shown, the cluster's keys, and the files that hold secrets.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::{ConfigError, Origin};

const CLUSTER_KEY: &str = "32 bytes in base64, one key a line, up to 8 (`meshnode keygen` prints one)";
const EDGE_SECRET: &str = "kid:base64, one secret a line, up to 8: a kid of 1 to 32 letters and digits, each kid once, and at least 16 bytes";
const TOKEN: &str = "one line of 16 to 512 visible characters";
const MAX_KEYS: usize = 8;

/// Text that logs and messages must not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, to be used and not shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The cluster's keys: the first seals, all open. Never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Keyring(Vec<[u8; 32]>);

impl Keyring {
    /// A ring of one key.
    pub fn of(key: [u8; 32]) -> Self {
        Self(vec![key])
    }

    /// The keys; the first seals.
    pub fn keys(&self) -> &[[u8; 32]] {
        &self.0
    }

    /// One key a line, in base64; empty lines and those that begin with `#` are skipped.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let key = |line: &str| STANDARD.decode(line).ok()?.try_into().ok();
        lines(text, path, CLUSTER_KEY, key).map(Self)
    }

    /// Reads the file that `at` names.
    pub fn load(path: &Path, at: Origin) -> Result<Self, ConfigError> {
        Self::parse(&read(path, at)?, path)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring of {}", self.0.len())
    }
}

/// A secret that is shared with the edges.
#[derive(Clone, PartialEq, Eq)]
pub struct EdgeSecret {
    /// Names it in `x-mesh-edge`.
    pub kid: String,
    /// The key of the HMAC.
    pub key: Vec<u8>,
}

impl fmt::Debug for EdgeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EdgeSecret({})", self.kid)
    }
}

impl EdgeSecret {
    /// Reads `kid:base64` lines from the file that `at` names.
    pub fn load_all(path: &Path, at: Origin) -> Result<Vec<Self>, ConfigError> {
        let secrets = lines(&read(path, at)?, path, EDGE_SECRET, Self::parse)?;
        for (i, secret) in secrets.iter().enumerate() {
            if secrets[..i].iter().any(|earlier| earlier.kid == secret.kid) {
                return Err(ConfigError::Content {
                    path: path.to_owned(),
                    line: i + 1,
                    accepted: EDGE_SECRET,
                });
            }
        }
        Ok(secrets)
    }

    fn parse(line: &str) -> Option<Self> {
        let (kid, key) = line.split_once(':')?;
        let key = STANDARD.decode(key.trim()).ok()?;
        let is_kid = (1..=32).contains(&kid.len()) && kid.bytes().all(|b| b.is_ascii_alphanumeric());
        (is_kid && key.len() >= 16).then(|| Self { kid: kid.to_owned(), key })
    }
}

/// Reads the admin API's bearer token from the file that `at` names.
pub(super) fn load_token(path: &Path, at: Origin) -> Result<Secret, ConfigError> {
    let text = read(path, at)?;
    let token = text.trim();
    if (16..=512).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(Secret::new(token))
    } else {
        Err(ConfigError::Content { path: path.to_owned(), line: 1, accepted: TOKEN })
    }
}

fn read(path: &Path, at: Origin) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
        at,
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// Parses each line that says something; at least one and at most [`MAX_KEYS`].
fn lines<T>(
    text: &str,
    path: &Path,
    accepted: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ConfigError> {
    let refused = |line| ConfigError::Content { path: path.to_owned(), line, accepted };
    let mut parsed = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if parsed.len() == MAX_KEYS {
            return Err(refused(i + 1));
        }
        parsed.push(parse(line).ok_or_else(|| refused(i + 1))?);
    }
    if parsed.is_empty() { Err(refused(1)) } else { Ok(parsed) }
}
