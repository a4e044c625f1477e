//! What an edge reads in a summary: leniently, as a later format or a damaged entry must not cost it the other nodes.

use http::Uri;
use http::uri::PathAndQuery;
use serde_json::Value;
use url::Url;

/// The longest URL of a node, in bytes.
const MAX_URL_LEN: usize = 128;

/// The most entries that are read.
const MAX_NODES: usize = 64;

/// The most services that are read.
const MAX_SERVICES: usize = 1024;

/// A summary, as far as an edge needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    /// The mark of the cluster's history; empty when it is not told.
    pub(super) cluster_id: String,
    pub(super) term: u64,
    pub(super) nodes: Vec<Listed>,
    /// Names of services, in order.
    pub(super) services: Vec<String>,
}

/// A node to which an edge can turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) url: NodeUrl,
    /// No writer holds it alive.
    pub(super) unseen: bool,
}

/// Where a node is, taken apart for requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeUrl {
    /// Scheme and authority.
    pub(super) origin: Uri,
    /// Host, and port unless it is the scheme's own.
    pub(super) authority: String,
    /// In front of every path, without a slash at its end.
    pub(super) base: String,
}

impl Summary {
    /// Reads a summary of `cluster`; `None` when it is none.
    pub(super) fn read(bytes: &[u8], cluster: &str) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        if value.get("cluster").is_some_and(|named| !named.is_null() && named != cluster) {
            return None;
        }
        let listed = value.get("nodes")?.as_array()?.iter().take(MAX_NODES);
        let services = value.get("services").and_then(Value::as_object);
        let mut services: Vec<String> =
            services.into_iter().flat_map(|map| map.keys().take(MAX_SERVICES).cloned()).collect();
        services.sort_unstable();
        Some(Self {
            cluster_id: value.get("cluster_id").and_then(Value::as_str).unwrap_or_default().to_owned(),
            term: value.get("term").and_then(Value::as_u64).unwrap_or_default(),
            nodes: listed.filter_map(Listed::read).collect(),
            services,
        })
    }
}

impl Listed {
    fn read(entry: &Value) -> Option<Self> {
        let url = NodeUrl::parse(entry.get("url")?.as_str()?)?;
        let unseen = entry.get("unseen_since").is_some_and(|since| !since.is_null());
        Some(Self { url, unseen })
    }
}

impl NodeUrl {
    /// Takes apart an http or https URL without a user.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_URL_LEN {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let bare = url.username().is_empty() && url.password().is_none();
        if !bare || !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        let host = url.host_str()?;
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let origin = format!("{}://{authority}", url.scheme()).parse().ok()?;
        let base = url.path().trim_end_matches('/').to_owned();
        // What stands in front of every path has to be one itself.
        PathAndQuery::try_from(format!("{base}/")).ok()?;
        Some(Self { origin, authority, base })
    }
}
