//! The flags by which a command finds its node.

use std::path::PathBuf;

use url::Url;

/// The node that a command asks.
#[derive(Debug, Clone, clap::Args)]
pub struct Connection {
    /// The node's admin API
    #[arg(long, value_name = "URL", env = "MESHNODE_ADMIN_URL", default_value = "http://127.0.0.1:7980", value_parser = admin_url)]
    pub admin: Url,
    /// File with the bearer token of the node's admin API
    #[arg(long, value_name = "FILE", env = "MESHNODE_ADMIN_TOKEN_FILE")]
    pub admin_token_file: Option<PathBuf>,
}

fn admin_url(text: &str) -> Result<Url, &'static str> {
    const ACCEPTED: &str = "accepted is http://HOST:PORT or https://HOST:PORT";
    let url = Url::parse(text).map_err(|_| ACCEPTED)?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && bare { Ok(url) } else { Err(ACCEPTED) }
}
