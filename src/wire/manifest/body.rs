//! The body of a manifest: its Protobuf messages, and the way from the parsed value and back.

use std::time::Duration;

use super::{MAX_TTL, WireError, at_most, field};
use crate::id::{ManifestVersion, NodeId, ServiceName};
use crate::manifest::{
    Capabilities, Gpu, Health, HostPolicy, Manifest, Protocol, Route, Service, Split, Standing, Timeouts,
};

const MAX_SERVICES: usize = 512;
const MAX_GPUS: usize = 64;
const MAX_TAGS: usize = 64;
const MAX_SPLITS: usize = 32;

/// What the owner signs.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ManifestBody {
    #[prost(string, tag = "1")]
    cluster: String,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(uint64, tag = "3")]
    epoch: u64,
    #[prost(uint64, tag = "4")]
    seq: u64,
    #[prost(uint64, tag = "5")]
    ttl_s: u64,
    /// `ip:port`; empty while the node does not know it.
    #[prost(string, tag = "6")]
    addr: String,
    #[prost(string, tag = "7")]
    name: String,
    #[prost(string, tag = "8")]
    zone: String,
    #[prost(uint32, tag = "9")]
    tier: u32,
    #[prost(message, optional, tag = "10")]
    capabilities: Option<CapabilitiesBody>,
    #[prost(message, repeated, tag = "11")]
    services: Vec<ServiceBody>,
    #[prost(message, repeated, tag = "12")]
    routes: Vec<RouteBody>,
    #[prost(bool, tag = "13")]
    draining: bool,
    #[prost(string, tag = "14")]
    public_url: String,
    #[prost(uint32, optional, tag = "15")]
    max_writes_per_day: Option<u32>,
    #[prost(message, optional, tag = "16")]
    standing: Option<StandingBody>,
    #[prost(string, tag = "17")]
    meshnode_version: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct CapabilitiesBody {
    #[prost(uint32, tag = "1")]
    cpu_cores: u32,
    #[prost(uint64, tag = "2")]
    memory_bytes: u64,
    #[prost(string, tag = "3")]
    os: String,
    #[prost(string, tag = "4")]
    arch: String,
    #[prost(message, repeated, tag = "5")]
    gpus: Vec<GpuBody>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct GpuBody {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint64, tag = "2")]
    memory_bytes: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct ServiceBody {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    port: u32,
    #[prost(string, tag = "3")]
    version: String,
    /// 0 unknown, 1 unhealthy, 2 degraded, 3 healthy.
    #[prost(uint32, tag = "4")]
    health: u32,
    #[prost(uint32, tag = "5")]
    weight: u32,
    #[prost(string, repeated, tag = "6")]
    tags: Vec<String>,
    /// 0 http1, 1 h2c.
    #[prost(uint32, tag = "7")]
    protocol: u32,
    #[prost(uint64, tag = "8")]
    connect_ms: u64,
    #[prost(uint64, tag = "9")]
    first_byte_ms: u64,
    #[prost(uint64, tag = "10")]
    idle_ms: u64,
    #[prost(uint64, tag = "11")]
    total_ms: u64,
    #[prost(uint32, tag = "12")]
    max_in_flight: u32,
    /// 0 preserve, 1 backend.
    #[prost(uint32, tag = "13")]
    host: u32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct RouteBody {
    #[prost(string, tag = "1")]
    service: String,
    #[prost(uint64, tag = "2")]
    rev: u64,
    #[prost(message, repeated, tag = "3")]
    split: Vec<SplitBody>,
    #[prost(uint32, tag = "4")]
    retry_percent: u32,
    #[prost(uint32, tag = "5")]
    retry_min_per_second: u32,
    #[prost(uint64, tag = "6")]
    hedge_after_ms: u64,
    #[prost(string, tag = "7")]
    affinity_header: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct SplitBody {
    #[prost(string, tag = "1")]
    version: String,
    #[prost(uint32, tag = "2")]
    percent: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct StandingBody {
    #[prost(sint32, tag = "1")]
    priority: i32,
    #[prost(bool, tag = "2")]
    offers: bool,
    #[prost(fixed64, tag = "3")]
    store_id: u64,
    #[prost(bool, tag = "4")]
    store_remote: bool,
    #[prost(bool, tag = "5")]
    store_ok: bool,
    #[prost(uint64, tag = "6")]
    leading_term: u64,
    /// In tenths.
    #[prost(uint32, tag = "7")]
    penalty: u32,
    #[prost(bool, tag = "8")]
    damped: bool,
}

impl From<&Manifest> for ManifestBody {
    fn from(manifest: &Manifest) -> Self {
        let capabilities = &manifest.capabilities;
        let gpu = |gpu: &Gpu| GpuBody { name: gpu.name.clone(), memory_bytes: gpu.memory_bytes };
        Self {
            cluster: manifest.cluster.clone(),
            id: manifest.id.public_key().to_vec(),
            epoch: manifest.version.epoch,
            seq: manifest.version.seq,
            ttl_s: manifest.ttl.as_secs(),
            addr: manifest.addr.map(|addr| addr.to_string()).unwrap_or_default(),
            name: manifest.name.clone(),
            zone: manifest.zone.clone(),
            tier: manifest.tier.into(),
            capabilities: Some(CapabilitiesBody {
                cpu_cores: capabilities.cpu_cores,
                memory_bytes: capabilities.memory_bytes,
                os: capabilities.os.clone(),
                arch: capabilities.arch.clone(),
                gpus: capabilities.gpus.iter().map(gpu).collect(),
            }),
            services: manifest.services.iter().map(ServiceBody::from).collect(),
            routes: manifest.routes.iter().map(RouteBody::from).collect(),
            draining: manifest.draining,
            public_url: manifest.public_url.clone(),
            max_writes_per_day: manifest.max_writes_per_day,
            standing: Some(StandingBody::from(&manifest.standing)),
            meshnode_version: manifest.meshnode_version.clone(),
        }
    }
}

impl From<&Service> for ServiceBody {
    fn from(service: &Service) -> Self {
        Self {
            name: service.name.to_string(),
            port: service.port.into(),
            version: service.version.clone(),
            health: service.health as u32,
            weight: service.weight,
            tags: service.tags.clone(),
            protocol: service.protocol as u32,
            connect_ms: millis(service.timeouts.connect),
            first_byte_ms: millis(service.timeouts.first_byte),
            idle_ms: millis(service.timeouts.idle),
            total_ms: millis(service.timeouts.total),
            max_in_flight: service.max_in_flight,
            host: service.host as u32,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<&Route> for RouteBody {
    fn from(route: &Route) -> Self {
        let split =
            |split: &Split| SplitBody { version: split.version.clone(), percent: split.percent.into() };
        Self {
            service: route.service.to_string(),
            rev: route.rev,
            split: route.split.iter().map(split).collect(),
            retry_percent: route.retry_percent,
            retry_min_per_second: route.retry_min_per_second,
            hedge_after_ms: millis(route.hedge_after),
            affinity_header: route.affinity_header.clone(),
        }
    }
}

impl From<&Standing> for StandingBody {
    fn from(standing: &Standing) -> Self {
        Self {
            priority: standing.priority,
            offers: standing.offers,
            store_id: standing.store_id,
            store_remote: standing.store_remote,
            store_ok: standing.store_ok,
            leading_term: standing.leading_term,
            penalty: standing.penalty,
            damped: standing.damped,
        }
    }
}

impl ManifestBody {
    /// The value. A field that holds what it must not refuses the whole manifest.
    pub(super) fn parse(self) -> Result<Manifest, WireError> {
        at_most("services of a manifest", self.services.len(), MAX_SERVICES)?;
        at_most("routes of a manifest", self.routes.len(), MAX_SERVICES)?;
        let key: [u8; 32] = self.id.try_into().map_err(|_| field("id"))?;
        let standing = self.standing.unwrap_or_default();
        Ok(Manifest {
            cluster: self.cluster,
            id: NodeId::from_public_key(key),
            version: ManifestVersion { epoch: self.epoch, seq: self.seq },
            ttl: Duration::from_secs(self.ttl_s).min(MAX_TTL),
            addr: match self.addr.as_str() {
                "" => None,
                addr => Some(addr.parse().map_err(|_| field("addr"))?),
            },
            name: self.name,
            zone: self.zone,
            tier: u8::try_from(self.tier).map_err(|_| field("tier"))?,
            capabilities: self.capabilities.unwrap_or_default().parse()?,
            services: self.services.into_iter().map(ServiceBody::parse).collect::<Result<_, _>>()?,
            routes: self.routes.into_iter().map(RouteBody::parse).collect::<Result<_, _>>()?,
            draining: self.draining,
            public_url: self.public_url,
            max_writes_per_day: self.max_writes_per_day,
            standing: Standing {
                priority: standing.priority,
                offers: standing.offers,
                store_id: standing.store_id,
                store_remote: standing.store_remote,
                store_ok: standing.store_ok,
                leading_term: standing.leading_term,
                penalty: standing.penalty,
                damped: standing.damped,
            },
            meshnode_version: self.meshnode_version,
        })
    }
}

impl CapabilitiesBody {
    fn parse(self) -> Result<Capabilities, WireError> {
        at_most("GPUs of a manifest", self.gpus.len(), MAX_GPUS)?;
        let gpu = |gpu: GpuBody| Gpu { name: gpu.name, memory_bytes: gpu.memory_bytes };
        Ok(Capabilities {
            cpu_cores: self.cpu_cores,
            memory_bytes: self.memory_bytes,
            os: self.os,
            arch: self.arch,
            gpus: self.gpus.into_iter().map(gpu).collect(),
        })
    }
}

impl ServiceBody {
    /// A later version's health, protocol or host policy reads as the most careful one known here.
    fn parse(self) -> Result<Service, WireError> {
        at_most("tags of a service", self.tags.len(), MAX_TAGS)?;
        Ok(Service {
            name: self.name.parse::<ServiceName>().map_err(|_| field("services.name"))?,
            port: u16::try_from(self.port).map_err(|_| field("services.port"))?,
            version: self.version,
            health: match self.health {
                1 => Health::Unhealthy,
                2 => Health::Degraded,
                3 => Health::Healthy,
                _ => Health::Unknown,
            },
            weight: self.weight.max(1),
            tags: self.tags,
            protocol: if self.protocol == Protocol::H2c as u32 { Protocol::H2c } else { Protocol::Http1 },
            timeouts: Timeouts {
                connect: Duration::from_millis(self.connect_ms),
                first_byte: Duration::from_millis(self.first_byte_ms),
                idle: Duration::from_millis(self.idle_ms),
                total: Duration::from_millis(self.total_ms),
            },
            max_in_flight: self.max_in_flight,
            host: if self.host == HostPolicy::Backend as u32 {
                HostPolicy::Backend
            } else {
                HostPolicy::Preserve
            },
        })
    }
}

impl RouteBody {
    fn parse(self) -> Result<Route, WireError> {
        at_most("splits of a route", self.split.len(), MAX_SPLITS)?;
        let split = |split: SplitBody| {
            let percent = u8::try_from(split.percent).ok().filter(|percent| *percent <= 100);
            Ok(Split { version: split.version, percent: percent.ok_or_else(|| field("routes.split"))? })
        };
        Ok(Route {
            service: self.service.parse().map_err(|_| field("routes.service"))?,
            rev: self.rev,
            split: self.split.into_iter().map(split).collect::<Result<_, _>>()?,
            retry_percent: self.retry_percent,
            retry_min_per_second: self.retry_min_per_second,
            hedge_after: Duration::from_millis(self.hedge_after_ms),
            affinity_header: self.affinity_header,
        })
    }
}
