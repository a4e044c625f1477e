//! What a request at the ingress is for: a service, and the path there, or one of the ingress's own resources.

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, Request, Version};

use super::headers;
use crate::id::ServiceName;

const PREFIX: &str = "/api/service/";

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A service.
    Service(ServiceTarget),
    /// `GET /api/services`.
    Services,
    /// `GET /.mesh/summary`.
    Summary,
    /// `GET /health`.
    Health,
    /// A path of the admin API; only the edge listener knows it.
    Admin,
    /// Nothing that is here.
    Nothing,
}

/// A service, and the path and query there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceTarget {
    /// The service.
    pub(super) name: ServiceName,
    /// Path and query as the service gets them, in the client's own bytes.
    pub(super) path: String,
    /// What was cut off in front of the path.
    pub(super) prefix: Option<String>,
}

/// Why a request is answered with 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadTarget {
    /// The path is `*`, or leads above where it may.
    #[error("the path must be absolute and stay below its root")]
    Path,
    /// The service's name is none.
    #[error("{0}")]
    Name(#[from] crate::id::InvalidServiceName),
    /// A header may be given once only.
    #[error("the header {0} must be given once, as plain text")]
    Repeated(&'static str),
    /// `Host` is missing, repeated, malformed, or differs from the request target.
    #[error("the request needs one valid Host")]
    Host,
}

/// The host that a request names, checked.
pub(crate) fn host_of<B>(request: &Request<B>) -> Result<Authority, BadTarget> {
    let mut lines = request.headers().get_all(HOST).iter();
    let line = lines.next();
    if lines.next().is_some() {
        return Err(BadTarget::Host);
    }
    let line = match line {
        Some(line) => Some(line.to_str().ok().and_then(parse_authority).ok_or(BadTarget::Host)?),
        None => None,
    };
    let target = request.uri().authority();
    if target.is_some_and(|target| target.as_str().contains('@')) {
        return Err(BadTarget::Host);
    }
    match (line, target.cloned()) {
        (Some(line), Some(target)) if line != target => Err(BadTarget::Host),
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) if request.version() == Version::HTTP_10 => Ok(Authority::from_static("localhost")),
        (None, None) => Err(BadTarget::Host),
    }
}

/// A host, with or without a port.
pub(super) fn parse_authority(text: &str) -> Option<Authority> {
    text.parse().ok().filter(|authority: &Authority| !authority.as_str().contains('@'))
}

/// Finds out what a request is for.
pub(super) fn classify<B>(
    request: &Request<B>,
    host: &Authority,
    mesh_domain: &str,
) -> Result<Target, BadTarget> {
    let whole = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let path = request.uri().path();
    if !path.starts_with('/') || leads_above(path) {
        return Err(BadTarget::Path);
    }
    let named = match single(request.headers(), &headers::SERVICE, "x-mesh-service")? {
        Some(name) => Some(name.to_owned()),
        None => name_in_host(host.host(), mesh_domain),
    };
    if let Some(name) = named {
        let target = ServiceTarget { name: name.parse()?, path: whole.to_owned(), prefix: None };
        return Ok(Target::Service(target));
    }
    by_path(path, whole)
}

fn by_path(path: &str, whole: &str) -> Result<Target, BadTarget> {
    let Some(rest) = whole.strip_prefix(PREFIX) else {
        return Ok(match path {
            "/health" => Target::Health,
            "/api/services" => Target::Services,
            "/.mesh/summary" => Target::Summary,
            path if path.starts_with("/api/admin/") => Target::Admin,
            _ => Target::Nothing,
        });
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (name, tail) = rest.split_at(end);
    let name: ServiceName = name.parse()?;
    let tail_path = tail.split('?').next().unwrap_or("");
    if leads_above(tail_path) {
        return Err(BadTarget::Path);
    }
    let path = if tail.starts_with('/') { tail.to_owned() } else { format!("/{tail}") };
    let prefix = Some(format!("{PREFIX}{name}"));
    Ok(Target::Service(ServiceTarget { name, path, prefix }))
}

/// The service that a host names: `rag` in `rag.mesh`.
fn name_in_host(host: &str, mesh_domain: &str) -> Option<String> {
    let host = host.trim_end_matches('.');
    let (name, domain) = host.split_at_checked(host.len().checked_sub(mesh_domain.len())?)?;
    let name = name.strip_suffix('.').filter(|name| !name.is_empty())?;
    domain.eq_ignore_ascii_case(mesh_domain).then(|| name.to_ascii_lowercase())
}

/// The value of a header that may come at most once.
pub(crate) fn single<'a>(
    headers: &'a HeaderMap,
    name: &http::HeaderName,
    shown: &'static str,
) -> Result<Option<&'a str>, BadTarget> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(BadTarget::Repeated(shown));
    }
    first.map(|value| value.to_str().map_err(|_| BadTarget::Repeated(shown))).transpose()
}

/// Whether `..` in a path leads above its start, read as the most lenient backend might: escapes undone, backslashes
/// taken for slashes, and parameters (`..;x`) ignored.
pub(crate) fn leads_above(path: &str) -> bool {
    // Nearly every path: without two dots, written out or escaped, none can lead upwards.
    if !path.contains("..") && !path.contains('%') {
        return false;
    }
    let lenient = path
        .to_ascii_lowercase()
        .replace("%2f", "/")
        .replace("%5c", "/")
        .replace('\\', "/")
        .replace("%3b", ";");
    let mut depth = 0_u32;
    for segment in lenient.split('/') {
        // Servlet containers take parameters off a segment before they look at it.
        let name = segment.split(';').next().unwrap_or("");
        match name.replace("%2e", ".").as_str() {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}
