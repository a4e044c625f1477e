//! Merges flags, environment and file into a [`Config`], and checks what only makes sense together.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tracing_subscriber::EnvFilter;

use super::args::{Environment, RunArgs};
use super::error::{ConfigError, Origin, Source};
use super::file::ConfigFile;
use super::layers::{Found, Layers};
use super::parse::{self, HostPort};
use super::secret::Secret;
use super::{
    AccessLog, ClusterKeySource, Config, EdgeConfig, IdentitySource, LogFormat, OtlpConfig, TlsFiles,
    services,
};
use crate::summary::stores::StoreLocation;
use crate::time::Duration;

const CLOUDFLARE_STALENESS: Duration = Duration::from_secs(180);
const CLOUDFLARE_WRITES_PER_DAY: u32 = 30;
const MAX_JOIN: usize = 256;
const MAX_PUBLIC_URL_LEN: usize = 128;
const MIN_SEED_LEN: usize = 16;

const NAME: &str = "1 to 64 bytes, without control characters and without spaces at the ends";
pub(crate) const CLUSTER: &str = "1 to 63 letters, digits, '-', '_' and '.'";
const PUBLIC_URL: &str =
    "an http:// or https:// URL up to 128 bytes whose host is a DNS name, without user, query or fragment";

impl Config {
    /// Merges the three places.
    pub fn resolve(
        args: &RunArgs,
        file: Option<&ConfigFile>,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let variables = environment.args()?;
        let layers = Layers { flags: &args.settings, environment: &variables.settings, file };
        refuse_what_is_not_built(&layers)?;
        let data_dir = data_dir(&layers, environment)?;
        let store = store(&layers, &data_dir)?;
        let remote = store.is_remote();
        let staleness = if remote { CLOUDFLARE_STALENESS } else { Duration::ZERO };
        let edge = edge(&layers)?;
        let (ingress, open) = ingress(&layers)?;
        let admin_token_file =
            layers.optional("admin-token-file", |s| &s.admin_token_file, parse::PATH, parse::path)?;
        let l = &layers;
        Ok(Self {
            name: name(l, environment)?,
            zone: l.value("zone", |s| &s.zone, NAME, |text| parse::label(text, 64), String::new())?,
            tier: l.optional("tier", |s| &s.tier, "1, 2 or 3", tier)?,
            cluster: l.value("cluster", |s| &s.cluster, CLUSTER, cluster, "default".to_owned())?,
            cluster_key: cluster_key(l, environment)?,
            identity: identity(l, environment)?,
            bind: l.listen("bind", |s| &s.bind)?.unwrap_or(any(7946)),
            advertise: l.optional("advertise", |s| &s.advertise, parse::HOST_PORT, host_port)?,
            join: join(l)?,
            ingress,
            public_url: public_url(l, edge.is_some() || open)?,
            edge,
            tls: tls(l)?,
            mesh_domain: l.value(
                "mesh-domain",
                |s| &s.mesh_domain,
                "a DNS name",
                domain,
                "mesh".to_owned(),
            )?,
            admin: admin(l, admin_token_file.is_some())?,
            admin_token_file,
            metrics_listen: l.listen("metrics-listen", |s| &s.metrics_listen)?,
            services: services::services(&args.services, &variables.services, environment, file)?,
            routes: services::routes(file)?,
            cloudflare_api: l.optional(
                "cloudflare-api",
                |s| &s.cloudflare_api,
                parse::SERVICE_URL,
                parse::base_url,
            )?,
            cloudflare_token: cloudflare_token(l, remote, environment)?,
            max_writes_per_day: max_writes_per_day(l, remote)?,
            store_staleness: l.duration("store-staleness", |s| &s.store_staleness, staleness)?,
            leader_priority: l.value("leader-priority", |s| &s.leader_priority, PRIORITY, priority, 0)?,
            leader_eligible: l.boolean("leader-eligible", |s| &s.leader_eligible)?,
            election_hold: l.duration("election-hold", |s| &s.election_hold, Duration::from_secs(15))?,
            drain_timeout: l.duration("drain-timeout", |s| &s.drain_timeout, Duration::from_secs(30))?,
            max_body: l
                .optional("max-body", |s| &s.max_body, parse::SIZE, parse::size)?
                .filter(|size| *size > 0),
            max_header: l.value("max-header", |s| &s.max_header, MAX_HEADER, max_header, 64 << 10)?,
            max_connections: l.value("max-connections", |s| &s.max_connections, COUNT, count, 8192)?,
            max_in_flight: l.value("max-in-flight", |s| &s.max_in_flight, IN_FLIGHT, in_flight, 4096)?,
            access_log: l.optional("access-log", |s| &s.access_log, ACCESS_LOG, access_log)?,
            min_body_rate: l.value("min-body-rate", |s| &s.min_body_rate, parse::SIZE, parse::size, 100)?,
            max_connections_per_client: max_connections_per_client(l)?,
            otlp: otlp(l)?,
            log: l.value("log", |s| &s.log, LOG, log, "info".to_owned())?,
            log_format: l.value(
                "log-format",
                |s| &s.log_format,
                "text or json",
                log_format,
                LogFormat::Text,
            )?,
            store,
            data_dir,
        })
    }
}

