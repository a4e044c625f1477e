//! Tests of the API over real sockets, with a view made by hand.

mod guard;
mod local;
mod reading;
mod stream;

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::fixture::view;
use super::*;

/// A served API, and the node's ends of its channels.
pub(super) struct Served {
    addr: SocketAddr,
    views: watch::Sender<Arc<View>>,
    services: watch::Sender<Arc<BTreeMap<ServiceName, ServiceConfig>>>,
    journal: Arc<Journal>,
    commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

impl Served {
    async fn start() -> Self {
        Self::start_with(None, router).await
    }

    async fn start_with(token: Option<&str>, make: fn(State) -> axum::Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (views, seen) = watch::channel(Arc::new(view()));
        let journal = Arc::new(Journal::new(seen.clone()));
        let (services, configured) = watch::channel(Arc::default());
        let (sender, commands) = mpsc::channel(4);
        let state = State {
            views: seen,
            journal: Arc::clone(&journal),
            commands: sender,
            metrics: Metrics::new(),
            services: configured,
            clock: Clock::start(),
            store: "file:/tmp/summary.json".to_owned(),
            token: token.map(|token| Token::parse(token).unwrap()),
            traffic: Traffic::new(|| (fixture::standings(), Vec::new())),
            addr,
        };
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, make(state), stop.clone()));
        Self { addr, views, services, journal, commands, stop, serving }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &format!("host: {}\r\n", self.addr), "").await
    }

    async fn change(&self, method: &str, path: &str, body: &str) -> Answer {
        let headers = format!("host: {}\r\ncontent-type: application/json\r\n", self.addr);
        self.send(method, path, &headers, body).await
    }

    /// Sends exactly these headers, and those that end the exchange.
    async fn send(&self, method: &str, target: &str, headers: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        let len = body.len();
        let text = format!(
            "{method} {target} HTTP/1.1\r\n{headers}content-length: {len}\r\nconnection: close\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}
