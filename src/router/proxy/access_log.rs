//! The access log: one JSON line for each request, written by a task of its own so that no request waits for a disk.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{HOST, USER_AGENT};
use http::{Request, Response, Version};
use opentelemetry::trace::TraceId;
use serde::Serialize;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;

use super::body::End;
use super::{headers, trace};
use crate::clock::{Clock, unix_now};
use crate::id::ServiceName;
use crate::time::{Duration, Instant};

/// Lines that wait to be written; further ones are dropped and counted.
const QUEUE: usize = 4096;

/// Where the lines of requests go. Cloning shares it.
#[derive(Debug, Clone)]
pub struct AccessLog {
    queue: mpsc::Sender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    Reopen,
}

impl AccessLog {
    /// Appends to the file at `path`; `-` is standard error. Starts a task that ends with the last clone.
    pub async fn open(path: &str) -> io::Result<Self> {
        let sink = if path == "-" { Sink::Stderr } else { Sink::open(path.into()).await? };
        let (sender, queue) = mpsc::channel(QUEUE);
        tokio::spawn(write(queue, sink));
        Ok(Self { queue: sender, dropped: Arc::default() })
    }

    /// Opens the file again: whoever rotates logs has moved it away.
    pub fn reopen(&self) {
        if self.queue.try_send(Message::Reopen).is_err() {
            tracing::error!("the access log was not opened again");
        }
    }

    fn put(&self, line: String) {
        let put = self.queue.try_send(Message::Line(line));
        if put.is_err() && self.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!("the access log cannot keep up; lines are dropped");
        }
    }
}

#[derive(Debug)]
enum Sink {
    Stderr,
    File { path: PathBuf, file: BufWriter<File> },
}

impl Sink {
    async fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path).await?;
        Ok(Self::File { path, file: BufWriter::new(file) })
    }

    async fn put(&mut self, line: &str, is_last: bool) -> io::Result<()> {
        match self {
            // As the log does: a line at a time, at once.
            Self::Stderr => io::stderr().write_all(line.as_bytes()),
            Self::File { file, .. } => {
                file.write_all(line.as_bytes()).await?;
                if is_last { file.flush().await } else { Ok(()) }
            }
        }
    }

    async fn reopened(self) -> io::Result<Self> {
        match self {
            Self::Stderr => Ok(self),
            Self::File { path, mut file } => {
                file.flush().await?;
                Self::open(path).await
            }
        }
    }
}

async fn write(queue: mpsc::Receiver<Message>, sink: Sink) {
    if let Err(error) = write_all(queue, sink).await {
        tracing::error!(%error, "the access log cannot be written");
    }
}

async fn write_all(mut queue: mpsc::Receiver<Message>, mut sink: Sink) -> io::Result<()> {
    while let Some(message) = queue.recv().await {
        match message {
            Message::Line(mut line) => {
                line.push('\n');
                sink.put(&line, queue.is_empty()).await?;
            }
            Message::Reopen => sink = sink.reopened().await?,
        }
    }
    Ok(())
}

/// Counts the bytes of a request's body as they come in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received(Arc<AtomicU64>);

impl Received {
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// One request, noted when it has ended.
#[derive(Debug)]
pub(super) struct Entry {
    log: AccessLog,
    clock: Clock,
    started: Instant,
    received: Received,
    // Boxed, as it would make the futures of all requests larger, logged or not.
    line: Box<Line>,
}

/// The fields of a line; docs/operations.md tells what they mean.
#[derive(Debug, Serialize)]
struct Line {
    time: String,
    client: IpAddr,
    method: String,
    host: String,
    path: String,
    protocol: &'static str,
    status: Option<u16>,
    service: Option<String>,
    worker: Option<String>,
    attempts: Option<u32>,
    error: Option<String>,
    bytes_in: u64,
    bytes_out: u64,
    ttfb_ms: Option<f64>,
    duration_ms: f64,
    user_agent: Option<String>,
    trace_id: Option<String>,
}

impl Entry {
    /// A request whose head has just come.
    pub(super) fn begin<B>(log: &AccessLog, clock: Clock, client: IpAddr, request: &mut Request<B>) -> Self {
        let text = |name| request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let host =
            request.uri().authority().map(|authority| authority.as_str().into()).or_else(|| text(HOST));
        let time = jiff::Timestamp::from_millisecond(i64::try_from(unix_now().as_millis()).unwrap_or(0));
        let line = Line {
            time: time.map(|time| time.to_string()).unwrap_or_default(),
            client,
            method: request.method().to_string(),
            host: host.unwrap_or_default().into_owned(),
            path: request.uri().path().to_owned(),
            protocol: protocol(request.version()),
            status: None,
            service: None,
            worker: None,
            attempts: None,
            error: None,
            bytes_in: 0,
            bytes_out: 0,
            ttfb_ms: None,
            duration_ms: 0.0,
            user_agent: text(USER_AGENT).map(|agent| agent.into_owned()),
            trace_id: trace::trace_id(request.headers()).map(|id| id.to_string()),
        };
        let received = Received::default();
        request.extensions_mut().insert(received.clone());
        Self { log: log.clone(), clock, started: clock.now(), received, line: Box::new(line) }
    }

    /// An edge vouched for the client's address.
    pub(super) fn sent_by(&mut self, client: IpAddr) {
        self.line.client = client;
    }

    /// What the client wants to reach.
    pub(super) fn sent_to(&mut self, service: &ServiceName) {
        self.line.service = Some(service.to_string());
    }

    /// The answer's head is there.
    pub(super) fn answered<B>(&mut self, response: &Response<B>) {
        let text =
            |name| response.headers().get(name).and_then(|value| value.to_str().ok().map(str::to_owned));
        self.line.status = Some(response.status().as_u16());
        self.line.worker = text(headers::WORKER);
        self.line.attempts = text(headers::ATTEMPTS).and_then(|attempts| attempts.parse().ok());
        self.line.error = text(headers::ERROR);
        self.line.ttfb_ms = Some(millis(self.clock.now().since(self.started)));
        if let Some(begun) = response.extensions().get::<TraceId>() {
            self.line.trace_id = Some(begun.to_string());
        }
    }

    /// The answer's body has ended, after so many bytes.
    pub(super) fn ended(&mut self, end: End, bytes: u64) {
        self.line.bytes_out = bytes;
        let error = match end {
            End::Complete => return,
            End::Broken => "broken",
            End::TimedOut => "timeout",
            End::Abandoned => "cancelled",
        };
        self.line.error.get_or_insert_with(|| error.to_owned());
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.line.status.is_none() {
            self.line.error = Some("cancelled".to_owned());
        }
        self.line.bytes_in = self.received.0.load(Ordering::Relaxed);
        self.line.duration_ms = millis(self.clock.now().since(self.started));
        if let Ok(line) = serde_json::to_string(&self.line) {
            self.log.put(line);
        }
    }
}

/// To the microsecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
