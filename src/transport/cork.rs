//! Gathers what HTTP/2 writes frame by frame, so that the frames of many streams leave in few TLS records and system calls.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So many gathered bytes are sent without waiting for more.
const FULL: usize = 48 << 10;

/// A gathered burst that is larger than this gives its memory back.
const KEPT: usize = 16 << 10;

/// The stream that HTTP/2 writes to. What it flushes waits for its [`Cork`], once that is in use.
#[derive(Debug)]
pub(super) struct Corked<S> {
    shared: Arc<Mutex<Gathered<S>>>,
}

/// Lets go what a [`Corked`] stream has gathered. Both belong to one task, so nobody ever waits for the lock.
#[derive(Debug)]
pub(super) struct Cork<S> {
    shared: Arc<Mutex<Gathered<S>>>,
    had_turn: bool,
}

#[derive(Debug)]
struct Gathered<S> {
    stream: S,
    waiting: BytesMut,
    in_use: bool,
}

/// A stream that gathers what is written to it, and what lets it go.
pub(super) fn corked<S>(stream: S) -> (Corked<S>, Cork<S>) {
    let shared = Arc::new(Mutex::new(Gathered { stream, waiting: BytesMut::new(), in_use: false }));
    (Corked { shared: shared.clone() }, Cork { shared, had_turn: false })
}

impl<S: AsyncWrite + Unpin> Cork<S> {
    /// Polls the connection that uses the stream, and then sends what was gathered meanwhile. When the connection had
    /// nothing to do before, other tasks that are ready go first: what they have to send goes with it.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        connection: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<io::Result<T>> {
        if !std::mem::replace(&mut self.had_turn, true) {
            // A task that wakes itself goes to the end of the queue.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        locked(&self.shared).in_use = true;
        let polled = connection(cx);
        self.had_turn = polled.is_ready();
        let sent = locked(&self.shared).poll_send(cx);
        if let Poll::Ready(Err(error)) = sent
            && polled.is_pending()
        {
            return Poll::Ready(Err(error));
        }
        polled.map(Ok)
    }
}

impl<S> Cork<S> {
    /// Whether the last poll that was pending only let others go first.
    pub(super) const fn has_yielded(&self) -> bool {
        self.had_turn
    }
}

fn locked<S>(shared: &Mutex<Gathered<S>>) -> MutexGuard<'_, Gathered<S>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.waiting))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(sent);
        }
        if self.waiting.capacity() > KEPT {
            self.waiting = BytesMut::new();
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.len() < FULL { Poll::Ready(Ok(())) } else { self.poll_send(cx) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Corked<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut locked(&self.shared).stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut gathered = locked(&self.shared);
        ready!(gathered.poll_room(cx))?;
        gathered.waiting.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut gathered = locked(&self.shared);
        ready!(gathered.poll_room(cx))?;
        for buf in bufs {
            gathered.waiting.extend_from_slice(buf);
        }
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = locked(&self.shared);
        if gathered.in_use { Poll::Ready(Ok(())) } else { gathered.poll_send(cx) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = locked(&self.shared);
        ready!(gathered.poll_send(cx))?;
        Pin::new(&mut gathered.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "cork_tests.rs"]
mod tests;
