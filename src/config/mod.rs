//! Configuration: flags, environment and file, parsed and checked once into one typed value.

use std::net::SocketAddr;
use std::path::PathBuf;

use url::Url;

use crate::manifest::Route;
use crate::summary::stores::StoreLocation;
use crate::time::Duration;

mod args;
mod error;
mod fields;
mod file;
mod layers;
mod parse;
mod resolve;
mod route;
mod secret;
mod service;
mod services;
mod settings;
#[cfg(test)]
mod tests;

pub use args::{Environment, RunArgs};
pub use error::{ConfigError, Origin, Source};
pub use file::ConfigFile;
pub(crate) use parse::{DURATION, duration};

/// Values that another program's flags accept too.
pub(crate) mod accepted {
    pub(crate) use super::parse::{LISTEN, SERVICE_URL, base_url, listen};
    pub(crate) use super::resolve::{
        CLUSTER, COUNT, LOG, MAX_HEADER, cluster, count, log, log_format, max_header,
    };
}

pub use parse::{HostPort, InvalidHostPort};
pub use route::{RetryBudgetTable, RouteTable, SplitTable};
pub use secret::Secret;
pub use service::{Check, ServiceConfig, ServiceTable, TimeoutsTable};
pub use settings::{Setting, Settings};

/// Everything that the operator of a node decided, checked. Defaults are filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// A human's name for the node.
    pub name: String,
    /// Placement, empty when not set.
    pub zone: String,
    /// 1 to 3; `None` to be found out.
    pub tier: Option<u8>,
    /// The cluster's name.
    pub cluster: String,
    /// Where the cluster's key comes from.
    pub cluster_key: ClusterKeySource,
    /// Where the node's own key comes from.
    pub identity: IdentitySource,
    /// Where the node keeps what survives it.
    pub data_dir: PathBuf,
    /// Membership (UDP) and links (TCP).
    pub bind: SocketAddr,
    /// Where others reach the node; `None` to learn it.
    pub advertise: Option<HostPort>,
    /// Members to join, resolved anew on every try.
    pub join: Vec<HostPort>,
    /// The listener for local callers.
    pub ingress: SocketAddr,
    /// The listener for tunnels and edges.
    pub edge: Option<EdgeConfig>,
    /// URL under which edges reach this node, without a slash at its end; empty when none.
    pub public_url: String,
    /// TLS of the ingress and edge listeners.
    pub tls: Option<TlsFiles>,
    /// The domain for routing by host name, without a dot at either end.
    pub mesh_domain: String,
    /// The listener of the admin API.
    pub admin: SocketAddr,
    /// The file with the admin API's bearer token.
    pub admin_token_file: Option<PathBuf>,
    /// A listener for metrics and health alone.
    pub metrics_listen: Option<SocketAddr>,
    /// The services of this node, ordered by name.
    pub services: Vec<ServiceConfig>,
    /// The routes that this node's operator configured, ordered by service.
    pub routes: Vec<Route>,
    /// The summary's store.
    pub store: StoreLocation,
    /// Another base URL than Cloudflare's own.
    pub cloudflare_api: Option<Url>,
    /// The token for Cloudflare's API; always there when the store is of that kind.
    pub cloudflare_token: Option<Secret>,
    /// The cap on the cluster's daily summary writes; `None` is no limit.
    pub max_writes_per_day: Option<u32>,
    /// How old an answer of the store may be.
    pub store_staleness: Duration,
    /// Standing in the election; higher leads first.
    pub leader_priority: i32,
    /// Offers to lead; `None` to offer when it has a service.
    pub leader_eligible: Option<bool>,
    /// How long no leader must have been heard before this node leads.
    pub election_hold: Duration,
    /// How long streams may take to finish when the node leaves.
    pub drain_timeout: Duration,
    /// Largest request body in bytes; `None` is no limit.
    pub max_body: Option<u64>,
    /// Largest request head in bytes.
    pub max_header: usize,
    /// Connections at each listener.
    pub max_connections: usize,
    /// Requests that all services of this node together work on; 0 is no limit.
    pub max_in_flight: u32,
    /// The least speed of a request's body, in bytes a second; 0 is no limit.
    pub min_body_rate: u64,
    /// Connections of one client at each listener.
    pub max_connections_per_client: usize,
    /// Where the access log goes.
    pub access_log: Option<AccessLog>,
    /// Where traces go.
    pub otlp: Option<OtlpConfig>,
    /// Directives of the log's filter, for example `info,meshnode::router=debug`.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// Where the cluster's key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterKeySource {
    /// The environment held this key file's text.
    Given(Secret),
    /// This file holds it.
    File(PathBuf),
    /// The data directory holds it; a first node without anybody to join creates it there.
    DataDir,
}

/// Where the node's own key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// The data directory; created at the first start.
    File,
    /// Derived from a seed, the cluster's name and the node's name.
    Derived {
        /// The seed.
        seed: Secret,
    },
}

/// The listener for tunnels and edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The file with the secrets that its callers share.
    pub secret_file: PathBuf,
}

/// PEM files for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// Standard error.
    Stderr,
    /// Appended to a file.
    File(PathBuf),
}

/// Where traces go.
#[derive(Debug, Clone, PartialEq)]
pub struct OtlpConfig {
    /// The collector's base URL.
    pub collector: Url,
    /// The share of the traces beginning here that are recorded, 0 to 1.
    pub sample: f64,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For humans.
    Text,
    /// One JSON object a line.
    Json,
}

/// What differs between two configurations, as far as a running node is concerned.
#[derive(Debug, Clone, PartialEq)]
pub struct Reload {
    /// All services, if they differ.
    pub services: Option<Vec<ServiceConfig>>,
    /// All routes, if they differ.
    pub routes: Option<Vec<Route>>,
    /// Something else differs, which only a restart applies.
    pub needs_restart: bool,
}

impl Config {
    /// Reads the file that `args` or `environment` name, and merges all three. Files of secrets are
    /// named in the result, and not read.
    pub fn load(args: &RunArgs, environment: &Environment) -> Result<Self, ConfigError> {
        let named = args.config.clone().map(|path| (path, Origin::flag("config")));
        let named = named.or_else(|| {
            let path = environment.get("MESHNODE_CONFIG")?;
            Some((path.into(), Origin::environment("MESHNODE_CONFIG")))
        });
        let file = named.map(|(path, at)| ConfigFile::load(&path, at)).transpose()?;
        Self::resolve(args, file.as_ref(), environment)
    }

    /// What a running node can take over from `newer` (read again at SIGHUP).
    pub fn reloadable(&self, newer: &Self) -> Reload {
        let same_rest =
            Self { services: newer.services.clone(), routes: newer.routes.clone(), ..self.clone() };
        Reload {
            services: (self.services != newer.services).then(|| newer.services.clone()),
            routes: (self.routes != newer.routes).then(|| newer.routes.clone()),
            needs_restart: same_rest != *newer,
        }
    }

    /// A way to meet members is configured.
    pub const fn has_discovery(&self) -> bool {
        !self.join.is_empty()
    }
}
