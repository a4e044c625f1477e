//! A body whose beginning was read already.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::body::{BoxError, ProxyBody};

/// What was read, and then the rest.
pub(super) struct Resumed {
    read: Bytes,
    /// The share that what was read has of all bodies that are held.
    room: Option<OwnedSemaphorePermit>,
    rest: ProxyBody,
}

impl Resumed {
    pub(super) const fn new(read: Bytes, room: Option<OwnedSemaphorePermit>, rest: ProxyBody) -> Self {
        Self { read, room, rest }
    }
}

impl Body for Resumed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.room = None;
        if self.read.is_empty() {
            return Pin::new(&mut self.rest).poll_frame(cx);
        }
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.read)))))
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (read, rest) = (self.read.len() as u64, self.rest.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + read);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint
    }
}
