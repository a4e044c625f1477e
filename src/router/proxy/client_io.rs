//! A client's connection: told HTTP/1.1 from HTTP/2 by its first bytes, and marked answers of the parser.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::gather::{gather, only, space};
use super::places::Place;
use super::visit::Visit;

/// How HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How the parser's own answers begin after their status line; an instance's answers carry headers of the mesh.
const CANNED: &[u8] = b"connection: close\r\ncontent-length: 0\r\ndate: ";

/// Status lines of the parser's own answers, and what they get.
const MARKS: [(&[u8], &[u8]); 3] = [
    (b"HTTP/1.1 400 Bad Request\r\n", b"x-mesh-error: bad_request\r\n"),
    (b"HTTP/1.1 414 URI Too Long\r\n", b"x-mesh-error: header_too_large\r\n"),
    (b"HTTP/1.1 431 Request Header Fields Too Large\r\n", b"x-mesh-error: header_too_large\r\n"),
];

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    /// HTTP/1.1, or something that its parser will refuse.
    Http1,
    /// HTTP/2.
    Http2,
}

/// The most that is read before it is known what to do with it.
const FIRST_PIECE: usize = 4096;

/// A client's connection.
#[derive(Debug)]
pub(super) struct ClientIo<S> {
    inner: S,
    read_ahead: Bytes,
    owed: Bytes,
    visit: Arc<Visit>,
    _place: Place,
}

impl<S> ClientIo<S> {
    pub(super) fn new(inner: S, place: Place) -> Self {
        Self { inner, read_ahead: Bytes::new(), owed: Bytes::new(), visit: Visit::new(), _place: place }
    }

    /// What goes on on it.
    pub(super) const fn visit(&self) -> &Arc<Visit> {
        &self.visit
    }

    /// Whether bytes were read that nobody has used.
    pub(super) const fn has_read_ahead(&self) -> bool {
        !self.read_ahead.is_empty()
    }

    /// Gives bytes back that were read and not used.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        self.read_ahead = if self.read_ahead.is_empty() {
            bytes
        } else {
            [bytes, std::mem::take(&mut self.read_ahead)].concat().into()
        };
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientIo<S> {
    /// Waits for bytes, without keeping a buffer meanwhile; false when the client leaves.
    pub(super) async fn wake(&mut self) -> io::Result<bool> {
        let read = poll_fn(|cx| {
            let mut space = [MaybeUninit::uninit(); FIRST_PIECE];
            let mut buffer = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
            Poll::Ready(io::Result::Ok(Bytes::copy_from_slice(buffer.filled())))
        });
        let read = read.await?;
        let mut all = BytesMut::from(std::mem::take(&mut self.read_ahead));
        all.extend_from_slice(&read);
        self.read_ahead = all.freeze();
        self.visit.heard();
        Ok(!read.is_empty())
    }

    /// Reads as far as needed to know what the client speaks; `None` when it leaves before.
    pub(super) async fn greet(&mut self) -> io::Result<Option<Spoken>> {
        loop {
            if !self.wake().await? {
                return Ok(None);
            }
            if self.read_ahead.starts_with(PREFACE) {
                return Ok(Some(Spoken::Http2));
            }
            if !PREFACE.starts_with(&self.read_ahead) {
                return Ok(Some(Spoken::Http1));
            }
        }
    }

    /// Tells a client of HTTP/1.1 why its connection ends.
    pub(super) async fn refuse(&mut self, status: &str, reason: &str) -> io::Result<()> {
        let answer = refusal(status, reason);
        self.inner.write_all(answer.as_bytes()).await?;
        self.inner.shutdown().await
    }

    fn poll_pay(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.owed.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.owed))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.owed.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// An answer of HTTP/1.1 to a request that nobody has read.
pub(super) fn refusal(status: &str, reason: &str) -> String {
    format!("HTTP/1.1 {status}\r\nx-mesh-error: {reason}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
}

/// The parser's own answer with the header that says so; `None` for anything else.
fn marked(bytes: &[u8]) -> Option<Bytes> {
    let (line, mark) = MARKS.iter().find(|(line, _)| bytes.starts_with(line))?;
    let rest = bytes.strip_prefix(*line)?;
    let date = rest.strip_prefix(CANNED)?;
    let is_all = date.ends_with(b"\r\n\r\n") && date.len() < 40;
    is_all.then(|| [line, mark, rest].concat().into())
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_ahead.is_empty() {
            let before = buf.filled().len();
            let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
            if buf.filled().len() > before {
                self.visit.heard();
            }
            return polled;
        }
        let taken = self.read_ahead.len().min(buf.remaining());
        buf.put_slice(&self.read_ahead.split_to(taken));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_pay(cx))?;
        let Some(marked) = marked(buf) else {
            let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
            self.visit.set_stuck(polled.is_pending());
            return polled;
        };
        self.owed = marked;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_pay(cx))?;
        if let Some(only) = only(bufs) {
            return self.poll_write(cx, only);
        }
        // The parser's own answers are one piece.
        let polled = match gather(bufs, &mut space()) {
            Some(piece) => Pin::new(&mut self.inner).poll_write(cx, piece),
            None => Pin::new(&mut self.inner).poll_write_vectored(cx, bufs),
        };
        self.visit.set_stuck(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pay(cx))?;
        // TLS takes more than its socket does.
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.visit.set_stuck(polled.is_pending());
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pay(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
