//! Callers that keep their connections, and do what a client may: send once more what was surely not taken.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

use super::{PACE, Shared};
use crate::support::SOON;

/// One answer of HTTP/1.1.
struct Answer {
    status: String,
    closes: bool,
}

/// Asks over one connection at a time, as long as the mesh keeps it.
pub(super) async fn http1(index: usize, shared: Arc<Shared>) {
    let mut pace = interval(PACE);
    let mut kept: Option<TcpStream> = None;
    let mut turn = index;
    while !shared.stop.is_cancelled() {
        pace.tick().await;
        turn += 1;
        let mut stream = match kept.take().filter(is_open) {
            Some(stream) => stream,
            None => match connect(index, &shared).await {
                Ok(stream) => stream,
                Err(error) => {
                    shared.failed(&error);
                    continue;
                }
            },
        };
        match timeout(SOON, ask(&mut stream, turn)).await.context("no answer").flatten() {
            Ok(answer) if answer.status == "200" => {
                shared.note(|tally| tally.answered += 1);
                kept = (!answer.closes).then_some(stream);
            }
            Ok(answer) => shared.failed(&anyhow::anyhow!("HTTP/1.1: {}", answer.status)),
            Err(error) => shared.failed(&error.context("HTTP/1.1")),
        }
    }
}

/// A connection to the caller's own entry, or to the next one.
pub(super) async fn connect(index: usize, shared: &Shared) -> anyhow::Result<TcpStream> {
    let entry = |turn: usize| -> SocketAddr { shared.entries[(index + turn) % shared.entries.len()] };
    if let Ok(stream) = TcpStream::connect(entry(0)).await {
        return Ok(stream);
    }
    shared.note(|tally| tally.again += 1);
    TcpStream::connect(entry(1)).await.context("refused twice")
}

/// What every client looks at before it uses a connection again.
fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.try_read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

async fn ask(stream: &mut TcpStream, turn: usize) -> anyhow::Result<Answer> {
    let body = format!("{turn}");
    let method = if turn.is_multiple_of(2) { "GET" } else { "POST" };
    let sent = if method == "POST" { body.as_str() } else { "" };
    let request = format!(
        "{method} /api/service/echo/{turn} HTTP/1.1\r\nhost: here\r\ncontent-length: {}\r\n\r\n{sent}",
        sent.len()
    );
    stream.write_all(request.as_bytes()).await.context("sending")?;
    let mut got = Vec::new();
    let head = loop {
        if let Some(end) = got.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut got).await.context("reading the head")? == 0 {
            bail!("closed after {:?}", String::from_utf8_lossy(&got));
        }
    };
    let text = String::from_utf8_lossy(&got[..head]).to_lowercase();
    let header = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
    };
    let length: usize = header("content-length").context("no length")?.parse()?;
    while got.len() < head + length {
        ensure!(stream.read_buf(&mut got).await.context("reading the body")? > 0, "a short body");
    }
    let status = text.split(' ').nth(1).unwrap_or_default().to_owned();
    Ok(Answer { status, closes: header("connection").is_some_and(|value| value == "close") })
}

/// Asks over HTTP/2; what a GOAWAY left undone is sent once more.
pub(super) async fn http2(index: usize, shared: Arc<Shared>) {
    let mut pace = interval(PACE);
    let mut kept: Option<SendRequest<Full<Bytes>>> = None;
    while !shared.stop.is_cancelled() {
        pace.tick().await;
        let mut outcome = Ok(());
        for _ in 0..2 {
            outcome = async {
                let mut sender = match kept.take().filter(|sender| !sender.is_closed()) {
                    Some(sender) => sender,
                    None => handshake(connect(index, &shared).await?).await?,
                };
                let request = Request::post("http://echo.mesh/x").body(Full::from("x"))?;
                let response = timeout(SOON, sender.send_request(request)).await.context("no answer")??;
                ensure!(response.status() == 200, "{}", response.status());
                response.into_body().collect().await?;
                kept = Some(sender);
                anyhow::Ok(())
            }
            .await;
            let Err(error) = &outcome else { break };
            let unsent = error
                .downcast_ref::<hyper::Error>()
                .is_some_and(|error| error.is_canceled() || is_goaway(error));
            if !unsent {
                break;
            }
            shared.note(|tally| tally.again += 1);
        }
        match outcome {
            Ok(()) => shared.note(|tally| tally.answered += 1),
            Err(error) => shared.failed(&error.context("HTTP/2")),
        }
    }
}

async fn handshake(stream: TcpStream) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let io = TokioIo::new(stream);
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn is_goaway(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref::<h2::Error>())
        .is_some_and(|error| error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
}
