//! Where a store is, as `--store` names it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// `file:PATH`, on this machine.
    File(PathBuf),
    /// `cloudflare:ACCOUNT/NAMESPACE`.
    Cloudflare {
        /// The account's id.
        account: String,
        /// The namespace's id.
        namespace: String,
    },
}

/// The text names no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a store; accepted are file:PATH and cloudflare:ACCOUNT/NAMESPACE")]
pub struct InvalidStore(String);

impl StoreLocation {
    /// Whether every member that names it reaches the same one.
    pub const fn is_remote(&self) -> bool {
        matches!(self, Self::Cloudflare { .. })
    }

    /// Equal for two members exactly when they use the same store: a file counts with its machine.
    pub fn id(&self) -> u64 {
        let machine = if self.is_remote() { String::new() } else { machine() };
        let hash = blake3::Hasher::new()
            .update(self.absolute().to_string().as_bytes())
            .update(&[0])
            .update(machine.as_bytes())
            .finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_be_bytes(first)
    }

    /// The same location, whatever the working directory is.
    fn absolute(&self) -> Self {
        match self {
            Self::File(path) => {
                let directory = path.parent().and_then(|parent| parent.canonicalize().ok());
                let canonical = directory.zip(path.file_name()).map(|(parent, name)| parent.join(name));
                Self::File(
                    canonical.or_else(|| std::path::absolute(path).ok()).unwrap_or_else(|| path.clone()),
                )
            }
            Self::Cloudflare { .. } => self.clone(),
        }
    }
}

/// What tells this machine from others.
fn machine() -> String {
    let id = std::fs::read_to_string(Path::new("/etc/machine-id")).unwrap_or_default();
    if id.trim().is_empty() {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    } else {
        id.trim().to_owned()
    }
}

impl FromStr for StoreLocation {
    type Err = InvalidStore;

    fn from_str(text: &str) -> Result<Self, InvalidStore> {
        let invalid = || InvalidStore(text.chars().take(200).collect());
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() && !path.ends_with('/') => Ok(Self::File(path.into())),
            Some(("cloudflare", rest)) => {
                let (account, namespace) = rest.split_once('/').ok_or_else(invalid)?;
                if !is_id(account) || !is_id(namespace) {
                    return Err(invalid());
                }
                Ok(Self::Cloudflare { account: account.to_owned(), namespace: namespace.to_owned() })
            }
            _ => Err(invalid()),
        }
    }
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Cloudflare { account, namespace } => write!(f, "cloudflare:{account}/{namespace}"),
        }
    }
}
