//! The flags of `meshedge`, and the environment variables of the same names.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use url::Url;

use super::summary::NodeUrl;
use crate::config::{self, LogFormat, accepted};
use crate::summary::stores::StoreLocation;
use crate::time::Duration;

const AFTER_HELP: &str = "\
Every flag is also an environment variable: MESHEDGE_ and the name in capitals, '-' as '_'; a flag is stronger. The \
token for Cloudflare's API comes from CLOUDFLARE_API_TOKEN.

SIGTERM drains; SIGHUP reads the certificate and the secret again. Exit codes: 0 done, 2 bad usage or configuration, \
1 anything else.";

/// Takes public requests and forwards each to a node of the mesh.
#[derive(Debug, Clone, Parser)]
#[command(name = "meshedge", version, after_help = AFTER_HELP)]
pub struct Args {
    /// Where the summary is: file:PATH, or cloudflare:ACCOUNT/NAMESPACE
    #[arg(long, value_name = "STORE", env = "MESHEDGE_STORE")]
    pub store: StoreLocation,
    /// Where clients are served; port 0 picks one
    #[arg(long, value_name = "IP:PORT", env = "MESHEDGE_LISTEN", value_parser = listen)]
    pub listen: SocketAddr,
    /// The cluster's name
    #[arg(long, env = "MESHEDGE_CLUSTER", default_value = "default", value_parser = cluster)]
    pub cluster: String,
    /// Base URL of Cloudflare's API [default: `https://api.cloudflare.com/client/v4`]
    #[arg(long, value_name = "URL", env = "MESHEDGE_CLOUDFLARE_API", value_parser = api)]
    pub cloudflare_api: Option<Url>,
    /// Secrets shared with the nodes, one a line: kid:base64; the first signs
    #[arg(long, value_name = "FILE", env = "MESHEDGE_EDGE_SECRET_FILE")]
    pub edge_secret_file: Option<PathBuf>,
    /// A node that is tried when the store names none; repeatable
    #[arg(long = "seed", value_name = "URL", env = "MESHEDGE_SEED", value_delimiter = ',', value_parser = seed)]
    pub seeds: Vec<Seed>,
    /// File with the token that opens /api/admin/workers and /api/admin/services
    #[arg(long, value_name = "FILE", env = "MESHEDGE_ADMIN_TOKEN_FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Certificate chain (PEM)
    #[arg(long, value_name = "FILE", env = "MESHEDGE_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM) of --tls-cert
    #[arg(long, value_name = "FILE", env = "MESHEDGE_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Connections at the same time
    #[arg(long, value_name = "N", env = "MESHEDGE_MAX_CONNECTIONS", default_value = "8192", value_parser = count)]
    pub max_connections: usize,
    /// Connections of one client at the same time; those from this machine are not counted
    #[arg(long, value_name = "N", env = "MESHEDGE_MAX_CONNECTIONS_PER_CLIENT", default_value = "1024", value_parser = count)]
    pub max_connections_per_client: usize,
    /// Largest request head
    #[arg(long, value_name = "SIZE", env = "MESHEDGE_MAX_HEADER", default_value = "64KiB", value_parser = max_header)]
    pub max_header: usize,
    /// How long requests may take to finish when it ends
    #[arg(long, value_name = "DURATION", env = "MESHEDGE_DRAIN_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub drain_timeout: Duration,
    /// Lines that are logged: trace, debug, info, warn, error or off, also per module
    #[arg(long, env = "MESHEDGE_LOG", default_value = "info", value_parser = log)]
    pub log: String,
    /// How log lines look: text or json
    #[arg(long, env = "MESHEDGE_LOG_FORMAT", default_value = "text", value_parser = log_format)]
    pub log_format: LogFormat,
}

/// The URL of a node that is always known.
#[derive(Debug, Clone)]
pub struct Seed(pub(super) NodeUrl);

fn read<T>(text: &str, what: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, String> {
    parse(text).ok_or_else(|| format!("accepted is {what}"))
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    read(text, accepted::LISTEN, accepted::listen)
}

fn cluster(text: &str) -> Result<String, String> {
    read(text, accepted::CLUSTER, accepted::cluster)
}

fn api(text: &str) -> Result<Url, String> {
    read(text, accepted::SERVICE_URL, accepted::base_url)
}

fn seed(text: &str) -> Result<Seed, String> {
    let what = "an http:// or https:// URL up to 128 bytes, without user";
    read(text, what, |text| NodeUrl::parse(text).map(Seed))
}

fn count(text: &str) -> Result<usize, String> {
    read(text, accepted::COUNT, accepted::count)
}

fn max_header(text: &str) -> Result<usize, String> {
    read(text, accepted::MAX_HEADER, accepted::max_header)
}

fn duration(text: &str) -> Result<Duration, String> {
    read(text, config::DURATION, config::duration)
}

fn log(text: &str) -> Result<String, String> {
    read(text, accepted::LOG, accepted::log)
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    read(text, "text or json", accepted::log_format)
}
