//! A service as it is written down: a `[[service]]` table, or the JSON of the admin API and of the data directory.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Check, ServiceConfig};
use crate::config::error::{ConfigError, Origin};
use crate::config::fields::Fields;
use crate::config::parse;
use crate::id::ServiceName;
use crate::manifest::{HostPolicy, Protocol, Timeouts};
use crate::time::Duration;

const MAX_TAGS: usize = 64;
const MAX_TAG_LEN: usize = 64;
const MAX_VERSION_LEN: usize = 64;
const LONGEST_CHECK: Duration = Duration::from_secs(60);

/// The fields of a service; what is left out has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceTable {
    /// `[a-z0-9-]{1,63}`.
    pub name: String,
    /// `http://…` or `https://…`.
    pub url: String,
    /// `http1` or `h2c`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// `http`, `tcp`, `grpc` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// The path of an HTTP check, or the name that a gRPC check asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// A duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// A duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// At least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rise: Option<i64>,
    /// At least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fall: Option<i64>,
    /// Published when the health answer has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// At least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
    /// Labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Limits on the time of one request.
    pub timeouts: TimeoutsTable,
    /// 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<i64>,
    /// Requests that wait, for half a second at most, while `max_in_flight` are under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_queue: Option<i64>,
    /// `preserve` or `backend`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Durations; `0s` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsTable {
    /// Until the instance is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// From the request's head to the response's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<String>,
    /// Between two pieces of a body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<String>,
    /// From the request's head to the response's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
}

impl ServiceTable {
    /// The service that the table describes; `at` is the table's origin, for messages.
    pub fn resolve(&self, at: &Origin) -> Result<ServiceConfig, ConfigError> {
        let fields = Fields { at };
        let name = fields.found("name", &self.name);
        let name = name.parse("1 to 63 of a-z, 0-9 and '-'", |text| ServiceName::from_str(text).ok())?;
        let url = fields.found("url", &self.url).parse(parse::SERVICE_URL, parse::base_url)?;
        let defaults = ServiceConfig::new(name, url);
        let check = fields.one_of("check", self.check.as_ref(), &CHECKS)?;
        let service = ServiceConfig {
            protocol: fields.one_of("protocol", self.protocol.as_ref(), &PROTOCOLS)?,
            check,
            health: self.health(check, &fields, defaults.health)?,
            interval: fields.interval(self.interval.as_ref(), defaults.interval)?,
            timeout: fields.duration("timeout", self.timeout.as_ref(), defaults.timeout)?,
            rise: fields.number("rise", self.rise, 1..=100, defaults.rise)?,
            fall: fields.number("fall", self.fall, 1..=100, defaults.fall)?,
            version: fields.text("version", self.version.as_ref(), VERSION, String::new(), version)?,
            weight: fields.number("weight", self.weight, 1..=10_000, defaults.weight)?,
            tags: self.tags(&fields)?,
            timeouts: self.timeouts(&fields)?,
            max_in_flight: fields.number("max_in_flight", self.max_in_flight, 0..=1_000_000, 256)?,
            max_queue: fields.number("max_queue", self.max_queue, 0..=10_000, defaults.max_queue)?,
            host: fields.one_of("host", self.host.as_ref(), &HOSTS)?,
            ..defaults
        };
        service.check_together(&fields)?;
        Ok(service)
    }

    fn health(&self, check: Check, fields: &Fields<'_>, path: String) -> Result<String, ConfigError> {
        let given = self.health.as_ref();
        match check {
            Check::Grpc => fields.text("health", given, GRPC_NAME, String::new(), grpc_name),
            Check::Http | Check::Tcp | Check::None => fields.text("health", given, HEALTH, path, health_path),
        }
    }

    fn tags(&self, fields: &Fields<'_>) -> Result<Vec<String>, ConfigError> {
        let accepted = "up to 64 labels of 1 to 64 bytes";
        if self.tags.len() > MAX_TAGS {
            return Err(fields.found("tags", &format!("{} labels", self.tags.len())).refused(accepted));
        }
        let tag =
            |tag: &String| fields.found("tags", tag).parse(accepted, |text| parse::label(text, MAX_TAG_LEN));
        self.tags.iter().map(tag).collect()
    }

