//! A client's connection: told HTTP/1.1 from HTTP/2 by its first bytes, and marked answers of the parser.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

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

/// A client's connection.
#[derive(Debug)]
pub(super) struct ClientIo<S> {
    inner: S,
    read_ahead: Bytes,
    owed: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientIo<S> {
    /// Reads as far as needed to know what the client speaks; `None` when it leaves before.
    pub(super) async fn greet(mut inner: S) -> io::Result<Option<(Spoken, Self)>> {
        let mut read = BytesMut::with_capacity(PREFACE.len());
        let spoken = loop {
            if inner.read_buf(&mut read).await? == 0 {
                return Ok(None);
            }
            if read.starts_with(PREFACE) {
                break Spoken::Http2;
            }
            if !PREFACE.starts_with(&read) {
                break Spoken::Http1;
            }
        };
        Ok(Some((spoken, Self { inner, read_ahead: read.freeze(), owed: Bytes::new() })))
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
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let taken = self.read_ahead.len().min(buf.remaining());
        buf.put_slice(&self.read_ahead.split_to(taken));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_pay(cx))?;
        let Some(marked) = marked(buf) else { return Pin::new(&mut self.inner).poll_write(cx, buf) };
        self.owed = marked;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_pay(cx))?;
        let mut filled = bufs.iter().filter(|buf| !buf.is_empty());
        match (filled.next(), filled.next()) {
            (Some(only), None) => self.poll_write(cx, only),
            _ => Pin::new(&mut self.inner).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pay(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pay(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
