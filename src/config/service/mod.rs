//! One service of this node, as its operator configured it.

use url::Url;

use crate::id::ServiceName;
use crate::manifest::{HostPolicy, Protocol, Timeouts};
use crate::probe::Target;
use crate::time::Duration;

mod table;

pub use table::{ServiceTable, TimeoutsTable};

/// One service of this node. Its URL is this operator's word and never comes over the mesh.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceConfig {
    /// Its name.
    pub name: ServiceName,
    /// Where this node reaches it; `http` or `https`.
    pub url: Url,
    /// What it speaks.
    pub protocol: Protocol,
    /// How its health is checked.
    pub check: Check,
    /// The path of an HTTP check; the name for which a gRPC check asks, empty for the server as a whole.
    pub health: String,
    /// Between two checks.
    pub interval: Duration,
    /// For one check.
    pub timeout: Duration,
    /// Consecutive better results before the health rises.
    pub rise: u32,
    /// Consecutive worse results before it falls.
    pub fall: u32,
    /// Published when the health answer has none; empty when not set.
    pub version: String,
    /// Share of traffic.
    pub weight: u32,
    /// Labels.
    pub tags: Vec<String>,
    /// Limits on the time of one request.
    pub timeouts: Timeouts,
    /// Requests at the same time; 0 is no limit.
    pub max_in_flight: u32,
    /// Requests that wait for a place when so many are under way; not published.
    pub max_queue: u32,
    /// What it gets as `Host`.
    pub host: HostPolicy,
}

/// How the health of a service is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Check {
    /// GET of the health path.
    #[default]
    Http,
    /// A TCP connection.
    Tcp,
    /// A call of `grpc.health.v1.Health/Check`.
    Grpc,
    /// Not at all: it counts as healthy.
    None,
}

impl ServiceConfig {
    /// The service with this name and URL, and defaults for the rest.
    pub fn new(name: ServiceName, url: Url) -> Self {
        Self {
            name,
            url,
            protocol: Protocol::default(),
            check: Check::default(),
            health: "/health".to_owned(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
            version: String::new(),
            weight: 1,
            tags: Vec::new(),
            timeouts: Timeouts::default(),
            max_in_flight: 256,
            max_queue: 64,
            host: HostPolicy::default(),
        }
    }

    /// The part that the core needs.
    pub fn target(&self) -> Target {
        Target {
            name: self.name.clone(),
            port: self.url.port_or_known_default().unwrap_or(0),
            version: self.version.clone(),
            weight: self.weight,
            tags: self.tags.clone(),
            protocol: self.protocol,
            timeouts: self.timeouts,
            max_in_flight: self.max_in_flight,
            host: self.host,
            interval: self.interval,
            rise: self.rise,
            fall: self.fall,
            checked: self.check != Check::None,
        }
    }
}