    fn timeouts(&self, fields: &Fields<'_>) -> Result<Timeouts, ConfigError> {
        let (given, defaults) = (&self.timeouts, Timeouts::default());
        Ok(Timeouts {
            connect: fields.duration("timeouts.connect", given.connect.as_ref(), defaults.connect)?,
            first_byte: fields.duration(
                "timeouts.first_byte",
                given.first_byte.as_ref(),
                defaults.first_byte,
            )?,
            idle: fields.duration("timeouts.idle", given.idle.as_ref(), defaults.idle)?,
            total: fields.duration("timeouts.total", given.total.as_ref(), defaults.total)?,
        })
    }
}

impl ServiceConfig {
    fn check_together(&self, fields: &Fields<'_>) -> Result<(), ConfigError> {
        if self.protocol == Protocol::H2c && self.url.scheme() == "https" {
            return Err(fields
                .found("protocol", "h2c")
                .refused("http1 for an https URL: ALPN chooses there"));
        }
        if self.timeout.is_zero() || self.timeout > LONGEST_CHECK {
            return Err(fields
                .found("timeout", &written(self.timeout))
                .refused("more than 0s and at most 1m"));
        }
        Ok(())
    }
}

impl From<&ServiceConfig> for ServiceTable {
    fn from(service: &ServiceConfig) -> Self {
        let timeouts = &service.timeouts;
        Self {
            name: service.name.to_string(),
            url: service.url.to_string(),
            protocol: spelled(&PROTOCOLS, service.protocol),
            check: spelled(&CHECKS, service.check),
            health: Some(service.health.clone()),
            interval: Some(written(service.interval)),
            timeout: Some(written(service.timeout)),
            rise: Some(service.rise.into()),
            fall: Some(service.fall.into()),
            version: Some(service.version.clone()).filter(|version| !version.is_empty()),
            weight: Some(service.weight.into()),
            tags: service.tags.clone(),
            timeouts: TimeoutsTable {
                connect: Some(written(timeouts.connect)),
                first_byte: Some(written(timeouts.first_byte)),
                idle: Some(written(timeouts.idle)),
                total: Some(written(timeouts.total)),
            },
            max_in_flight: Some(service.max_in_flight.into()),
            max_queue: Some(service.max_queue.into()),
            host: spelled(&HOSTS, service.host),
        }
    }
}

const PROTOCOLS: [(&str, Protocol); 2] = [("http1", Protocol::Http1), ("h2c", Protocol::H2c)];
const CHECKS: [(&str, Check); 4] =
    [("http", Check::Http), ("tcp", Check::Tcp), ("grpc", Check::Grpc), ("none", Check::None)];
const HOSTS: [(&str, HostPolicy); 2] = [("preserve", HostPolicy::Preserve), ("backend", HostPolicy::Backend)];
const HEALTH: &str = "a path that begins with '/', up to 1024 bytes";
const GRPC_NAME: &str =
    "the name of a gRPC service, for example acme.v1.Search; empty is the server as a whole";
const VERSION: &str = "up to 64 bytes without control characters";

fn spelled<T: Copy + PartialEq>(choices: &[(&str, T)], value: T) -> Option<String> {
    choices.iter().find(|(_, choice)| *choice == value).map(|(name, _)| (*name).to_owned())
}

fn written(duration: Duration) -> String {
    jiff::SignedDuration::try_from(duration).map_or_else(|_| "168h".to_owned(), |d| format!("{d:#}"))
}

fn health_path(text: &str) -> Option<String> {
    let path: http::uri::PathAndQuery = text.parse().ok()?;
    (text.starts_with('/') && text.len() <= 1024 && path.as_str() == text).then(|| text.to_owned())
}

fn grpc_name(text: &str) -> Option<String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (text.len() <= 256 && text.bytes().all(is_part)).then(|| text.to_owned())
}

fn version(text: &str) -> Option<String> {
    if text.is_empty() { Some(String::new()) } else { parse::label(text, MAX_VERSION_LEN) }
}
