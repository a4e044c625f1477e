//! WebSockets: a service that echoes frames, and clients that hold on to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::callers::connect;
use super::{DRAIN, Shared};
use crate::support::SOON;

/// A client's frame, and its echo; masked with zeros, the bytes stay what they are.
const SAID: &[u8] = b"\x81\x82\0\0\0\0hi";
const ECHOED: &[u8] = b"\x81\x02hi";
const GOING_AWAY: &[u8] = b"\x88\x02\x03\xe9";
const GOING_AWAY_MASKED: &[u8] = b"\x88\x82\0\0\0\0\x03\xe9";

/// Between two words of a client that is not silent.
const PAUSE: Duration = Duration::from_millis(50);

const HANDSHAKE: &str = "GET /api/service/ws/ HTTP/1.1\r\nhost: here\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Starts the service; its health is good.
pub(super) async fn serve() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    });
    Ok(addr)
}

async fn echo(mut stream: TcpStream) -> anyhow::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut head).await? > 0, "closed");
    }
    if head.starts_with(b"GET /health") {
        return Ok(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?);
    }
    stream.write_all(SWITCHED.as_bytes()).await?;
    let mut frame = [0; 8];
    loop {
        stream.read_exact(&mut frame).await?;
        match &frame {
            said if said == SAID => stream.write_all(ECHOED).await?,
            close if close == GOING_AWAY_MASKED => return Ok(stream.write_all(GOING_AWAY).await?),
            other => bail!("the frame {other:?}"),
        }
    }
}

/// Holds a WebSocket at all times, and sees to it that each is closed with 1001, and not before a drain's deadline.
pub(super) async fn hold(index: usize, shared: Arc<Shared>) {
    while !shared.stop.is_cancelled() {
        let held = tokio::select! {
            held = one(index, &shared) => held,
            () = shared.stop.cancelled() => return,
        };
        match held {
            Ok(()) => shared.note(|tally| tally.closed += 1),
            Err(error) => {
                shared.failed(&error.context("WebSocket"));
                sleep(PAUSE).await;
            }
        }
    }
}

async fn one(index: usize, shared: &Shared) -> anyhow::Result<()> {
    let mut stream = connect(index, shared).await?;
    stream.write_all(HANDSHAKE.as_bytes()).await.context("the handshake")?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = timeout(SOON, stream.read_buf(&mut head)).await.context("no answer")??;
        ensure!(read > 0, "closed after {:?}", String::from_utf8_lossy(&head));
    }
    ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    let begun = Instant::now();
    if index.is_multiple_of(2) {
        ensure!(next(&mut stream).await? == GOING_AWAY, "words unasked");
    } else {
        loop {
            // The close may come at any time; what was said just before is not answered then.
            if stream.write_all(SAID).await.is_err() {
                bail!("it broke");
            }
            let frame = next(&mut stream).await?;
            if frame == GOING_AWAY {
                break;
            }
            ensure!(frame == ECHOED, "{frame:?}");
            sleep(PAUSE).await;
        }
    }
    let mut told = None;
    shared.note(|tally| told = tally.told);
    let told = told.context("closed although no node leaves")?;
    ensure!(told.elapsed() >= DRAIN, "closed {:?} after a node was told to leave", told.elapsed());
    ensure!(begun.elapsed() > Duration::from_millis(100), "it lived only {:?}", begun.elapsed());
    stream.write_all(GOING_AWAY_MASKED).await.context("answering the close")?;
    let rest = timeout(SOON, stream.read(&mut [0; 1])).await.context("it stayed open")??;
    ensure!(rest == 0, "bytes after the close");
    Ok(())
}

/// The next frame, all of which are of the same length here.
async fn next(stream: &mut TcpStream) -> anyhow::Result<[u8; 4]> {
    let mut frame = [0; 4];
    stream.read_exact(&mut frame).await.context("closed without a word")?;
    Ok(frame)
}
