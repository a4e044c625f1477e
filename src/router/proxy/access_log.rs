//! The access log: one JSON line for each request, written by a task of its own so that no request waits for a disk.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, StatusCode};
use serde::Serialize;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;

use super::headers;
use crate::clock::{Clock, unix_now};
use crate::time::Instant;

/// Lines that wait to be written; further ones are dropped and counted.
const QUEUE: usize = 4096;

/// Where the lines of requests go. Cloning shares it.
#[derive(Debug, Clone)]
pub struct AccessLog {
    lines: mpsc::Sender<String>,
    dropped: Arc<AtomicU64>,
}

impl AccessLog {
    /// Appends to the file at `path`; `-` is standard error. Starts a task that ends with the last clone.
    pub async fn open(path: &str) -> io::Result<Self> {
        let sink = if path == "-" {
            Sink::Stderr
        } else {
            let file = OpenOptions::new().create(true).append(true).open(Path::new(path)).await?;
            Sink::File(BufWriter::new(file))
        };
        let (lines, queue) = mpsc::channel(QUEUE);
        tokio::spawn(write(queue, sink));
        Ok(Self { lines, dropped: Arc::default() })
    }

    fn put(&self, line: String) {
        if self.lines.try_send(line).is_err() && self.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!("the access log cannot keep up; lines are dropped");
        }
    }
}

#[derive(Debug)]
enum Sink {
    Stderr,
    File(BufWriter<File>),
}

impl Sink {
    async fn put(&mut self, line: &str, is_last: bool) -> io::Result<()> {
        match self {
            // As the log does: a line at a time, at once.
            Self::Stderr => io::stderr().write_all(line.as_bytes()),
            Self::File(file) => {
                file.write_all(line.as_bytes()).await?;
                if is_last { file.flush().await } else { Ok(()) }
            }
        }
    }
}

async fn write(mut queue: mpsc::Receiver<String>, mut sink: Sink) {
    while let Some(mut line) = queue.recv().await {
        line.push('\n');
        if let Err(error) = sink.put(&line, queue.is_empty()).await {
            tracing::warn!(%error, "the access log cannot be written");
            return;
        }
    }
}

/// One request, noted when it has ended.
#[derive(Debug)]
pub(super) struct Entry {
    log: AccessLog,
    clock: Clock,
    started: Instant,
    line: Line,
}

#[derive(Debug, Serialize)]
struct Line {
    at: String,
    client: IpAddr,
    method: String,
    host: String,
    path: String,
    status: u16,
    worker: Option<String>,
    attempts: Option<u32>,
    error: Option<String>,
    bytes: u64,
    ms: f64,
}

impl Entry {
    /// A request whose head has just come.
    pub(super) fn begin<B>(
        log: &AccessLog,
        clock: Clock,
        client: IpAddr,
        request: &http::Request<B>,
    ) -> Self {
        let host = request.headers().get(http::header::HOST);
        let at = jiff::Timestamp::from_millisecond(i64::try_from(unix_now().as_millis()).unwrap_or(i64::MAX));
        let line = Line {
            at: at.map(|at| at.to_string()).unwrap_or_default(),
            client,
            method: request.method().to_string(),
            host: host.map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()).unwrap_or_default(),
            path: request.uri().path().to_owned(),
            status: 0,
            worker: None,
            attempts: None,
            error: None,
            bytes: 0,
            ms: 0.0,
        };
        Self { log: log.clone(), clock, started: clock.now(), line }
    }

    /// An edge vouched for the client's address.
    pub(super) const fn sent_by(&mut self, client: IpAddr) {
        self.line.client = client;
    }

    /// The answer's head is there.
    pub(super) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok().map(str::to_owned));
        self.line.status = status.as_u16();
        self.line.worker = text(headers::WORKER);
        self.line.attempts = text(headers::ATTEMPTS).and_then(|attempts| attempts.parse().ok());
        self.line.error = text(headers::ERROR);
    }

    /// The answer's body has ended, after so many bytes.
    pub(super) fn ended(&mut self, bytes: u64) {
        self.line.bytes = bytes;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.line.ms = self.clock.now().since(self.started).as_secs_f64() * 1000.0;
        if let Ok(line) = serde_json::to_string(&self.line) {
            self.log.put(line);
        }
    }
}
