//! Where the summary is written, as its operator spelled it.

use std::path::PathBuf;

use url::Url;

use super::secret::Secret;
use crate::summary::stores::StoreLocation;

/// Cloudflare's own API.
pub(super) const CLOUDFLARE_API: &str = "https://api.cloudflare.com/client/v4";

pub(super) const STORE: &str = "file:PATH, or cloudflare:ACCOUNT/NAMESPACE";

/// The summary's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// A file, shared by the nodes of one machine that name the same path.
    File(PathBuf),
    /// A namespace of Workers KV.
    Cloudflare {
        /// The account's id.
        account: String,
        /// The namespace's id.
        namespace: String,
        /// The bearer token.
        token: Secret,
        /// The API's base URL.
        api: Url,
    },
}

/// The text of `--store`, taken apart.
pub(super) enum Spelling {
    File(PathBuf),
    Cloudflare { account: String, namespace: String },
}

impl Spelling {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text.parse().ok()? {
            StoreLocation::File(path) => Self::File(path),
            StoreLocation::Cloudflare { account, namespace } => Self::Cloudflare { account, namespace },
        })
    }
}
