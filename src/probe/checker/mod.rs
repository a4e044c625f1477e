//! Makes the health checks: one HTTP request, one gRPC call or one TCP connection each.

use std::error::Error as StdError;
use std::io;

use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::net::TcpStream;
use url::{Host, Url};

use super::Outcome;
use crate::config::{Check, ServiceConfig};
use crate::manifest::{Health, Protocol};

mod grpc;
#[cfg(test)]
mod tests;

const MAX_BODY_LEN: usize = 64 * 1024;
const MAX_VERSION_LEN: usize = 64;
const USER_AGENT: &str = concat!("meshnode/", env!("CARGO_PKG_VERSION"));

/// The clients that health checks are made with. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Checker {
    /// HTTP/1.1, but for https services that choose HTTP/2 by ALPN.
    any: HttpClient,
    http2: HttpClient,
}

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

impl Default for Checker {
    fn default() -> Self {
        Self::new()
    }
}

impl Checker {
    /// Clients that trust what the machine trusts, and that open a connection for every check.
    pub fn new() -> Self {
        // Without the machine's certificates (a bare container) only checks of https services fail, and say why.
        let builder = || match HttpsConnectorBuilder::new().with_native_roots() {
            Ok(builder) => builder.https_or_http(),
            Err(_) => {
                let none = RootCertStore::empty();
                let config = ClientConfig::builder().with_root_certificates(none).with_no_client_auth();
                HttpsConnectorBuilder::new().with_tls_config(config).https_or_http()
            }
        };
        let client = |http2| {
            let mut builder = Client::builder(TokioExecutor::new());
            // A connection of the last check would say nothing about a process that accepts no more.
            builder.pool_max_idle_per_host(0).http2_only(http2);
            builder
        };
        Self {
            any: client(false).build(builder().enable_all_versions().build()),
            http2: client(true).build(builder().enable_http2().build()),
        }
    }

    /// Checks `service` as it is configured.
    pub async fn check(&self, service: &ServiceConfig) -> Outcome {
        let check = async {
            match service.check {
                Check::Http => self.get(service).await,
                Check::Grpc => self.call(service).await,
                Check::Tcp => connect(&service.url).await,
                Check::None => answered(Health::Healthy, "not checked".to_owned()),
            }
        };
        match tokio::time::timeout(service.timeout, check).await {
            Ok(outcome) => outcome,
            Err(_) => failed(format!("no answer within {:?}", service.timeout)),
        }
    }

    async fn get(&self, service: &ServiceConfig) -> Outcome {
        let request = match request(service) {
            Ok(request) => request,
            Err(error) => return failed(error.to_string()),
        };
        let response = match service.protocol {
            Protocol::Http1 => self.any.request(request).await,
            Protocol::H2c => self.http2.request(request).await,
        };
        match response {
            Ok(response) => {
                let status = response.status();
                let version = if status.is_success() { version(response.into_body()).await } else { None };
                Outcome { version, ..answered(health(status), status.to_string()) }
            }
            Err(error) => Outcome { refused: is_refused(&error), ..failed(chain(&error)) },
        }
    }

    async fn call(&self, service: &ServiceConfig) -> Outcome {
        let request = match grpc::request(service) {
            Ok(request) => request,
            Err(error) => return failed(error.to_string()),
        };
        match self.http2.request(request).await {
            Ok(response) => grpc::outcome(response).await,
            Err(error) => Outcome { refused: is_refused(&error), ..failed(chain(&error)) },
        }
    }
}

/// 200 is healthy, other 2xx and 3xx are degraded, and the rest is unhealthy.
fn health(status: StatusCode) -> Health {
    if status == StatusCode::OK {
        Health::Healthy
    } else if status.is_success() || status.is_redirection() {
        Health::Degraded
    } else {
        Health::Unhealthy
    }
}

fn request(service: &ServiceConfig) -> Result<Request<Full<Bytes>>, http::Error> {
    let uri: Uri = format!("{}{}", service.url.as_str().trim_end_matches('/'), service.health).parse()?;
    Request::builder()
        .method(Method::GET)
        .uri(uri)
        .header(header::ACCEPT, "application/json, */*")
        .header(header::USER_AGENT, USER_AGENT)
        .body(Full::default())
}

/// The version that a health answer names. A body that is too long, broken or no JSON has none.
async fn version(body: Incoming) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        version: serde_json::Value,
    }
    let body = Limited::new(body, MAX_BODY_LEN).collect().await.ok()?.to_bytes();
    let version = serde_json::from_slice::<Answer>(&body).ok()?.version;
    let version = version.as_str().map(str::to_owned).or_else(|| Some(version.as_number()?.to_string()))?;
    let fits = (1..=MAX_VERSION_LEN).contains(&version.len()) && !version.chars().any(char::is_control);
    fits.then_some(version)
}

async fn connect(url: &Url) -> Outcome {
    let port = url.port_or_known_default().unwrap_or(0);
    let connected = match url.host() {
        Some(Host::Domain(name)) => TcpStream::connect((name, port)).await,
        Some(Host::Ipv4(ip)) => TcpStream::connect((ip, port)).await,
        Some(Host::Ipv6(ip)) => TcpStream::connect((ip, port)).await,
        None => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    };
    match connected {
        Ok(_) => answered(Health::Healthy, "connected".to_owned()),
        Err(error) => Outcome { refused: is_refused(&error), ..failed(error.to_string()) },
    }
}

const fn answered(health: Health, detail: String) -> Outcome {
    Outcome { health, refused: false, version: None, detail }
}

const fn failed(detail: String) -> Outcome {
    answered(Health::Unhealthy, detail)
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Whether the host said that nothing listens there.
fn is_refused(error: &(dyn StdError + 'static)) -> bool {
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    causes(error).any(|cause| cause.downcast_ref().is_some_and(refused))
}

fn chain(error: &(dyn StdError + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
