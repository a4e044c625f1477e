//! An HTTP/1.1 connection to a service, driven by whoever waits for its answer rather than by a task of its own: the
//! way there and back costs no wake-ups between tasks.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::rt::{Read, Write};
use hyper::upgrade::Upgraded;
use tokio_util::task::AbortOnDropHandle;

use super::body::{BoxError, ProxyBody};
use super::gather::Gathering;

/// A body that is longer than this, or of unknown length, is sent by a task beside the answer: a service may answer
/// while it still reads, and its reader may be slow.
const SMALL: u64 = 64 * 1024;

/// An HTTP/1.1 connection. Dropping it closes it, even when its peer is silent; so a client's cancel arrives.
pub(crate) struct Http1 {
    sender: SendRequest<ProxyBody>,
    driver: Driver,
    pub(crate) reused: bool,
}

type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// What moves the bytes of a connection.
enum Driver {
    /// Whoever uses it.
    User(Connection),
    /// A task beside its user.
    Task(#[expect(dead_code, reason = "dropping it ends the task")] AbortOnDropHandle<()>),
    /// Nothing; it has ended.
    Ended,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Self::User(connection) = self
            && let Poll::Ready(ended) = connection.as_mut().poll(cx)
        {
            note(ended);
            *self = Self::Ended;
        }
    }

    fn detach(&mut self) {
        *self = match std::mem::replace(self, Self::Ended) {
            Self::User(connection) => {
                let task = tokio::spawn(async move { note(connection.await) });
                Self::Task(AbortOnDropHandle::new(task))
            }
            other @ (Self::Task(_) | Self::Ended) => other,
        };
    }
}

fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "the connection to a service broke");
    }
}

impl Http1 {
    /// Speaks HTTP/1.1 on a fresh connection.
    pub(super) async fn new<T>(io: T) -> hyper::Result<Self>
    where
        T: Read + Write + Unpin + Send + 'static,
    {
        let (sender, connection) = handshake(Gathering(io)).await?;
        let driver = Driver::User(Box::pin(connection.with_upgrades()));
        Ok(Self { sender, driver, reused: false })
    }

    /// Sends a request, and returns the head of its answer.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<ProxyBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<ProxyBody>>> {
        let is_small = request.body().size_hint().upper().is_some_and(|upper| upper <= SMALL);
        if !is_small {
            self.driver.detach();
        }
        let Self { sender, driver, .. } = self;
        let mut answer = std::pin::pin!(sender.try_send_request(request));
        poll_fn(|cx| {
            driver.poll(cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// The raw connection, once the service has switched protocols.
    pub(crate) async fn upgrade(&mut self, response: &mut Response<Incoming>) -> hyper::Result<Upgraded> {
        let mut upgrade = hyper::upgrade::on(response);
        poll_fn(|cx| {
            self.driver.poll(cx);
            Pin::new(&mut upgrade).poll(cx)
        })
        .await
    }

    /// Whether another request may be sent now. Nobody waits for an unused connection, so this is also when its end is
    /// found out; unless something happened to it, that costs no system call.
    pub(super) fn is_ready(&mut self) -> bool {
        self.driver.poll(&mut Context::from_waker(Waker::noop()));
        !matches!(self.driver, Driver::Ended) && self.sender.is_ready()
    }

    /// Waits until another request may be sent.
    pub(super) async fn ready(&mut self) -> hyper::Result<()> {
        poll_fn(|cx| {
            self.driver.poll(cx);
            self.sender.poll_ready(cx)
        })
        .await
    }

    /// The next piece of an answer's body.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Incoming,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        self.driver.poll(cx);
        Pin::new(body).poll_frame(cx).map_err(Into::into)
    }
}

/// The body of an answer over HTTP/1.1, which drives the connection that it comes from.
pub(crate) struct AnswerBody<F: FnOnce(Http1)> {
    incoming: Incoming,
    connection: Option<Http1>,
    /// Gets the connection when the answer ended well; it is closed when the answer did not.
    give_back: Option<F>,
}

impl<F: FnOnce(Http1)> AnswerBody<F> {
    pub(crate) fn new(incoming: Incoming, connection: Http1, give_back: F) -> Self {
        let mut body = Self { incoming, connection: Some(connection), give_back: Some(give_back) };
        if body.incoming.is_end_stream() {
            body.complete();
        }
        body
    }

    fn complete(&mut self) {
        if let (Some(connection), Some(give_back)) = (self.connection.take(), self.give_back.take()) {
            give_back(connection);
        }
    }
}

impl<F: FnOnce(Http1) + Unpin> Body for AnswerBody<F> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(connection) = &mut this.connection else { return Poll::Ready(None) };
        let frame = std::task::ready!(connection.poll_body(cx, &mut this.incoming));
        match &frame {
            Some(Ok(piece)) if !piece.is_trailers() && !this.incoming.is_end_stream() => {}
            Some(Ok(_)) | None => this.complete(),
            Some(Err(_)) => {
                // Dropping the connection tells the service; what waits for the end of the answer goes with it.
                this.connection = None;
                this.give_back = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
