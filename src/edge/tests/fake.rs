//! An edge in this process, and nodes that are none but answer like them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use clap::Parser as _;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::edge::{Args, Edge};
use crate::router::proxy::edge::EdgeSecrets;
use crate::router::proxy::tests::harness::backend;

pub(super) const SECRET: &str = "k:MDEyMzQ1Njc4OWFiY2RlZg==";

/// How long it thinks about paths with `/slow/`.
pub(super) const SLOW: std::time::Duration = std::time::Duration::from_millis(1300);

/// A fake node, and what it was asked for.
#[derive(Clone)]
pub(super) struct FakeNode {
    pub(super) addr: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl FakeNode {
    /// Answers with method, target and body; its summary lists `others` and itself.
    pub(super) async fn start(others: &[SocketAddr]) -> Self {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let secrets = EdgeSecrets::parse(SECRET).unwrap();
        let (noted, others) = (seen.clone(), others.to_vec());
        let addr = backend(move |request| {
            let (seen, secrets, others) = (noted.clone(), secrets.clone(), others.clone());
            async move {
                let host = request.headers()["host"].to_str().unwrap().to_owned();
                let path = request.uri().path().to_owned();
                if path != "/health" {
                    let now = crate::clock::unix_now().as_secs();
                    secrets.verify(&request, &host, now).unwrap();
                }
                let line = format!("{} {}", request.method(), request.uri());
                seen.lock().unwrap().push(line.clone());
                if path.contains("/slow/") {
                    tokio::time::sleep(SLOW).await;
                }
                let body = match path.as_str() {
                    "/.mesh/summary" => summary(others.iter().map(ToString::to_string).chain([host])),
                    _ => {
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        format!("{line} {}", String::from_utf8_lossy(&body))
                    }
                };
                let mut response = Response::new(Full::new(Bytes::from(body)));
                response.headers_mut().insert("x-mesh-worker", http::HeaderValue::from_static("fake"));
                response
            }
        })
        .await;
        Self { addr, seen }
    }

    /// How often it was asked for paths that start so.
    pub(super) fn count(&self, line: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.starts_with(line)).count()
    }
}

pub(super) fn summary(hosts: impl Iterator<Item = String>) -> String {
    let nodes: Vec<_> = hosts.map(|host| json!({"url": format!("http://{host}")})).collect();
    json!({"cluster": "it", "cluster_id": "a", "term": 1, "nodes": nodes, "services": {"rag": {}}})
        .to_string()
}

/// An edge that serves.
pub(super) struct Serving {
    pub(super) addr: SocketAddr,
    pub(super) edge: Arc<Edge>,
    _dir: TempDir,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.edge.drain.closing.cancel();
    }
}

/// A cold edge whose store lists these nodes.
pub(super) async fn edge(stored: &[SocketAddr]) -> Serving {
    let dir = tempfile::tempdir().unwrap();
    serve(&["--store", &listing(&dir, stored), "--edge-secret-file", &secret(&dir)], dir).await
}

/// The same, which signs nothing.
pub(super) async fn edge_without_secret(stored: &[SocketAddr]) -> Serving {
    let dir = tempfile::tempdir().unwrap();
    serve(&["--store", &listing(&dir, stored)], dir).await
}

fn listing(dir: &TempDir, stored: &[SocketAddr]) -> String {
    let store = dir.path().join("summary.json");
    std::fs::write(&store, summary(stored.iter().map(ToString::to_string))).unwrap();
    format!("file:{}", store.display())
}

fn secret(dir: &TempDir) -> String {
    let secret = dir.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    secret.display().to_string()
}

/// A cold edge whose store is behind this API.
pub(super) async fn edge_of_api(api: SocketAddr) -> Serving {
    let api = format!("http://{api}");
    let store = "cloudflare:acct1/0123456789abcdef0123456789abcdef";
    let dir = tempfile::tempdir().unwrap();
    let secret = secret(&dir);
    serve(&["--store", store, "--cloudflare-api", &api, "--edge-secret-file", &secret], dir).await
}

async fn serve(flags: &[&str], dir: TempDir) -> Serving {
    let line = ["meshedge", "--listen", "127.0.0.1:0", "--cluster", "it"];
    let args = Args::parse_from(line.iter().chain(flags));
    let edge = Arc::new(Edge::new(&args, Some("token"), false).unwrap());
    let socket = TcpListener::bind(args.listen).await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(edge.listener(&args).serve(socket, None, edge.drain.closing.clone()));
    Serving { addr, edge, _dir: dir }
}
