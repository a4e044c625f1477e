//! A client's socket, which can be asked whether the client has left although nobody reads from it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A client's socket. Its end is otherwise seen by reading only, and what holds back the client's body does not read.
#[derive(Debug)]
pub(super) struct ClientSocket {
    stream: TcpStream,
    presence: Presence,
}

/// Asks whether a client is still there; cloning shares it with the client's socket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Presence {
    is_doubted: Arc<AtomicBool>,
}

impl Presence {
    /// The connection breaks at the next flush if the client has left. Every poll of a connection ends with a flush, so
    /// that is at once when it is doubted from within.
    pub(crate) fn doubt(&self) {
        self.is_doubted.store(true, Ordering::Relaxed);
    }
}

impl ClientSocket {
    pub(super) const fn new(stream: TcpStream, presence: Presence) -> Self {
        Self { stream, presence }
    }

    /// The client said that it has nothing more to say, which over HTTP/1.1 is taken for its end.
    fn has_left(&self) -> bool {
        let readiness = self.stream.ready(Interest::READABLE).now_or_never();
        readiness.is_some_and(|ready| ready.map_or(true, |ready| ready.is_read_closed()))
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_doubted = &self.presence.is_doubted;
        if is_doubted.load(Ordering::Relaxed) {
            is_doubted.store(false, Ordering::Relaxed);
            if self.has_left() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