fn refuse_what_is_not_built(l: &Layers<'_>) -> Result<(), ConfigError> {
    let refused = |found: Found, what| Err(ConfigError::NotBuilt { at: found.at, what });
    if let Some(found) = l.get("mdns", |s| &s.mdns) {
        return refused(found, "discovery in the local network");
    }
    Ok(())
}

fn name(l: &Layers<'_>, environment: &Environment) -> Result<String, ConfigError> {
    let default = parse::label(&environment.host_name, 64).unwrap_or_else(|| "node".to_owned());
    l.value("name", |s| &s.name, NAME, |text| parse::label(text, 64), default)
}

fn data_dir(l: &Layers<'_>, environment: &Environment) -> Result<PathBuf, ConfigError> {
    if let Some(dir) = l.optional("data-dir", |s| &s.data_dir, parse::PATH, parse::path)? {
        return Ok(dir);
    }
    // A relative path in this variable is to be ignored (XDG Base Directory Specification).
    let state = environment.get("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let home = || environment.get("HOME").map(|home| Path::new(home).join(".local/state"));
    state.or_else(home).map(|dir| dir.join("meshnode")).ok_or_else(|| ConfigError::Needs {
        at: Origin::flag("data-dir"),
        needs: "a directory, as neither XDG_STATE_HOME nor HOME is set".to_owned(),
    })
}

const STORE: &str = "file:PATH, or cloudflare:ACCOUNT/NAMESPACE";

fn store(l: &Layers<'_>, data_dir: &Path) -> Result<StoreLocation, ConfigError> {
    let default = StoreLocation::File(data_dir.join("summary.json"));
    l.value("store", |s| &s.store, STORE, |text| text.parse().ok(), default)
}

fn cloudflare_token(
    l: &Layers<'_>,
    remote: bool,
    environment: &Environment,
) -> Result<Option<Secret>, ConfigError> {
    let token = environment.get("CLOUDFLARE_API_TOKEN").map(Secret::new);
    match l.get("store", |s| &s.store) {
        Some(found) if remote && token.is_none() => {
            Err(found.needs("the environment variable CLOUDFLARE_API_TOKEN"))
        }
        _ => Ok(token.filter(|_| remote)),
    }
}

fn max_writes_per_day(l: &Layers<'_>, remote: bool) -> Result<Option<u32>, ConfigError> {
    let accepted = "a number of writes from 0 to 1000000; 0 is no limit";
    let parse = |text: &str| text.parse::<u32>().ok().filter(|n| *n <= 1_000_000);
    let default = if remote { CLOUDFLARE_WRITES_PER_DAY } else { 0 };
    let writes = l.value("max-writes-per-day", |s| &s.max_writes_per_day, accepted, parse, default)?;
    Ok(Some(writes).filter(|writes| *writes > 0))
}

fn cluster_key(l: &Layers<'_>, environment: &Environment) -> Result<ClusterKeySource, ConfigError> {
    let file = l.get("cluster-key-file", |s| &s.cluster_key_file);
    let is_flag = file.as_ref().is_some_and(|found| found.at.source == Source::Flag);
    if let (false, Some(text)) = (is_flag, environment.get("MESHNODE_CLUSTER_KEY")) {
        return Ok(ClusterKeySource::Given(Secret::new(text)));
    }
    let path = file.map(|found| found.parse(parse::PATH, parse::path)).transpose()?;
    Ok(path.map_or(ClusterKeySource::DataDir, ClusterKeySource::File))
}

fn identity(l: &Layers<'_>, environment: &Environment) -> Result<IdentitySource, ConfigError> {
    let Some(found) = l.get("identity", |s| &s.identity) else { return Ok(IdentitySource::File) };
    let derived = |text: &str| match text {
        "file" => Some(false),
        "derived" => Some(true),
        _ => None,
    };
    if !found.parse("file or derived", derived)? {
        return Ok(IdentitySource::File);
    }
    if l.get("name", |s| &s.name).is_none() {
        return Err(found.needs("--name, which tells the nodes of one seed apart"));
    }
    let seed = environment.get("MESHNODE_IDENTITY_SEED").filter(|seed| seed.len() >= MIN_SEED_LEN);
    let seed = seed.ok_or_else(|| {
        found.needs("the environment variable MESHNODE_IDENTITY_SEED, a secret of at least 16 bytes")
    })?;
    Ok(IdentitySource::Derived { seed: Secret::new(seed) })
}

fn join(l: &Layers<'_>) -> Result<Vec<HostPort>, ConfigError> {
    let found = l.list("join", |s| &s.join);
    if let Some(beyond) = found.get(MAX_JOIN) {
        return Err(beyond.refused("up to 256 addresses"));
    }
    found.iter().map(|found| found.parse(parse::HOST_PORT, host_port)).collect()
}

fn ingress(l: &Layers<'_>) -> Result<(SocketAddr, bool), ConfigError> {
    let open = l.boolean("ingress-open", |s| &s.ingress_open)?.unwrap_or(false);
    let ingress = l.listen("ingress", |s| &s.ingress)?.unwrap_or(loopback(8080));
    match l.get("ingress", |s| &s.ingress) {
        Some(found) if !open && !ingress.ip().is_loopback() => {
            Err(found.needs(format!("--ingress-open, as {} is not a loopback address", ingress.ip())))
        }
        _ => Ok((ingress, open)),
    }
}

fn edge(l: &Layers<'_>) -> Result<Option<EdgeConfig>, ConfigError> {
    let listen = l.get("edge-listen", |s| &s.edge_listen);
    let secrets = l.get("edge-secret-file", |s| &s.edge_secret_file);
    match (listen, secrets) {
        (None, None) => Ok(None),
        (Some(listen), None) => Err(listen.needs("--edge-secret-file: a file of kid:base64 lines")),
        (None, Some(secrets)) => Err(secrets.needs("--edge-listen")),
        (Some(listen), Some(secrets)) => Ok(Some(EdgeConfig {
            listen: listen.parse(parse::LISTEN, parse::listen)?,
            secret_file: secrets.parse(parse::PATH, parse::path)?,
        })),
    }
}

fn public_url(l: &Layers<'_>, reachable: bool) -> Result<String, ConfigError> {
    let Some(found) = l.get("public-url", |s| &s.public_url) else { return Ok(String::new()) };
    let url = found.parse(PUBLIC_URL, |text| {
        let url = parse::base_url(text).filter(|url| parse::dns_host(url).is_some())?;
        let url = url.as_str().trim_end_matches('/').to_owned();
        (url.len() <= MAX_PUBLIC_URL_LEN).then_some(url)
    })?;
    if reachable { Ok(url) } else { Err(found.needs("--edge-listen, or --ingress-open")) }
}

fn tls(l: &Layers<'_>) -> Result<Option<TlsFiles>, ConfigError> {
    match (l.get("tls-cert", |s| &s.tls_cert), l.get("tls-key", |s| &s.tls_key)) {
        (None, None) => Ok(None),
        (Some(cert), None) => Err(cert.needs("--tls-key")),
        (None, Some(key)) => Err(key.needs("--tls-cert")),
        (Some(cert), Some(key)) => Ok(Some(TlsFiles {
            cert: cert.parse(parse::PATH, parse::path)?,
            key: key.parse(parse::PATH, parse::path)?,
        })),
    }
}

fn admin(l: &Layers<'_>, has_token: bool) -> Result<SocketAddr, ConfigError> {
    let admin = l.listen("admin", |s| &s.admin)?.unwrap_or(loopback(7980));
    match l.get("admin", |s| &s.admin) {
        Some(found) if !has_token && !admin.ip().is_loopback() => {
            Err(found.needs(format!("--admin-token-file, as {} is not a loopback address", admin.ip())))
        }
        _ => Ok(admin),
    }
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

const fn any(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

fn tier(text: &str) -> Option<u8> {
    text.parse().ok().filter(|tier| (1..=3).contains(tier))
}

pub(crate) fn cluster(text: &str) -> Option<String> {
    let accepted = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    ((1..=63).contains(&text.len()) && text.bytes().all(accepted)).then(|| text.to_owned())
}

fn host_port(text: &str) -> Option<HostPort> {
    text.parse().ok()
}

fn domain(text: &str) -> Option<String> {
    parse::is_dns_name(text).then(|| text.trim_end_matches('.').to_ascii_lowercase())
}

/// Below this, hyper refuses to work.
pub(crate) const MAX_HEADER: &str = "a size from 8KiB to 1MiB";

pub(crate) fn max_header(text: &str) -> Option<usize> {
    let size = parse::size(text).filter(|size| (8 << 10..=1 << 20).contains(size))?;
    usize::try_from(size).ok()
}

const PRIORITY: &str = "an integer from -2147483648 to 2147483647";

fn priority(text: &str) -> Option<i32> {
    text.parse().ok()
}

const IN_FLIGHT: &str = "a number from 0 to 1000000";

fn in_flight(text: &str) -> Option<u32> {
    text.parse().ok().filter(|requests| *requests <= 1_000_000)
}

fn max_connections_per_client(l: &Layers<'_>) -> Result<usize, ConfigError> {
    l.value("max-connections-per-client", |s| &s.max_connections_per_client, COUNT, count, 1024)
}

pub(crate) const COUNT: &str = "a number from 1 to 1000000";

pub(crate) fn count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|n| (1..=1_000_000).contains(n))
}

const ACCESS_LOG: &str = "a file, or - for standard error";

fn access_log(text: &str) -> Option<AccessLog> {
    if text == "-" { Some(AccessLog::Stderr) } else { parse::path(text).map(AccessLog::File) }
}

fn otlp(l: &Layers<'_>) -> Result<Option<OtlpConfig>, ConfigError> {
    let collector = l.optional("otlp", |s| &s.otlp, parse::SERVICE_URL, parse::base_url)?;
    let ratio = |text: &str| text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    let sample = l.optional("otlp-sample", |s| &s.otlp_sample, "a number from 0 to 1", ratio)?;
    match (collector, l.get("otlp-sample", |s| &s.otlp_sample)) {
        (None, Some(found)) => Err(found.needs("--otlp")),
        (collector, _) => {
            Ok(collector.map(|collector| OtlpConfig { collector, sample: sample.unwrap_or(1.0) }))
        }
    }
}

pub(crate) const LOG: &str =
    "trace, debug, info, warn, error or off, also per module, for example info,meshnode::router=debug";

/// To the filter's parser a bare word is a module, so that it would take a misspelled level for one.
pub(crate) fn log(text: &str) -> Option<String> {
    let is_level = |word: &str| {
        ["trace", "debug", "info", "warn", "error", "off"].contains(&word.to_lowercase().as_str())
    };
    let is_directive = |word: &str| word.contains(['=', '[']) || is_level(word);
    let accepted = text.split(',').all(|word| is_directive(word.trim()));
    (accepted && EnvFilter::try_new(text).is_ok()).then(|| text.to_owned())
}

pub(crate) fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}
