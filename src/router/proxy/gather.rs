//! Small writes of several pieces as one: for the kernel `writev` is dearer than a copy of a few hundred bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

/// What is copied at most, in bytes; a head and a short body.
const SMALL: usize = 2048;

/// The piece that is not empty, if there is just one.
pub(super) fn only<'a>(pieces: &'a [IoSlice<'_>]) -> Option<&'a [u8]> {
    let mut filled = pieces.iter().filter(|piece| !piece.is_empty());
    let (first, second) = (filled.next(), filled.next());
    first.filter(|_| second.is_none()).map(|piece| &**piece)
}

/// One piece made of several in `space`; `None` when they are too long for it.
pub(super) fn gather<'a>(pieces: &[IoSlice<'_>], space: &'a mut [u8; SMALL]) -> Option<&'a [u8]> {
    let mut length = 0;
    for piece in pieces {
        space.get_mut(length..length + piece.len())?.copy_from_slice(piece);
        length += piece.len();
    }
    space.get(..length)
}

/// Room for [`gather`].
pub(super) const fn space() -> [u8; SMALL] {
    [0; SMALL]
}

/// A connection whose small writes leave as one piece.
pub(super) struct Gathering<T>(pub(super) T);

impl<T: Read + Unpin> Read for Gathering<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: Write + Unpin> Write for Gathering<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(only) = only(bufs) {
            return Pin::new(&mut self.0).poll_write(cx, only);
        }
        match gather(bufs, &mut space()) {
            Some(piece) => Pin::new(&mut self.0).poll_write(cx, piece),
            None => Pin::new(&mut self.0).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
