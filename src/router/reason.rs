//! Why an instance did not get a request, by the names that callers see.

use serde::{Deserialize, Serialize};

/// Why an instance did not get a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is of another version than the one asked for, or its version gets no share of the split.
    VersionMismatch,
    /// It does not speak HTTP/2, which the request needs.
    ProtocolMismatch,
    /// Its node left the mesh.
    Left,
    /// Its node is dead.
    Dead,
    /// It fails its health checks.
    Unhealthy,
    /// Its health is not known yet.
    Unknown,
    /// Its node takes nothing new.
    Draining,
    /// Nobody offers the service, or no address of the node is known.
    NoRoute,
    /// It failed too often and is left alone for a while.
    Ejected,
    /// Its node does not answer, but others may still reach it.
    Unroutable,
    /// Its node may be dead.
    Suspect,
    /// It says itself that something is wrong, and a healthy one is there.
    Degraded,
    /// It works on as many requests as it takes.
    Saturated,
    /// It was tried, and no connection came about.
    ConnectFailed,
    /// It was tried, and did not answer in time.
    Timeout,
}

impl Reason {
    /// The name used in JSON and in `x-mesh-error`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VersionMismatch => "version_mismatch",
            Self::ProtocolMismatch => "protocol_mismatch",
            Self::Left => "left",
            Self::Dead => "dead",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
            Self::Draining => "draining",
            Self::NoRoute => "no_route",
            Self::Ejected => "ejected",
            Self::Unroutable => "unroutable",
            Self::Suspect => "suspect",
            Self::Degraded => "degraded",
            Self::Saturated => "saturated",
            Self::ConnectFailed => "connect_failed",
            Self::Timeout => "timeout",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
