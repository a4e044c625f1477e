//! How a link ended: whether the far side said goodbye, which only a living process does.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// The head of an HTTP/2 frame: its length (3 bytes), its type, flags (1) and stream (4).
const FRAME_HEAD: usize = 9;
const GOAWAY: u8 = 7;

/// Whether the far side said goodbye: with GOAWAY, or with TLS's own closing message. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct Farewell(Arc<AtomicBool>);

/// Why a watch link stands no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The far side closed it in order, or this one did.
    Closed,
    /// The far side's kernel closed it without a word of the process.
    Lost,
    /// The network or the protocol failed; nothing is said of the process.
    Silent,
}

impl End {
    /// The name in metrics.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Lost => "lost",
            Self::Silent => "silent",
        }
    }
}

impl Farewell {
    /// What the end of the HTTP/2 connection means.
    pub(super) fn end(&self, result: Result<(), h2::Error>) -> End {
        let Err(error) = result else { return End::Closed };
        if self.0.load(Ordering::Acquire) {
            return End::Closed;
        }
        error.get_io().map_or(End::Silent, |error| broken(error.kind()))
    }
}

/// What the end of a stream means on which nothing is said.
pub(super) async fn end_of_silence(stream: &mut (impl AsyncRead + Unpin)) -> End {
    match stream.read(&mut [0]).await {
        Ok(0) => End::Closed,
        // The far side speaks first, which it must not.
        Ok(_) => End::Silent,
        Err(error) => broken(error.kind()),
    }
}

/// TLS reports an end only when the far side announced it, and an error otherwise.
const fn broken(error: io::ErrorKind) -> End {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let by_kernel = matches!(error, UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe);
    if by_kernel { End::Lost } else { End::Silent }
}

/// A stream of HTTP/2 that notes the far side's goodbye.
#[derive(Debug)]
pub(super) struct Overheard<S> {
    stream: S,
    frames: Frames,
    farewell: Farewell,
}

impl<S> Overheard<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, frames: Frames::default(), farewell: Farewell::default() }
    }

    pub(super) fn farewell(&self) -> Farewell {
        self.farewell.clone()
    }
}

/// Where in the frames a stream of bytes is.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; FRAME_HEAD],
    filled: usize,
    payload: usize,
}

impl Frames {
    /// Whether a GOAWAY begins within the next `bytes` of the stream.
    pub(super) fn has_go_away(&mut self, mut bytes: &[u8]) -> bool {
        let mut found = false;
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skipped = self.payload.min(bytes.len());
                self.payload -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (FRAME_HEAD - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == FRAME_HEAD {
                let [a, b, c, kind, ..] = self.head;
                self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.filled = 0;
                found |= kind == GOAWAY;
            }
        }
        found
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Overheard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        let ended = read.is_empty() && buf.remaining() > 0;
        if ended || self.frames.has_go_away(read) {
            self.farewell.0.store(true, Ordering::Release);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overheard<S> {
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
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
