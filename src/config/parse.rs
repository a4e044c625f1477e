//! The small languages of values: durations, sizes, addresses, URLs. Each function has the text of what it accepts.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use jiff::SignedDuration;
use url::{Host, Url};

use crate::time::Duration;

pub(crate) const DURATION: &str = "a duration up to 168h, for example 5s, 250ms or 1m30s";
pub(super) const SIZE: &str = "a number of bytes, for example 65536, 64KiB, 100MiB or 2GiB";
pub(crate) const LISTEN: &str = "IP:PORT, for example 127.0.0.1:8080; port 0 picks one";
pub(super) const HOST_PORT: &str =
    "HOST:PORT, for example 10.0.0.5:7946, [fd00::5]:7946 or mesh.example.com:7946";
pub(super) const BOOL: &str = "true or false";
pub(crate) const SERVICE_URL: &str =
    "an http:// or https:// URL with a host, and without user, query or fragment";
pub(super) const PATH: &str = "a path";

/// Longer ones are slips, and would overflow timers.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

pub(crate) fn duration(text: &str) -> Option<Duration> {
    let duration = Duration::try_from(text.parse::<SignedDuration>().ok()?).ok()?;
    (duration <= LONGEST).then_some(duration)
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    text.parse().ok()
}

pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

pub(crate) fn listen(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

/// A path as its operator wrote it, relative to the working directory of the process.
pub(super) fn path(text: &str) -> Option<std::path::PathBuf> {
    (!text.is_empty() && !text.contains('\0')).then(|| text.into())
}

/// Text for humans: some of it, bounded, without control characters.
pub(super) fn label(text: &str, max_len: usize) -> Option<String> {
    let fits = (1..=max_len).contains(&text.len()) && !text.chars().any(char::is_control);
    (fits && text.trim() == text).then(|| text.to_owned())
}

/// A URL whose path others are appended to.
pub(crate) fn base_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.port() != Some(0);
    // The parser of the web mends `http:host` and `http:///host`; here they are slips.
    let spelled = text.split_once("://").is_some_and(|(_, rest)| !rest.starts_with('/'));
    (matches!(url.scheme(), "http" | "https") && url.has_host() && bare && spelled).then_some(url)
}

/// The host of `url`, when it is a DNS name.
pub(super) fn dns_host(url: &Url) -> Option<&str> {
    match url.host()? {
        Host::Domain(name) => is_dns_name(name).then_some(name),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

pub(super) fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

/// A host, by name or by IP address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// The text was not `HOST:PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("accepted is {HOST_PORT}")]
pub struct InvalidHostPort;

impl FromStr for HostPort {
    type Err = InvalidHostPort;

    fn from_str(text: &str) -> Result<Self, InvalidHostPort> {
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Self { host: addr.ip().to_string(), port: addr.port() }.with_port();
        }
        let (host, port) = text.rsplit_once(':').ok_or(InvalidHostPort)?;
        let port = port.parse().map_err(|_| InvalidHostPort)?;
        // A name that ends in a number is a mistyped IP address (RFC 3986, and the URL standard).
        let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
        if !is_dns_name(host) || last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidHostPort);
        }
        Self { host: host.to_owned(), port }.with_port()
    }
}

impl HostPort {
    fn with_port(self) -> Result<Self, InvalidHostPort> {
        if self.port == 0 { Err(InvalidHostPort) } else { Ok(self) }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
