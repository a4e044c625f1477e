//! Every setting of `run`, once: its flag, its key in the file and, in capitals, its environment variable.

use std::convert::Infallible;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::route::RouteTable;
use super::service::ServiceTable;

/// What one place (command line, environment or file) says. Values are text until they are resolved.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[command(next_help_heading = "Settings")]
pub struct Settings {
    /// A human's name for the node [default: the host name]
    #[arg(long)]
    pub name: Option<Setting>,
    /// Placement: nodes of one zone are near to each other
    #[arg(long)]
    pub zone: Option<Setting>,
    /// 1, 2 or 3 [default: 1 with a GPU, 2 with at least 4 cores and 8 GiB, else 3]
    #[arg(long)]
    pub tier: Option<Setting>,
    /// The cluster's name; nodes of another cluster are ignored [default: default]
    #[arg(long)]
    pub cluster: Option<Setting>,
    /// File with the cluster key, 32 bytes in base64; several lines are a keyring, the first seals [default: in the
    /// data directory; created there only without --join]
    #[arg(long, value_name = "FILE")]
    pub cluster_key_file: Option<Setting>,
    /// `file`, or `derived` from MESHNODE_IDENTITY_SEED, the cluster and --name [default: file]
    #[arg(long)]
    pub identity: Option<Setting>,
    /// Identity, epoch, peers and file store; one node each [default: $XDG_STATE_HOME/meshnode]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<Setting>,
    /// Membership (UDP) and links (TCP) on one port number; port 0 picks one [default: 0.0.0.0:7946]
    #[arg(long, value_name = "IP:PORT")]
    pub bind: Option<Setting>,
    /// Where others reach this node [default: as seen by a peer, confirmed by dialling back]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<Setting>,
    /// Any member of the mesh; repeatable, resolved again on every try
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(default)]
    pub join: Vec<Setting>,
    /// Listener for local callers [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    pub ingress: Option<Setting>,
    /// Allows --ingress beyond loopback
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub ingress_open: Option<Setting>,
    /// Listener for tunnels and edges; every request needs a valid x-mesh-edge
    #[arg(long, value_name = "IP:PORT")]
    pub edge_listen: Option<Setting>,
    /// Secrets shared with the edges, one a line: kid:base64
    #[arg(long, value_name = "FILE")]
    pub edge_secret_file: Option<Setting>,
    /// URL under which edges reach --edge-listen
    #[arg(long, value_name = "URL")]
    pub public_url: Option<Setting>,
    /// Certificate chain (PEM) for the ingress and edge listeners
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<Setting>,
    /// Private key (PEM) of --tls-cert
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<Setting>,
    /// Domain for routing by host name: NAME.mesh [default: mesh]
    #[arg(long, value_name = "DOMAIN")]
    pub mesh_domain: Option<Setting>,
    /// Admin API and metrics [default: 127.0.0.1:7980]
    #[arg(long, value_name = "IP:PORT")]
    pub admin: Option<Setting>,
    /// File with the bearer token of the admin API; required off loopback
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<Setting>,
    /// A listener for /metrics and health alone [default: on --admin]
    #[arg(long, value_name = "IP:PORT")]
    pub metrics_listen: Option<Setting>,
    /// Where the summary is written: file:PATH or cloudflare:ACCOUNT/NAMESPACE [default: file: and summary.json in the data directory]
    #[arg(long)]
    pub store: Option<Setting>,
    /// Base URL of Cloudflare's API [default: `https://api.cloudflare.com/client/v4`]
    #[arg(long, value_name = "URL")]
    pub cloudflare_api: Option<Setting>,
    /// Summary writes of the whole cluster; the smallest of the members' values holds, 0 is no limit [default: 30 for
    /// cloudflare, none for file]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub max_writes_per_day: Option<Setting>,
    /// How old an answer of the store may be [default: 180s for cloudflare, 0s for file]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub store_staleness: Option<Setting>,
    /// Standing in the election; higher leads first [default: 0]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub leader_priority: Option<Setting>,
    /// Offers to lead [default: when it has a service]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub leader_eligible: Option<Setting>,
    /// How long no leader must have been heard before this node leads [default: 15s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub election_hold: Option<Setting>,
    /// How long streams may take to finish when the node leaves [default: 30s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub drain_timeout: Option<Setting>,
    /// Largest request body, for example 100MiB; 0 is no limit [default: 0]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub max_body: Option<Setting>,
    /// Largest request head [default: 64KiB]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub max_header: Option<Setting>,
    /// Connections at each listener [default: 8192]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub max_connections: Option<Setting>,
    /// Requests that all services of this node together work on; 0 is no limit [default: 4096]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub max_in_flight: Option<Setting>,
    /// Least speed of a request's body in bytes a second, once it is waited for; 0 is no limit [default: 100]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub min_body_rate: Option<Setting>,
    /// Connections of one client address (of one /64 for IPv6) at each listener; those from this machine are not counted
    /// [default: 1024]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub max_connections_per_client: Option<Setting>,
    /// One JSON line a request, to a file, or to standard error with `-`
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    pub access_log: Option<Setting>,
    /// trace, debug, info, warn, error or off, also per module: info,meshnode::router=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<Setting>,
    /// text or json, on standard error [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<Setting>,
    /// Collector of traces by OTLP over HTTP, for example http://127.0.0.1:4318; spans go to /v1/traces below it
    #[arg(long, value_name = "URL")]
    pub otlp: Option<Setting>,
    /// Share of the traces beginning here that --otlp records; a caller's traceparent decides for its own [default: 1]
    #[arg(long, value_name = "RATIO", allow_hyphen_values = true)]
    pub otlp_sample: Option<Setting>,
    /// Discovery in the local network; refused until it is built
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub mdns: Option<Setting>,
    /// The `[[service]]` tables of the file.
    #[arg(skip)]
    #[serde(default, rename = "service")]
    pub services: Vec<Spanned<ServiceTable>>,
    /// The `[[route]]` tables of the file.
    #[arg(skip)]
    #[serde(default, rename = "route")]
    pub routes: Vec<Spanned<RouteTable>>,
}

/// A value as its operator wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// As text, whatever its type in the file.
    pub text: String,
    /// Its bytes in the file; empty elsewhere.
    pub span: Range<usize>,
}

impl FromStr for Setting {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self { text: text.to_owned(), span: 0..0 })
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Scalar>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), text: spanned.into_inner().0 })
    }
}

/// A string, a number or a boolean, as text.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl de::Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number, true or false")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(text.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }
}
