//! Nodes with real transports and listeners, services behind them, and clients that speak raw bytes.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Check, ServiceConfig};
use crate::id::{Identity, ManifestVersion, NodeId, ServiceName, Version};
use crate::manifest::{Capabilities, Health, HostPolicy, Manifest, Protocol, Service, Standing, Timeouts};
use crate::metrics::Metrics;
use crate::router::proxy::{AccessLog, Proxy, ProxyConfig, Sources, Tracing, TracingConfig};
use crate::time::Instant;
use crate::transport::{Keyring, Transport, TransportConfig};
use crate::view::{LeaderView, MemberView, Status, View};

/// Longer than anything here takes, so that a hang is a failure.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// One node of a test's mesh.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) ingress: SocketAddr,
    pub(super) proxy: Proxy,
    pub(super) metrics: Metrics,
    pub(super) views: watch::Sender<Arc<View>>,
    pub(super) refused: mpsc::Receiver<ServiceName>,
    pub(super) stop: CancellationToken,
    _services: watch::Sender<crate::router::proxy::Services>,
    pub(super) summary: watch::Sender<Arc<str>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Starts nodes that know each other; each gets its list of services.
pub(super) async fn mesh(services: Vec<Vec<ServiceConfig>>) -> Vec<Node> {
    mesh_with(services, |_| {}).await
}

/// The same, with changed limits.
pub(super) async fn mesh_with(
    services: Vec<Vec<ServiceConfig>>,
    change: impl Fn(&mut ProxyConfig),
) -> Vec<Node> {
    start(services, Observed::default(), change).await
}

/// The same, with an access log that they share.
pub(super) async fn mesh_logged(services: Vec<Vec<ServiceConfig>>, log: AccessLog) -> Vec<Node> {
    start(services, Observed { log: Some(log), collector: None }, |_| {}).await
}

/// The same, whose spans go to the collector at this URL.
pub(super) async fn mesh_traced(services: Vec<Vec<ServiceConfig>>, collector: &str) -> Vec<Node> {
    start(services, Observed { log: None, collector: Some(collector.to_owned()) }, |_| {}).await
}

/// Where the nodes tell of requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    pub(super) log: Option<AccessLog>,
    pub(super) collector: Option<String>,
}

impl Observed {
    fn tracing(&self, id: NodeId, metrics: &Metrics) -> Option<Tracing> {
        let collector = self.collector.clone()?;
        let config =
            TracingConfig { collector, sample: 1.0, worker: id.to_string(), name: "test".to_owned() };
        Some(Tracing::start(&config, metrics.clone()).unwrap())
    }
}

pub(super) async fn start(
    services: Vec<Vec<ServiceConfig>>,
    observed: Observed,
    change: impl Fn(&mut ProxyConfig),
) -> Vec<Node> {
    let mut bound = Vec::new();
    for index in 0..services.len() {
        let stop = CancellationToken::new();
        let identity = Identity::from_secret(&[u8::try_from(index).unwrap() + 1; 32]);
        let config = TransportConfig {
            bind: "127.0.0.1:0".parse().unwrap(),
            identity: identity.clone(),
            cluster: "test".to_owned(),
            keyring: Keyring::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap(),
            boot_nonce: index as u64 + 1,
            epoch: 1,
        };
        let tasks = TaskTracker::new();
        let (transport, incoming) =
            Transport::bind(config, Metrics::new(), &tasks, stop.clone()).await.unwrap();
        bound.push((identity.id(), transport, incoming, stop));
    }
    let mut members: Vec<Arc<MemberView>> = bound
        .iter()
        .zip(&services)
        .map(|((id, transport, ..), services)| Arc::new(member(*id, transport.local_addr(), services)))
        .collect();
    members.sort_by_key(|member| member.id);
    let mut nodes = Vec::new();
    for (bound, configs) in bound.into_iter().zip(services) {
        let mut config = ProxyConfig {
            local: bound.0,
            mesh_domain: "mesh".to_owned(),
            max_body: None,
            max_header: 64 * 1024,
            max_connections: 512,
            max_in_flight: 0,
            max_connections_per_client: 512,
            min_body_rate: 100,
        };
        change(&mut config);
        nodes.push(node(bound, configs, &members, config, observed.clone()).await);
    }
    nodes
}

type Bound = (NodeId, Transport, crate::transport::Incoming, CancellationToken);

