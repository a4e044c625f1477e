//! The sample services: small real HTTP servers on loopback, one instance a node that is to run it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// What `echo` repeats of a body.
const ECHO_BYTES_MAX: usize = 1 << 20;

/// What a sample service does with a request; all of them answer `/health` with their version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Says what it received.
    Echo,
    /// Counts the body's bytes and hashes them, without keeping them.
    Upload,
    /// Answers a question with a made-up text.
    Rag,
}

impl Kind {
    /// The service's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Upload => "upload",
            Self::Rag => "rag",
        }
    }
}

/// One running instance. Dropping it closes its port and all its connections.
#[derive(Debug)]
pub struct Sample {
    addr: SocketAddr,
    state: Arc<State>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct State {
    kind: Kind,
    /// Where it runs, for the answers.
    node: String,
    version: ArcSwap<String>,
    served: AtomicU64,
}

impl Sample {
    /// Starts an instance for the node with this name.
    pub async fn start(kind: Kind, node: &str, version: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for a sample service")?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State {
            kind,
            node: node.to_owned(),
            version: ArcSwap::from_pointee(version.to_owned()),
            served: AtomicU64::new(0),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&state)));
        Ok(Self { addr, state, _server: AbortOnDropHandle::new(server) })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it does.
    pub fn kind(&self) -> Kind {
        self.state.kind
    }

    /// The version that its health answers name.
    pub fn version(&self) -> String {
        self.state.version.load().as_ref().clone()
    }

    /// Pretends that another release was rolled out.
    pub fn set_version(&self, version: &str) {
        self.state.version.store(Arc::new(version.to_owned()));
    }

    /// Requests answered so far, health checks apart.
    pub fn served(&self) -> u64 {
        self.state.served.load(Ordering::Relaxed)
    }
}

/// Accepts until it is dropped; the set of connections goes with it, as it would in a process that dies.
async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(converse(stream, Arc::clone(&state)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(state.answer(request).await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, service = state.kind.name(), "a connection to a sample service ended");
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let version = self.version.load();
        if request.uri().path() == "/health" {
            return reply(StatusCode::OK, &json!({"status": "healthy", "version": version.as_str()}));
        }
        self.served.fetch_add(1, Ordering::Relaxed);
        let answer = match self.kind {
            Kind::Echo => echo(request).await,
            Kind::Upload => upload(request).await,
            Kind::Rag => Ok(rag(&request)),
        };
        match answer {
            Ok(mut answer) => {
                answer["service"] = self.kind.name().into();
                answer["node"] = self.node.as_str().into();
                answer["version"] = version.as_str().into();
                reply(StatusCode::OK, &answer)
            }
            Err(error) => reply(StatusCode::BAD_REQUEST, &json!({"error": error.to_string()})),
        }
    }
}

async fn echo(request: Request<Incoming>) -> anyhow::Result<Value> {
    let (head, body) = request.into_parts();
    let headers: serde_json::Map<String, Value> = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let body = Limited::new(body, ECHO_BYTES_MAX).collect().await.map_err(anyhow::Error::from_boxed)?;
    Ok(json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query().unwrap_or_default(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body.to_bytes()),
    }))
}

async fn upload(request: Request<Incoming>) -> anyhow::Result<Value> {
    let mut body = request.into_body();
    let (mut bytes, mut hasher) = (0_u64, blake3::Hasher::new());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes += data.len() as u64;
            hasher.update(&data);
        }
    }
    Ok(json!({"bytes": bytes, "blake3": hasher.finalize().to_hex().as_str()}))
}

fn rag(request: &Request<Incoming>) -> Value {
    let question = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
        .find_map(|(key, value)| (key == "q").then(|| value.into_owned()))
        .unwrap_or_default();
    json!({"question": question, "answer": "A mesh is a graph in which every node may speak to every other."})
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