async fn node(
    (id, transport, mut incoming, stop): Bound,
    configs: Vec<ServiceConfig>,
    members: &[Arc<MemberView>],
    config: ProxyConfig,
    observed: Observed,
) -> Node {
    let view = View {
        version: 1,
        local: id,
        members: members.to_vec(),
        leader: LeaderView::default(),
        ready: true,
        draining: false,
    };
    let (views, views_in) = watch::channel(Arc::new(view));
    let by_name = configs.into_iter().map(|config| (config.name.clone(), config)).collect();
    let (services, services_in) = watch::channel(Arc::new(by_name));
    let (summary, summary_in) = watch::channel(Arc::from(r#"{"v":1}"#));
    let (refused_in, refused) = mpsc::channel(16);
    let sources =
        Sources { views: views_in, services: services_in, summary: summary_in, links: transport.links() };
    let metrics = Metrics::new();
    let tracing = observed.tracing(id, &metrics);
    let clock = Clock::start();
    let proxy =
        Proxy::new(config, sources, clock, metrics.clone(), refused_in, observed.log, tracing).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ingress = listener.local_addr().unwrap();
    tokio::spawn(proxy.clone().serve_ingress(listener, None, stop.clone()));
    let exit = proxy.clone();
    tokio::spawn(async move {
        let _transport = transport;
        while let Some(proxied) = incoming.proxied.recv().await {
            tokio::spawn(exit.clone().exit(proxied));
        }
    });
    Node { id, ingress, proxy, metrics, views, refused, stop, _services: services, summary }
}

fn member(id: NodeId, addr: SocketAddr, services: &[ServiceConfig]) -> MemberView {
    let manifest = Manifest {
        cluster: "test".to_owned(),
        id,
        version: ManifestVersion { epoch: 1, seq: 1 },
        ttl: Duration::from_secs(7200),
        addr: Some(addr),
        name: "test".to_owned(),
        zone: String::new(),
        tier: 3,
        capabilities: Capabilities::default(),
        services: services.iter().map(published).collect(),
        routes: Vec::new(),
        draining: false,
        public_url: String::new(),
        max_writes_per_day: None,
        standing: Standing::default(),
        meshnode_version: "test".to_owned(),
    };
    MemberView {
        id,
        hash: id.hash(),
        status: Status::Alive,
        unroutable: false,
        version: Version { epoch: 1, incarnation: 0 },
        manifest: Some(Arc::new(manifest)),
        addr: Some(addr),
        rtt: None,
        load: None,
        first_seen: Instant::ORIGIN,
        last_heard: Instant::ORIGIN,
    }
}

fn published(config: &ServiceConfig) -> Service {
    Service {
        name: config.name.clone(),
        port: config.url.port().unwrap_or(80),
        version: config.version.clone(),
        health: Health::Healthy,
        weight: config.weight,
        tags: Vec::new(),
        protocol: config.protocol,
        timeouts: config.timeouts,
        max_in_flight: config.max_in_flight,
        host: config.host,
    }
}

/// A service at `addr`, with the defaults.
pub(super) fn service(name: &str, addr: SocketAddr) -> ServiceConfig {
    ServiceConfig {
        name: name.parse().unwrap(),
        url: format!("http://{addr}").parse().unwrap(),
        protocol: Protocol::Http1,
        check: Check::Http,
        health: "/health".to_owned(),
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
        rise: 2,
        fall: 3,
        version: "1.0.0".to_owned(),
        weight: 1,
        tags: Vec::new(),
        timeouts: Timeouts::default(),
        max_in_flight: 0,
        max_queue: 0,
        host: HostPolicy::Preserve,
    }
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A service that answers with what `handle` makes of each request.
pub(crate) async fn backend<F, R>(handle: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let handle = handle.clone();
            let service = service_fn(move |request| {
                let answer = handle(request);
                async { Ok::<_, std::convert::Infallible>(answer.await) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    addr
}

/// A service that answers with what it got: the request line, the headers sorted, and the body.
pub(super) async fn echo() -> SocketAddr {
    backend(|request| async move {
        let (head, body) = request.into_parts();
        let body =
            http_body_util::BodyExt::collect(body).await.map(|body| body.to_bytes()).unwrap_or_default();
        let mut lines: Vec<String> = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        lines.sort();
        let text = format!(
            "{} {}\n{}\n\n{}",
            head.method,
            head.uri,
            lines.join("\n"),
            String::from_utf8_lossy(&body)
        );
        Response::new(Full::new(Bytes::from(text)))
    })
    .await
}

/// Says `text` to every connection, after having read its first bytes, and closes it.
pub(crate) async fn canned(text: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(text.as_bytes()).await;
            });
        }
    });
    addr
}

/// Sends bytes, and reads what comes until the other side closes.
pub(crate) async fn raw(addr: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes.as_ref()).await.unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is an end as well.
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.expect("no end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request on a connection of its own; `head` has the request line's method and target, and header lines.
pub(crate) async fn ask(addr: SocketAddr, line: &str, headers: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    raw(addr, format!("{line} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n{length}{headers}\r\n{body}"))
        .await
}

/// The status of an answer.
pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// The value of a header of an answer.
pub(crate) fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().skip(1).filter_map(|line| line.split_once(": ")).find(|(n, _)| *n == name).map(|(_, v)| v)
}

/// The body of an answer that is not chunked.
pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// Waits until `check` is true.
pub(crate) async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(SOON, async {
        while !check() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}
